// Command godevice is a device as a Go program has it when it is written plainly: gorilla/websocket, hashicorp/yamux and
// net/http, each on its defaults, with the versions of bench/baseline. It holds one tunnel for each token of a file.
//
//	godevice -relay 127.0.0.1:3800 -tokens tokens.txt [-count N] [-skip N]
//
// It prints "ready N" when all tunnels are up and ends when its standard input ends. A lost tunnel ends it with a
// reason on standard error. It serves what bench/support/device.c serves:
//
//	GET  /hello           13 bytes
//	GET  /down?bytes=N    N bytes of the pattern
//	POST /up[?crc=1]      reads the body, answers "bytes=N match=0|1 crc=XXXXXXXX"
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/yamux"
)

func main() {
	log.SetFlags(0)
	relay := flag.String("relay", "", "address of the relay")
	file := flag.String("tokens", "", "file with a token on each line")
	count := flag.Int("count", 0, "tunnels to hold; 0 for one of each token")
	skip := flag.Int("skip", 0, "tokens at the start of the file that are left to others")
	flag.Parse()

	tokens, err := readTokens(*file, *skip, *count)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "Hello, world!")
	})
	mux.HandleFunc("/down", down)
	mux.HandleFunc("/up", up)
	for _, token := range tokens {
		session, err := dial(*relay, token)
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal("a tunnel ended: ", http.Serve(session, mux)) }()
	}
	fmt.Printf("ready %d\n", len(tokens))
	io.Copy(io.Discard, os.Stdin)
}

func readTokens(file string, skip, count int) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tokens []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	for at := 0; lines.Scan() && (count == 0 || len(tokens) < count); at++ {
		if at >= skip {
			tokens = append(tokens, lines.Text())
		}
	}
	if len(tokens) == 0 || len(tokens) < count {
		return nil, fmt.Errorf("%s has %d tokens to use", file, len(tokens))
	}
	return tokens, nil
}

func dial(relay, token string) (*yamux.Session, error) {
	header := http.Header{"Authorization": {"Bearer " + token}}
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+relay+"/tunnel/connect", header)
	if err != nil {
		return nil, err
	}
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	return yamux.Server(&wsConn{ws: ws}, config)
}

// pattern has the period and the bytes that device.c describes, twice, so that a piece may start anywhere in it.
var pattern = func() []byte {
	const period = 65_521
	bytes := make([]byte, 2*period)
	x := uint32(1)
	for i := range bytes[:period] {
		x = x*1_664_525 + 1_013_904_223
		bytes[i] = byte(x >> 24)
		bytes[period+i] = bytes[i]
	}
	return bytes
}()

// piece is the pattern from offset at, at most half of it and at most size bytes.
func piece(at, size int) []byte {
	period := len(pattern) / 2
	return pattern[at%period:][:min(size, period)]
}

func down(w http.ResponseWriter, req *http.Request) {
	size, err := strconv.Atoi(req.FormValue("bytes"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	for at := 0; at < size; {
		n, err := w.Write(piece(at, size-at))
		if err != nil {
			return
		}
		at += n
	}
}

func up(w http.ResponseWriter, req *http.Request) {
	wantsSum := req.URL.Query().Get("crc") == "1"
	buffer := make([]byte, 32<<10)
	total, match, sum := 0, 1, uint32(0)
	for {
		n, err := req.Body.Read(buffer)
		if !bytes.Equal(buffer[:n], piece(total, n)) {
			match = 0
		}
		if wantsSum {
			sum = crc32.Update(sum, crc32.IEEETable, buffer[:n])
		}
		total += n
		if err == io.EOF {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	fmt.Fprintf(w, "bytes=%d match=%d crc=%08x", total, match, sum)
}
