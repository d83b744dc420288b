// Command baseline is the relay that Hawser is measured against: the shape a Go
// program of this kind has when it is written plainly, with gorilla/websocket,
// hashicorp/yamux and net/http, each on its defaults. One yamux stream for each
// request, http.Request.Write, http.ReadResponse, io.Copy.
//
// It is frozen: a change of it changes every ratio that was ever printed. See
// docs/adr/0007-measuring-against-a-go-baseline.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

// credentials is the file that the bench writes.
type credentials struct {
	Devices []struct {
		Token  string `json:"token"`
		Device string `json:"device"`
	} `json:"devices"`
	Keys []string `json:"keys"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the listener")
	file := flag.String("credentials", "", "JSON file: devices [{token, device}], keys [key]")
	tuned := flag.Bool("tuned", false, "64 KiB buffers for the WebSocket and the request")
	flag.Parse()

	tokens, keys, err := readCredentials(*file)
	if err != nil {
		log.Fatal(err)
	}
	webSocketBuffer, requestBuffer := 0, 0 // The libraries' own.
	if *tuned {
		webSocketBuffer, requestBuffer = 64<<10, 64<<10
	}
	sessions := newTunnels(tokens, webSocketBuffer)
	mux := http.NewServeMux()
	mux.Handle("/tunnel/connect", sessions)
	mux.Handle("/d/", &edge{tunnels: sessions, keys: keys, writeBuffer: requestBuffer})

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening %s\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}

func readCredentials(file string) (map[string]string, map[string]struct{}, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	var all credentials
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	tokens := make(map[string]string, len(all.Devices))
	for _, entry := range all.Devices {
		tokens[entry.Token] = entry.Device
	}
	keys := make(map[string]struct{}, len(all.Keys))
	for _, key := range all.Keys {
		keys[key] = struct{}{}
	}
	return tokens, keys, nil
}

func bearer(req *http.Request) string {
	token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	return token
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
