package main

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// single times single operations on the first login's inbox, which fill made: each on a connection of its own, once signed
// in, so that nothing is kept from the one before but what the server keeps.
func single(args []string) (result, error) {
	flags := flag.NewFlagSet("single", flag.ExitOnError)
	rounds := flags.Int("rounds", 10, "times each operation is timed")
	changes := flags.Int("changes", 100, "changes between two QRESYNC")
	flags.Parse(args)
	s := &sequence{times: map[string][]time.Duration{}, changes: *changes}
	found := result{}
	for round := 0; round < *rounds; round++ {
		for _, operation := range []func(int) error{s.selects, s.envelopes, s.flags, s.rareWord, s.commonWord, s.resync} {
			if err := operation(round); err != nil {
				return nil, fmt.Errorf("%s: %w", s.kind, err)
			}
			if round == 0 && s.kind == "select" {
				found["first_select"] = milliseconds(s.times["select"][0])
			}
		}
	}
	for kind, times := range s.times {
		found[kind] = quantiles(times)
	}
	found["messages"] = s.messages
	return found, nil
}

type sequence struct {
	times    map[string][]time.Duration
	kind     string
	messages int
	changes  int
}

// on opens a connection, selects the inbox with this command unless it is empty, and works.
func (s *sequence) on(selecting string, work func(*line) error) error {
	l, err := open(1 << 16)
	if err != nil {
		return err
	}
	defer l.c.Close()
	if err := l.signIn(logins[0], false); err != nil {
		return err
	}
	if selecting != "" {
		if err := l.do(selecting); err != nil {
			return err
		}
		s.messages = l.exists
	}
	if err := work(l); err != nil {
		return err
	}
	return l.do("LOGOUT")
}

func (s *sequence) timed(kind string, l *line, command string) error {
	s.kind = kind
	start := time.Now()
	err := l.do(command)
	s.times[kind] = append(s.times[kind], time.Since(start))
	return err
}

func (s *sequence) selects(int) error {
	return s.on("", func(l *line) error {
		err := s.timed("select", l, "SELECT INBOX")
		s.messages = l.exists
		return err
	})
}

func (s *sequence) envelopes(int) error {
	return s.on("SELECT INBOX", func(l *line) error {
		range50 := fmt.Sprintf("FETCH %d:%d (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", l.exists-49, l.exists)
		if err := s.timed("envelopes", l, range50); err != nil {
			return err
		}
		if l.fetches != 50 {
			return fmt.Errorf("%d envelopes", l.fetches)
		}
		return nil
	})
}

func (s *sequence) flags(int) error {
	return s.on("SELECT INBOX", func(l *line) error {
		if err := s.timed("all flags", l, "FETCH 1:* (UID FLAGS)"); err != nil {
			return err
		}
		if l.fetches != l.exists {
			return fmt.Errorf("%d flags of %d", l.fetches, l.exists)
		}
		return nil
	})
}

func (s *sequence) rareWord(int) error { return s.word("rare word", rare, 1000) }

func (s *sequence) commonWord(int) error { return s.word("common word", common, 10) }

// word searches for a word that stands in one letter of so many.
func (s *sequence) word(kind, word string, every int) error {
	return s.on("SELECT INBOX", func(l *line) error {
		if err := s.timed(kind, l, fmt.Sprintf("UID SEARCH TEXT %q", word)); err != nil {
			return err
		}
		// Rounds before expunged some, and added some.
		if least, most := l.exists/every*8/10, l.exists/every*12/10; l.hits < least || l.hits > most {
			return fmt.Errorf("%d found, of %d to %d", l.hits, least, most)
		}
		return nil
	})
}

// resync changes the mailbox while a session is away (three fifths flags, one fifth gone, one fifth new), then brings it up
// to date.
func (s *sequence) resync(round int) error {
	var validity, modseq uint64
	know := func(l *line) error {
		validity, modseq = l.validity, l.modseq
		return nil
	}
	if err := s.on("SELECT INBOX (CONDSTORE)", know); err != nil {
		return err
	}
	flagged, gone, added := s.changes*3/5, s.changes/5, s.changes/5
	if err := s.on("SELECT INBOX", func(l *line) error { return change(l, round, flagged, gone, added) }); err != nil {
		return err
	}
	return s.on("", func(l *line) error {
		s.kind = "enable"
		if err := l.do("ENABLE QRESYNC"); err != nil {
			return err
		}
		if err := s.timed("qresync", l, fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", validity, modseq)); err != nil {
			return err
		}
		if l.fetches != flagged+added || l.vanished != gone {
			return fmt.Errorf("%d changed and %d vanished were told", l.fetches, l.vanished)
		}
		return nil
	})
}

// change flags, expunges and adds letters, all over the mailbox.
func change(l *line, round, flagged, gone, added int) error {
	stride := l.exists / (flagged + gone + 1)
	var flag, expunge []string
	for i := 0; i < flagged+gone; i++ {
		number := strconv.Itoa(1 + i*stride + round)
		if i%4 == 3 && len(expunge) < gone {
			expunge = append(expunge, number)
		} else {
			flag = append(flag, number)
		}
	}
	for _, command := range []string{
		"STORE " + strings.Join(flag, ",") + " -FLAGS.SILENT ($Bench)", // or a run before may have done it
		"STORE " + strings.Join(flag, ",") + " +FLAGS.SILENT ($Bench)",
		fmt.Sprintf(`STORE %s +FLAGS.SILENT (\Deleted)`, strings.Join(expunge, ",")),
		"EXPUNGE",
	} {
		if err := l.do(command); err != nil {
			return fmt.Errorf("%.40s: %w", command, err)
		}
	}
	for i := 0; i < added; i++ {
		if err := appendOne(l, plain(*seed, 10_000_000+1000*round+i, 2000)); err != nil {
			return err
		}
	}
	return nil
}

func appendOne(l *line, content []byte) error {
	l.begin()
	l.out = append(l.out, "APPEND INBOX "...)
	if err := l.literal(content); err != nil {
		return err
	}
	l.out = append(l.out, '\r', '\n')
	if err := l.flush(); err != nil {
		return err
	}
	return l.finish()
}
