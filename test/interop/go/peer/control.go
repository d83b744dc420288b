package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

// control is the HTTP API by which a test looks at this end of the session and
// makes it act.
//
//	GET  /state[?not=]          {"streams", "closed", "cancelled", "served"}; with
//	                            "not" answered when it is another text than that
//	POST /ping                  the round trip in nanoseconds
//	POST /goaway                GoAway(0)
//	POST /close                 Session.Close
//	POST /kill                  cuts the TCP connection
//	POST /accept?paused=true    stops or resumes accepting (raw mode); stopping
//	                            takes hold after one more stream
//	POST /echo?bytes=&count=    opens streams to the other end, which must echo
//	POST /keep?count=           opens streams and leaves them open
type control struct {
	session   *yamux.Session
	ws        *websocket.Conn
	cancelled atomic.Int64 // handlers that saw their context cancelled
	served    atomic.Int64 // handlers that were entered
	accepting sync.Mutex   // held while accepting is paused
	paused    bool
	watch     sync.Mutex
	changes   chan struct{} // closed at the next change; nil while nobody waits for it
}

// changed is called behind everything that changes the state: it wakes those
// who wait for another one.
func (c *control) changed() {
	c.watch.Lock()
	defer c.watch.Unlock()
	if c.changes != nil {
		close(c.changes)
		c.changes = nil
	}
}

func (c *control) nextChange() <-chan struct{} {
	c.watch.Lock()
	defer c.watch.Unlock()
	if c.changes == nil {
		c.changes = make(chan struct{})
	}
	return c.changes
}

func (c *control) state() string {
	text, _ := json.Marshal(map[string]any{
		"streams":   c.session.NumStreams(),
		"closed":    c.session.IsClosed(),
		"cancelled": c.cancelled.Load(),
		"served":    c.served.Load(),
	})
	return string(text)
}

// stateOtherThan waits for a change where the state is `known`.
func (c *control) stateOtherThan(known string, stop <-chan struct{}) string {
	for {
		change := c.nextChange()
		if state := c.state(); state != known {
			return state
		}
		select {
		case <-change:
		case <-stop:
			return known
		}
	}
}

func (c *control) listen() {
	mux := http.NewServeMux()
	mux.HandleFunc("/state", func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, c.stateOtherThan(req.FormValue("not"), req.Context().Done()))
	})
	mux.HandleFunc("/ping", func(w http.ResponseWriter, req *http.Request) {
		rtt, err := c.session.Ping()
		reply(w, rtt.Nanoseconds(), err)
	})
	mux.HandleFunc("/goaway", func(w http.ResponseWriter, req *http.Request) {
		reply(w, "ok", c.session.GoAway())
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, req *http.Request) {
		reply(w, "ok", c.session.Close())
	})
	mux.HandleFunc("/kill", func(w http.ResponseWriter, req *http.Request) {
		reply(w, "ok", c.kill())
	})
	mux.HandleFunc("/accept", func(w http.ResponseWriter, req *http.Request) {
		c.pause(req.FormValue("paused") == "true")
		reply(w, "ok", nil)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, req *http.Request) {
		reply(w, "ok", c.echoes(number(req, "bytes"), number(req, "count")))
	})
	mux.HandleFunc("/keep", func(w http.ResponseWriter, req *http.Request) {
		reply(w, "ok", c.keep(number(req, "count")))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, mux)
	fmt.Printf("control %s\n", listener.Addr())
}

func reply(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, value)
}

func number(req *http.Request, name string) int {
	value, _ := strconv.Atoi(req.FormValue(name))
	return value
}

func (c *control) kill() error { return c.ws.UnderlyingConn().Close() }

func (c *control) pause(paused bool) {
	if paused == c.paused {
		return
	}
	c.paused = paused
	if paused {
		c.accepting.Lock()
	} else {
		c.accepting.Unlock()
	}
}

// echoes opens `count` streams at once, sends `size` bytes on each and wants
// them back, then closes and wants the end.
func (c *control) echoes(size, count int) error {
	failures := make(chan error, count)
	for i := 0; i < count; i++ {
		go func() { failures <- c.echo(size) }()
	}
	for i := 0; i < count; i++ {
		if err := <-failures; err != nil {
			return err
		}
	}
	return nil
}

func (c *control) echo(size int) error {
	defer c.changed()
	stream, err := c.session.OpenStream()
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(stream, newPattern(size))
		sent <- err
	}()
	hash := sha256.New()
	if _, err := io.CopyN(hash, stream, int64(size)); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if err := <-sent; err != nil {
		return err
	}
	if !bytes.Equal(hash.Sum(nil), patternHash(size)) {
		return fmt.Errorf("echo: %d bytes came back changed", size)
	}
	if err := stream.Close(); err != nil {
		return err
	}
	// v0.1.1 reports the end after its own Close without waiting for it.
	if n, _ := io.Copy(io.Discard, stream); n != 0 {
		return fmt.Errorf("echo: %d bytes too many", n)
	}
	return nil
}

func (c *control) keep(count int) error {
	defer c.changed()
	for i := 0; i < count; i++ {
		if _, err := c.session.OpenStream(); err != nil {
			return err
		}
	}
	return nil
}

// patternPeriod is a prime, so that lost and doubled blocks do not fit. The
// pattern is the one of the benches' cheap device.
const patternPeriod = 65521

var patternBytes = func() []byte {
	all := make([]byte, patternPeriod)
	x := uint32(1)
	for i := range all {
		x = x*1664525 + 1013904223
		all[i] = byte(x >> 24)
	}
	return all
}()

// pattern reads as the first `left` bytes of the pattern.
type pattern struct{ at, left int }

func newPattern(size int) *pattern { return &pattern{left: size} }

func (p *pattern) Read(into []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if len(into) > p.left {
		into = into[:p.left]
	}
	n := copy(into, patternBytes[p.at:])
	p.at = (p.at + n) % patternPeriod
	p.left -= n
	return n, nil
}

func patternHash(size int) []byte {
	hash := sha256.New()
	io.Copy(hash, newPattern(size))
	return hash.Sum(nil)
}

func hexHash(sum []byte) string { return hex.EncodeToString(sum) }
