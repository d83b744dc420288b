package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

// edge is /d/<device>/<path>: one HTTP exchange on a yamux stream of its own.
type edge struct {
	tunnels *tunnels
	keys    map[string]struct{}
	// writeBuffer is the size of the buffer in front of the stream; 0 leaves
	// it to http.Request.Write, which takes 4 KiB.
	writeBuffer int
}

// hopByHop are the fields that end at this relay (RFC 9110 section 7.6.1).
// Expect belongs to them here: net/http answers the 100 itself.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Authorization",
}

func (e *edge) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if _, ok := e.keys[bearer(req)]; !ok {
		http.Error(w, "unknown key", http.StatusUnauthorized)
		return
	}
	device, target, ok := splitTarget(req.URL)
	if !ok {
		http.NotFound(w, req)
		return
	}
	session := e.tunnels.session(device)
	if session == nil {
		http.Error(w, "no tunnel", http.StatusServiceUnavailable)
		return
	}
	stream, err := session.OpenStream()
	if err != nil {
		http.Error(w, "no stream", http.StatusBadGateway)
		return
	}
	defer stream.Close()
	stop := context.AfterFunc(req.Context(), func() {
		stream.SetDeadline(time.Unix(1, 0)) // The client has gone.
	})
	defer stop()
	e.exchange(w, outbound(req, target), stream)
}

// exchange sends the request and copies the answer. A body is sent beside the
// reading of the answer, because a device may answer before it has read all.
func (e *edge) exchange(w http.ResponseWriter, out *http.Request, stream *yamux.Stream) {
	if out.ContentLength == 0 {
		if err := e.send(out, stream); err != nil {
			http.Error(w, "cannot send", http.StatusBadGateway)
			return
		}
	} else {
		go func() {
			if e.send(out, stream) != nil {
				stream.Close() // The body broke off: the device must not wait for the rest.
			}
		}()
	}
	answer, err := http.ReadResponse(bufio.NewReader(stream), out)
	if err != nil {
		http.Error(w, "no answer", http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	for _, name := range hopByHop {
		header.Del(name)
	}
	w.WriteHeader(answer.StatusCode)
	if err := copyBody(w, answer); err != nil {
		panic(http.ErrAbortHandler) // Never passed off as complete.
	}
}

func (e *edge) send(out *http.Request, stream *yamux.Stream) error {
	if e.writeBuffer == 0 {
		return out.Write(stream)
	}
	buffer := bufio.NewWriterSize(stream, e.writeBuffer)
	if err := out.Write(buffer); err != nil {
		return err
	}
	return buffer.Flush()
}

// copyBody copies with io.Copy, and flushes as it goes where the length is not
// known: such an answer may be an event stream.
func copyBody(w http.ResponseWriter, answer *http.Response) error {
	if answer.ContentLength >= 0 {
		_, err := io.Copy(w, answer.Body)
		return err
	}
	_, err := io.Copy(flushing{w, http.NewResponseController(w)}, answer.Body)
	return err
}

type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// outbound is the request as the device sees it.
func outbound(req *http.Request, target *url.URL) *http.Request {
	header := req.Header.Clone()
	for _, name := range hopByHop {
		header.Del(name)
	}
	header.Set("X-Forwarded-For", hostOf(req.RemoteAddr))
	header.Set("X-Forwarded-Host", req.Host)
	header.Set("X-Forwarded-Proto", "http")
	return &http.Request{
		Method:           req.Method,
		URL:              target,
		Host:             req.Host,
		Header:           header,
		Body:             req.Body,
		ContentLength:    req.ContentLength,
		TransferEncoding: req.TransferEncoding,
	}
}

// splitTarget cuts /d/<device> off; what follows passes as it was sent.
func splitTarget(from *url.URL) (device string, target *url.URL, ok bool) {
	rest, ok := strings.CutPrefix(from.EscapedPath(), "/d/")
	if !ok {
		return "", nil, false
	}
	device, path, _ := strings.Cut(rest, "/")
	return device, &url.URL{Opaque: "/" + path, RawQuery: from.RawQuery}, true
}
