package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// serveHTTP is what Go devices do: net/http on the session as its listener.
//
//	/hello                     14 bytes
//	/down?bytes=N              the pattern with Content-Length
//	/chunked?bytes=N           the pattern, chunked, flushed every 10,000 bytes
//	/one-write?bytes=N         the pattern in a single Write
//	/many-writes?count=N       N lines, each flushed
//	/upload                    reads the body; {"bytes", "sha256"}
//	/echo                      sends the body back as it comes
//	/wait?ms=N                 waits on its context
//	/refuse                    413 without reading
//	/abort?bytes=N[&chunked=1] half of the body, then gives the stream up
//	/drop?bytes=N[&chunked=1]  half of the body, then cuts the tunnel
//	/hijack                    takes the stream: echoes lines until the end, says "bye", ends
//	/request                   what the device sees of the request, as JSON
//	/status?code=N             that status without a body
//	/close                     one answer, then closes the stream
func serveHTTP(c *control) {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "Hello, world!\n")
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, req *http.Request) {
		size := number(req, "bytes")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		io.Copy(w, newPattern(size))
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, req *http.Request) {
		source := newPattern(number(req, "bytes"))
		for {
			if n, _ := io.CopyN(w, source, 10_000); n == 0 {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/one-write", func(w http.ResponseWriter, req *http.Request) {
		var all bytes.Buffer
		io.Copy(&all, newPattern(number(req, "bytes")))
		w.Header().Set("Content-Length", strconv.Itoa(all.Len()))
		w.Write(all.Bytes())
	})
	mux.HandleFunc("/many-writes", func(w http.ResponseWriter, req *http.Request) {
		for i := number(req, "count"); i > 0; i-- {
			io.WriteString(w, "one line\n")
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/echo", echoBody)
	mux.HandleFunc("/wait", c.wait)
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, req *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, req *http.Request) {
		c.half(w, req)
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/drop", func(w http.ResponseWriter, req *http.Request) {
		c.half(w, req)
		c.kill()
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, req *http.Request) {
		hijack(w)
		c.changed()
	})
	mux.HandleFunc("/request", func(w http.ResponseWriter, req *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{
			"method": req.Method, "target": req.RequestURI, "host": req.Host, "header": req.Header,
			"length": req.ContentLength, "coding": req.TransferEncoding,
		})
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(number(req, "code"))
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "the last answer\n")
	})
	server := http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			c.served.Add(1)
			c.changed()
			mux.ServeHTTP(w, req)
		}),
		// A connection that the server gives up is closed when this is called.
		ConnState: func(net.Conn, http.ConnState) { c.changed() },
	}
	server.Serve(c.session)
}

func upload(w http.ResponseWriter, req *http.Request) {
	hash := sha256.New()
	n, err := io.Copy(hash, req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"bytes": n, "sha256": hexHash(hash.Sum(nil))})
}

func echoBody(w http.ResponseWriter, req *http.Request) {
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if req.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(req.ContentLength, 10))
	}
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(w, req.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (c *control) wait(w http.ResponseWriter, req *http.Request) {
	select {
	case <-req.Context().Done():
		c.cancelled.Add(1)
		c.changed()
	case <-time.After(time.Duration(number(req, "ms")) * time.Millisecond):
		io.WriteString(w, "waited\n")
	}
}

func (c *control) half(w http.ResponseWriter, req *http.Request) {
	size := number(req, "bytes")
	if req.FormValue("chunked") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	io.Copy(w, newPattern(size/2))
	w.(http.Flusher).Flush()
	// What was flushed is at the other end, in front of this ping, before the tunnel or the stream goes.
	c.session.Ping()
}

func hijack(w http.ResponseWriter) {
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	fmt.Fprint(both, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	both.Flush()
	io.Copy(conn, both)
	io.WriteString(conn, "bye\n")
	conn.Close()
}
