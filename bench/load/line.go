package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"strings"
	"time"
)

// line is one connection to the server, and what its answers tell of the mailbox selected.
type line struct {
	c    net.Conn
	r    *bufio.Reader
	tag  int
	out  []byte
	sent uint32 // digest of all that was sent, but sign-ins
	caps string

	exists            int
	validity, modseq  uint64
	fetches, vanished int    // of the last command
	hits              int    // of the last SEARCH
	octets            int64  // of literals received
	code              string // of the last tagged answer
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// eager reads all that has come at once: TLS alone asks for each record's head and body, a system call each.
type eager struct {
	net.Conn
	r *bufio.Reader
}

func (e *eager) Read(to []byte) (int, error) { return e.r.Read(to) }

var untagged = []byte{'*'}

const patience = 120 * time.Second

// open connects, starts TLS as the flags say, and reads the greeting.
func open(buffer int) (*line, error) {
	c, err := net.DialTimeout("tcp", *addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	l := &line{c: &eager{c, bufio.NewReaderSize(c, 2*buffer)}}
	l.secure(buffer, !*starttls)
	if _, err := l.r.ReadSlice('\n'); err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if *starttls {
		if err := l.do("STARTTLS"); err != nil {
			return nil, err
		}
		l.secure(buffer, true)
	}
	return l, nil
}

func (l *line) secure(buffer int, protect bool) {
	if protect {
		l.c = tls.Client(l.c, tlsConfig)
	}
	l.c.SetDeadline(time.Now().Add(patience))
	l.r = bufio.NewReaderSize(l.c, buffer)
}

// signIn logs in, by AUTHENTICATE PLAIN when sasl, and learns the capabilities.
func (l *line) signIn(who login, sasl bool) error {
	before := l.sent
	var err error
	if sasl {
		secret := base64.StdEncoding.EncodeToString([]byte("\x00" + who.user + "\x00" + who.password))
		err = l.do("AUTHENTICATE PLAIN " + secret)
	} else {
		err = l.do(fmt.Sprintf("LOGIN %q %q", who.user, who.password))
	}
	l.sent = before
	if err == nil && strings.HasPrefix(l.code, "CAPABILITY ") {
		l.caps = " " + l.code + " "
	}
	return err
}

// do sends a command without literals and reads its answer. Anything but OK is an error.
func (l *line) do(command string) error {
	l.begin()
	l.out = append(append(l.out, command...), '\r', '\n')
	if err := l.flush(); err != nil {
		return err
	}
	return l.finish()
}

// begin starts a command in l.out with the next tag.
func (l *line) begin() {
	l.tag++
	l.out = append(l.out, 'a')
	l.out = strconv.AppendInt(l.out, int64(l.tag), 10)
	l.out = append(l.out, ' ')
}

func (l *line) flush() error {
	l.sent = crc32.Update(l.sent, castagnoli, l.out)
	_, err := l.c.Write(l.out)
	l.out = l.out[:0]
	return err
}

// literal puts a literal into l.out; where it must be asked for, it waits for the server to ask.
func (l *line) literal(parts ...[]byte) error {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	plus := l.has("LITERAL+") || l.has("LITERAL-") && size <= 4096
	l.out = append(l.out, '{')
	l.out = strconv.AppendInt(l.out, int64(size), 10)
	if plus {
		l.out = append(l.out, "+}\r\n"...)
	} else {
		l.out = append(l.out, "}\r\n"...)
		if err := l.flush(); err != nil {
			return err
		}
		for {
			tagged, text, err := l.read()
			if err != nil {
				return err
			}
			if tagged {
				return fmt.Errorf("literal refused: %s", text)
			}
			if text[0] == '+' {
				break
			}
		}
	}
	for _, part := range parts {
		l.out = append(l.out, part...)
	}
	return nil
}

func (l *line) has(capability string) bool { return strings.Contains(l.caps, " "+capability+" ") }

// finish reads until a command's answer. One command is answered at a time, in order.
func (l *line) finish() error {
	l.fetches, l.hits, l.vanished = 0, 0, 0
	for {
		tagged, text, err := l.read()
		if err != nil {
			return err
		}
		if !tagged {
			continue
		}
		if !bytes.HasPrefix(text, []byte("OK")) {
			return fmt.Errorf("answered %s", bytes.TrimSpace(text))
		}
		l.code = ""
		if open, end := bytes.IndexByte(text, '['), bytes.IndexByte(text, ']'); open == 3 && end > open {
			l.code = string(text[open+1 : end])
		}
		return nil
	}
}

// read takes one whole answer, its literals passed over: whether it is tagged, and its first line (without the tag).
func (l *line) read() (bool, []byte, error) {
	text, err := l.slice()
	if err != nil {
		return false, nil, err
	}
	if text[0] != '*' && text[0] != '+' {
		space := bytes.IndexByte(text, ' ')
		return true, text[space+1:], nil
	}
	if text[0] == '+' {
		return false, text[:1], nil
	}
	l.note(text)
	for {
		size := literalAt(text)
		if size < 0 {
			return false, untagged, nil
		}
		l.octets += size
		if _, err := l.r.Discard(int(size)); err != nil {
			return false, nil, err
		}
		if text, err = l.slice(); err != nil {
			return false, nil, err
		}
	}
}

func (l *line) slice() ([]byte, error) {
	text, err := l.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		kept := append([]byte(nil), text...)
		var rest []byte
		rest, err = l.r.ReadBytes('\n')
		text = append(kept, rest...)
	}
	return text, err
}

// literalAt is the size that a line ends with, or -1.
func literalAt(text []byte) int64 {
	end := len(text) - 3
	if end < 2 || text[end] != '}' {
		return -1
	}
	size, scale := int64(0), int64(1)
	for at := end - 1; at > 0; at-- {
		digit := text[at]
		if digit == '{' && scale > 1 {
			return size
		}
		if digit < '0' || digit > '9' {
			return -1
		}
		size += int64(digit-'0') * scale
		scale *= 10
	}
	return -1
}

// note learns from an untagged answer.
func (l *line) note(text []byte) {
	if len(text) < 4 {
		return
	}
	rest, number := text[2:], 0
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		number = number*10 + int(rest[0]-'0')
		rest = rest[1:]
	}
	rest = bytes.TrimPrefix(rest, []byte(" "))
	switch {
	case bytes.HasPrefix(rest, []byte("FETCH")):
		l.fetches++
	case bytes.HasPrefix(rest, []byte("EXISTS")):
		l.exists = number
	case bytes.HasPrefix(rest, []byte("EXPUNGE")):
		l.exists--
		l.vanished++
	case bytes.HasPrefix(rest, []byte("SEARCH")):
		l.hits = bytes.Count(rest, []byte(" "))
	case bytes.HasPrefix(rest, []byte("VANISHED")):
		set := rest[bytes.LastIndexByte(rest, ' ')+1:]
		l.vanished += len(expand(string(bytes.TrimSpace(set))))
	case bytes.HasPrefix(rest, []byte("OK [UIDVALIDITY ")):
		l.validity = leading(rest[16:])
	case bytes.HasPrefix(rest, []byte("OK [HIGHESTMODSEQ ")):
		l.modseq = leading(rest[18:])
	case bytes.HasPrefix(rest, []byte("CAPABILITY ")):
		l.caps = " " + string(bytes.TrimSpace(rest)) + " "
	}
}

func leading(text []byte) uint64 {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	value, _ := strconv.ParseUint(string(text[:end]), 10, 64)
	return value
}

// expand lists the numbers of a set such as 1:3,7.
func expand(set string) []int {
	var found []int
	for _, each := range strings.Split(set, ",") {
		first, last, ranged := strings.Cut(each, ":")
		low, _ := strconv.Atoi(first)
		high := low
		if ranged {
			high, _ = strconv.Atoi(last)
		}
		for ; low <= high; low++ {
			found = append(found, low)
		}
	}
	return found
}
