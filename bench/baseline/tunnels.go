package main

import (
	"io"
	"log"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

// tunnels holds the live session of each device.
type tunnels struct {
	mu       sync.RWMutex
	sessions map[string]*yamux.Session
	tokens   map[string]string // token -> device
	upgrader websocket.Upgrader
}

func newTunnels(tokens map[string]string, ioBuffer int) *tunnels {
	return &tunnels{
		sessions: make(map[string]*yamux.Session),
		tokens:   tokens,
		upgrader: websocket.Upgrader{ReadBufferSize: ioBuffer, WriteBufferSize: ioBuffer},
	}
}

// ServeHTTP is GET /tunnel/connect: a device dials in and stays.
func (t *tunnels) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	device, ok := t.tokens[bearer(req)]
	if !ok {
		http.Error(w, "unknown token", http.StatusUnauthorized)
		return
	}
	ws, err := t.upgrader.Upgrade(w, req, nil)
	if err != nil {
		return // Upgrade has answered.
	}
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	session, err := yamux.Client(&wsConn{ws: ws}, config)
	if err != nil {
		ws.Close()
		return
	}
	t.register(device, session)
	<-session.CloseChan()
	t.unregister(device, session)
}

func (t *tunnels) register(device string, session *yamux.Session) {
	t.mu.Lock()
	displaced := t.sessions[device]
	t.sessions[device] = session
	t.mu.Unlock()
	if displaced != nil {
		log.Printf("device %s connected again", device)
		displaced.Close()
	}
}

func (t *tunnels) unregister(device string, session *yamux.Session) {
	t.mu.Lock()
	if t.sessions[device] == session {
		delete(t.sessions, device)
	}
	t.mu.Unlock()
	session.Close()
}

func (t *tunnels) session(device string) *yamux.Session {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.sessions[device]
}
