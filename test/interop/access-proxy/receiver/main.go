// A receiving TA of TA cooperation as net/http sees its requests: one code token for each line of X-Edo-Code-Tokens, whose
// value is not split on commas. It answers with what it got, as JSON, and grants a session to whoever brings code tokens.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

const (
	tokensField = "X-Edo-Code-Tokens"
	sessionName = "Edo-Cooperation"
	bodyMax     = 1 << 20
)

type token struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

type seen struct {
	Method        string              `json:"method"`
	Target        string              `json:"target"`
	Host          string              `json:"host"`
	Fields        map[string][]string `json:"fields"`
	Cookies       [][2]string         `json:"cookies"`
	Tokens        []token             `json:"tokens"`
	Body          string              `json:"body"`
	ContentLength int64               `json:"contentLength"`
}

func decodePart(part string) (map[string]any, error) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	return object, json.Unmarshal(text, &object)
}

// decode reads one JWT; two of them on one line are no JWT.
func decode(line string) (token, error) {
	parts := strings.Split(line, ".")
	if len(parts) != 3 {
		return token{}, fmt.Errorf("%d parts", len(parts))
	}
	header, err := decodePart(parts[0])
	if err != nil {
		return token{}, err
	}
	claims, err := decodePart(parts[1])
	if err != nil {
		return token{}, err
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return token{}, err
	}
	return token{header, claims}, nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		http.Error(w, "body: "+err.Error(), http.StatusBadRequest)
		return
	}
	got := seen{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Fields: r.Header,
		Cookies: [][2]string{}, Tokens: []token{}, Body: string(body), ContentLength: r.ContentLength,
	}
	for _, cookie := range r.Cookies() {
		got.Cookies = append(got.Cookies, [2]string{cookie.Name, cookie.Value})
	}
	for _, line := range r.Header[tokensField] {
		decoded, err := decode(line)
		if err != nil {
			http.Error(w, "code token: "+err.Error(), http.StatusBadRequest)
			return
		}
		got.Tokens = append(got.Tokens, decoded)
	}
	if len(got.Tokens) > 0 {
		http.SetCookie(w, &http.Cookie{Name: sessionName, Value: "session-of-go", MaxAge: 600, Path: "/", HttpOnly: true})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(got)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listens %d\n", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(serve)))
	os.Exit(1)
}
