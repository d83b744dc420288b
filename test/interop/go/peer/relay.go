package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

// runRelay is the relay's side: devices dial /tunnel/connect, every other
// request is passed to the newest one on a stream of its own. With the field
// x-raw on a request the stream is not HTTP: the body is sent as it is and ended,
// and what comes back until the end is the answer.
func runRelay(s settings) {
	side := &relaySide{settings: s}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/tunnel/connect", side.connect)
	mux.HandleFunc("/", side.forward)
	fmt.Printf("relay %s\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

type relaySide struct {
	settings settings
	mu       sync.Mutex
	session  *yamux.Session
	once     sync.Once
	state    control
}

func (r *relaySide) connect(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Authorization") != "Bearer "+r.settings.token {
		http.Error(w, "unknown token", http.StatusUnauthorized)
		return
	}
	upgrader := websocket.Upgrader{WriteBufferSize: r.settings.writeBuffer}
	ws, err := upgrader.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	session, err := r.settings.open(ws, r.state.changed)
	if err != nil {
		ws.Close()
		return
	}
	r.mu.Lock()
	r.session = session
	r.state.session, r.state.ws = session, ws
	r.mu.Unlock()
	r.state.changed()
	go func() {
		<-session.CloseChan()
		r.state.changed()
	}()
	r.once.Do(r.state.listen)
	fmt.Println("connected")
}

func (r *relaySide) forward(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	session := r.session
	r.mu.Unlock()
	if session == nil {
		http.Error(w, "no tunnel", http.StatusServiceUnavailable)
		return
	}
	stream, err := session.OpenStream()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer r.state.changed()
	defer stream.Close()
	stop := context.AfterFunc(req.Context(), func() { stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if req.Header.Get("X-Raw") != "" {
		err = r.raw(w, req, stream)
	} else {
		err = exchange(w, req, stream)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

func exchange(w http.ResponseWriter, req *http.Request, stream *yamux.Stream) error {
	out := req.Clone(req.Context())
	out.RequestURI = ""
	out.Header.Del("Connection")
	out.Header.Del("Expect")
	go out.Write(stream)
	answer, err := http.ReadResponse(bufio.NewReader(stream), req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return nil
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, err = io.Copy(w, answer.Body)
	return err
}

// raw needs the end of our side to pass while the other side goes on: v0.1.1
// reports the end of reading after its own Close, so it cannot do that.
func (r *relaySide) raw(w http.ResponseWriter, req *http.Request, stream *yamux.Stream) error {
	go func() {
		io.Copy(stream, req.Body)
		stream.Close()
		r.state.changed()
	}()
	_, err := io.Copy(w, stream)
	if errors.Is(err, yamux.ErrStreamClosed) {
		return nil
	}
	return err
}
