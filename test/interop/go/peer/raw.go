package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// serveRaw accepts streams that begin with a line naming what to do:
//
//	echo        sends back what comes, until the end, and ends then
//	sink        reads until the end, answers "<bytes> <sha256>\n", ends
//	source N    sends N bytes of the pattern, ends
//	close       ends at once and reads no more
//	bye         answers "bye\n" and ends, then reads until the other end's end
//	hold        reads nothing and does nothing
func serveRaw(c *control) {
	for {
		c.accepting.Lock()
		c.accepting.Unlock()
		stream, err := c.session.Accept()
		if err != nil {
			return
		}
		c.served.Add(1)
		c.changed()
		go func() {
			handleRaw(stream)
			c.changed()
		}()
	}
}

func handleRaw(stream net.Conn) {
	in := bufio.NewReader(stream)
	line, err := in.ReadString('\n')
	if err != nil {
		stream.Close()
		return
	}
	verb, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "echo":
		io.Copy(stream, in)
		stream.Close()
	case "sink":
		hash := sha256.New()
		n, _ := io.Copy(hash, in)
		fmt.Fprintf(stream, "%d %s\n", n, hexHash(hash.Sum(nil)))
		stream.Close()
	case "source":
		size, _ := strconv.Atoi(argument)
		io.Copy(stream, newPattern(size))
		stream.Close()
	case "bye":
		io.WriteString(stream, "bye\n")
		stream.Close()
		io.Copy(io.Discard, in)
	case "hold":
	default:
		stream.Close()
	}
}
