// Command peer is the other end of Hawser's interoperability tests: a program
// in Go with hashicorp/yamux, as a device that dials in, or as the relay's side
// for Hawser's agent. It is built once for each version of yamux under test.
//
//	peer device -relay ws://127.0.0.1:3800/tunnel/connect -token T [-role server] [-serve http|raw]
//	peer relay -token T [-role client]
//
// It prints "control <address>" when its control API is up and, as a device,
// "connected" after the upgrade; as a relay "relay <address>". It ends when its
// standard input ends.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

type settings struct {
	relay       string
	token       string
	role        string
	serve       string
	window      uint
	keepAlive   time.Duration
	writeLimit  time.Duration
	writeBuffer int
	paused      bool
	logged      bool
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("peer: device or relay?")
	}
	var s settings
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&s.relay, "relay", "", "WebSocket URL to dial")
	flags.StringVar(&s.token, "token", "", "bearer token")
	flags.StringVar(&s.role, "role", "server", "yamux role: client or server")
	flags.StringVar(&s.serve, "serve", "http", "what accepted streams speak: http or raw")
	flags.UintVar(&s.window, "window", 256<<10, "MaxStreamWindowSize")
	flags.DurationVar(&s.keepAlive, "keepalive", 30*time.Second, "KeepAliveInterval")
	flags.DurationVar(&s.writeLimit, "write-timeout", 10*time.Second, "ConnectionWriteTimeout")
	flags.IntVar(&s.writeBuffer, "write-buffer", 0, "gorilla's WriteBufferSize, 0 for its default")
	flags.BoolVar(&s.paused, "paused", false, "start without accepting (raw mode)")
	flags.BoolVar(&s.logged, "log", false, "print yamux's log to standard error")
	flags.Parse(os.Args[2:])

	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	switch os.Args[1] {
	case "device":
		runDevice(s)
	case "relay":
		runRelay(s)
	default:
		log.Fatal("peer: device or relay?")
	}
}

// open starts a yamux session of the wanted role over a WebSocket. It calls
// received behind each part of what comes that yamux has dealt with.
func (s settings) open(ws *websocket.Conn, received func()) (*yamux.Session, error) {
	config := yamux.DefaultConfig()
	config.MaxStreamWindowSize = uint32(s.window)
	config.KeepAliveInterval = s.keepAlive
	config.ConnectionWriteTimeout = s.writeLimit
	config.LogOutput = io.Discard
	if s.logged {
		config.LogOutput = os.Stderr
	}
	conn := &wsConn{ws: ws, onRead: received}
	if s.role == "client" {
		return yamux.Client(conn, config)
	}
	return yamux.Server(conn, config)
}

func runDevice(s settings) {
	dialer := websocket.Dialer{WriteBufferSize: s.writeBuffer, HandshakeTimeout: 10 * time.Second}
	header := http.Header{"Authorization": {"Bearer " + s.token}}
	ws, answer, err := dialer.Dial(s.relay, header)
	if err != nil {
		if answer != nil {
			log.Fatalf("peer: %v: %s", err, answer.Status)
		}
		log.Fatalf("peer: %v", err)
	}
	state := &control{ws: ws}
	state.pause(s.paused)
	state.session, err = s.open(ws, state.changed)
	if err != nil {
		log.Fatalf("peer: %v", err)
	}
	state.listen()
	fmt.Println("connected")
	if s.serve == "raw" {
		serveRaw(state)
	} else {
		serveHTTP(state)
	}
	<-state.session.CloseChan()
	state.changed()
	fmt.Println("session closed")
	select {} // The control API still answers; the end of standard input ends us.
}
