package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

const overdue = 10 * time.Second // then a session was not told

// idle opens sessions that idle in the inboxes of all logins, as many on each, says so on standard output, waits for a line
// on standard input, then appends letters by a session of its own, and times until each session was told.
func idle(args []string) (result, error) {
	flags := flag.NewFlagSet("idle", flag.ExitOnError)
	sessions := flags.Int("sessions", 1000, "idle sessions")
	rounds := flags.Int("rounds", 20, "letters, one after the other, to one login each")
	flags.Parse(args)
	told := make([]chan time.Time, len(logins))
	for i := range told {
		told[i] = make(chan time.Time, *sessions)
	}
	opened := make([]*line, *sessions)
	start := time.Now()
	err := each(*sessions, 8, func(number int) error {
		l, err := open(1 << 12)
		if err != nil {
			return err
		}
		opened[number] = l
		return enterIdle(l, number%len(logins))
	})
	if err != nil {
		return nil, err
	}
	fmt.Printf("{\"idling\": %d, \"seconds\": %.2f}\n", *sessions, time.Since(start).Seconds())
	var group sync.WaitGroup
	for number, l := range opened {
		group.Add(1)
		go func(l *line, tell chan<- time.Time) {
			defer group.Done()
			listen(l, tell)
		}(l, told[number%len(logins)])
	}
	bufio.NewReader(os.Stdin).ReadString('\n')
	var times []time.Duration
	var accepted []time.Duration
	for round := 0; round < *rounds && err == nil; round++ {
		user := round % len(logins)
		wanted := (*sessions - user + len(logins) - 1) / len(logins)
		var delays []time.Duration
		var took time.Duration
		delays, took, err = deliver(user, round, wanted, told[user])
		times, accepted = append(times, delays...), append(accepted, took)
	}
	for _, l := range opened {
		l.c.Close()
	}
	group.Wait()
	return result{"sessions": *sessions, "told": quantiles(times), "append": quantiles(accepted)}, err
}

func enterIdle(l *line, user int) error {
	if err := l.signIn(logins[user], false); err != nil {
		return err
	}
	if err := l.do("SELECT INBOX"); err != nil {
		return err
	}
	l.begin()
	l.out = append(l.out, "IDLE\r\n"...)
	if err := l.flush(); err != nil {
		return err
	}
	l.c.SetDeadline(time.Time{})
	for {
		text, err := l.slice()
		if err != nil {
			return err
		}
		switch text[0] {
		case '+':
			return nil
		case '*':
			continue
		}
		return fmt.Errorf("no IDLE: %s", text)
	}
}

// listen tells of each EXISTS until the connection is closed.
func listen(l *line, tell chan<- time.Time) {
	for {
		text, err := l.slice()
		if err != nil {
			return
		}
		if bytes.HasSuffix(text, []byte(" EXISTS\r\n")) {
			tell <- time.Now()
		}
	}
}

// deliver appends a letter, and waits until all are told: the delays since its last octet was sent, and the one of its OK.
func deliver(user, round, wanted int, told <-chan time.Time) ([]time.Duration, time.Duration, error) {
	l, err := open(1 << 12)
	if err != nil {
		return nil, 0, err
	}
	defer l.c.Close()
	if err := l.signIn(logins[user], false); err != nil {
		return nil, 0, err
	}
	l.begin()
	l.out = append(l.out, "APPEND INBOX "...)
	if err := l.literal(plain(*seed, 20_000_000+round, 5000)); err != nil {
		return nil, 0, err
	}
	l.out = append(l.out, '\r', '\n')
	start := time.Now()
	if err := l.flush(); err != nil {
		return nil, 0, err
	}
	if err := l.finish(); err != nil {
		return nil, 0, err
	}
	took := time.Since(start)
	var delays []time.Duration
	late := time.After(overdue)
	for len(delays) < wanted {
		select {
		case at := <-told:
			delays = append(delays, at.Sub(start))
		case <-late:
			return delays, took, fmt.Errorf("%d of %d sessions were told", len(delays), wanted)
		}
	}
	return delays, took, l.do("LOGOUT")
}
