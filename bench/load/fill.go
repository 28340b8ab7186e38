package main

import (
	"flag"
	"fmt"
	"math/rand"
	"time"
)

const window = 4 // commands on their way at once

// fill appends letters to the inbox of every login, by MULTIAPPEND and without waiting where the server can.
func fill(args []string) (result, error) {
	flags := flag.NewFlagSet("fill", flag.ExitOnError)
	messages := flags.Int("messages", 1000, "letters a login")
	least := flags.Int("least", 2000, "octets of a letter at least")
	most := flags.Int("most", 2000, "octets of a letter at most; more than the least: text and an attachment")
	batch := flags.Int("batch", 100, "letters a command, with MULTIAPPEND")
	atOnce := flags.Int("c", 4, "connections at once")
	flags.Parse(args)
	start := time.Now()
	err := each(len(logins), *atOnce, func(user int) error {
		if err := fillOne(user, *messages, *least, *most, *batch); err != nil {
			return fmt.Errorf("%s: %w", logins[user].user, err)
		}
		return nil
	})
	took := time.Since(start)
	return result{"messages": *messages * len(logins), "seconds": took.Seconds(),
		"per_second": float64(*messages*len(logins)) / took.Seconds()}, err
}

func fillOne(user, messages, least, most, batch int) error {
	l, err := open(1 << 14)
	if err != nil {
		return err
	}
	defer l.c.Close()
	if err := l.signIn(logins[user], false); err != nil {
		return err
	}
	if l.caps == "" {
		if err := l.do("CAPABILITY"); err != nil {
			return err
		}
	}
	if !l.has("MULTIAPPEND") {
		batch = 1
	}
	bodies := newBodies(rand.New(rand.NewSource(*seed)), least, most)
	waiting := 0
	for number := 0; number < messages; {
		l.begin()
		l.out = append(l.out, "APPEND INBOX"...)
		for last := min(number+batch, messages); number < last; number++ {
			l.out = append(l.out, flagsOf(number)...)
			if most > least {
				chance := rand.New(rand.NewSource(*seed<<32 + int64(number)))
				err = l.literal([]byte(header(chance, number)), bodies[number%len(bodies)])
			} else {
				err = l.literal(plain(*seed, number, least))
			}
			if err != nil {
				return err
			}
			if len(l.out) > 1<<16 {
				if err := l.flush(); err != nil {
					return err
				}
			}
		}
		l.out = append(l.out, '\r', '\n')
		if err := l.flush(); err != nil {
			return err
		}
		l.c.SetDeadline(time.Now().Add(patience))
		if waiting++; waiting == window || !l.has("LITERAL+") {
			if err := l.finish(); err != nil {
				return err
			}
			waiting--
		}
	}
	for ; waiting > 0; waiting-- {
		if err := l.finish(); err != nil {
			return err
		}
	}
	return l.do("LOGOUT")
}

// flagsOf the number-th letter: two of three were read, one of twenty is flagged.
func flagsOf(number int) string {
	switch {
	case number%20 == 0:
		return ` (\Seen \Flagged) `
	case number%3 == 0:
		return " "
	default:
		return ` (\Seen) `
	}
}

// newBodies are some bodies between two sizes, to be used again and again: the generator must cost little.
func newBodies(chance *rand.Rand, least, most int) [][]byte {
	if most <= least {
		return nil
	}
	bodies := make([][]byte, 61)
	for i := range bodies {
		bodies[i] = body(chance, least+chance.Intn(most-least))
	}
	return bodies
}
