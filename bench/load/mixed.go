package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// steps of a session and how often each is taken, in a hundred.
var steps = []struct {
	kind   string
	weight int
	take   func(*client) error
}{
	{"fetch flags", 14, (*client).fetchFlags},
	{"fetch envelopes", 10, (*client).fetchEnvelopes},
	{"fetch headers", 10, (*client).fetchHeaders},
	{"fetch structure", 5, (*client).fetchStructure},
	{"fetch body", 20, (*client).fetchBody},
	{"search flags", 5, (*client).searchFlags},
	{"search header", 4, (*client).searchHeader},
	{"search word", 2, (*client).searchWord},
	{"store", 13, (*client).store},
	{"append", 8, (*client).append},
	{"expunge", 3, (*client).expunge},
	{"status", 3, (*client).status},
	{"noop", 3, (*client).noop},
}

// client is one of the clients: its account, its chance, and what it saw.
type client struct {
	*line
	chance   *rand.Rand
	bodies   [][]byte
	number   int   // of the next letter that it appends
	appended []int // UIDs of its letters that are still there
	times    map[string][]time.Duration
	fetched  int
	found    int
	kind     string
	digest   uint32
	received int64 // octets of bodies
}

// mixed is the load of several mail programs at once, each with its own account, already filled.
func mixed(args []string) (result, error) {
	flags := flag.NewFlagSet("mixed", flag.ExitOnError)
	rounds := flags.Int("rounds", 10, "sessions a client, one after the other")
	length := flags.Int("steps", 40, "steps a session, sign-in and farewell aside")
	run := flags.Int("run", 0, "the number of this run; a run of the same number has the same steps")
	flags.Parse(args)
	clients := make([]*client, len(logins))
	bodies := newBodies(rand.New(rand.NewSource(*seed+1)), 5_000, 50_000)
	for i := range clients {
		clients[i] = &client{
			chance: rand.New(rand.NewSource(*seed<<40 + int64(*run)<<20 + int64(i))),
			bodies: bodies,
			number: 1_000_000 * (*run + 1),
			times:  map[string][]time.Duration{},
		}
	}
	var group sync.WaitGroup
	var once sync.Once
	var failed error
	errors := 0
	var counting sync.Mutex
	start := time.Now()
	for i, c := range clients {
		group.Add(1)
		go func(who login, c *client) {
			defer group.Done()
			for round := 0; round < *rounds; round++ {
				if err := c.session(who, round%2 == 1, *length); err != nil {
					counting.Lock()
					errors++
					counting.Unlock()
					once.Do(func() { failed = fmt.Errorf("%s: %s: %w", who.user, c.kind, err) })
					return
				}
			}
		}(logins[i], c)
	}
	group.Wait()
	took := time.Since(start)
	if failed != nil {
		fmt.Fprintln(os.Stderr, failed)
	}
	return report(clients, took, errors), failed
}

func report(clients []*client, took time.Duration, errors int) result {
	commands, fetched, found, digest, received := 0, 0, 0, uint32(0), int64(0)
	all := map[string][]time.Duration{}
	for _, c := range clients {
		for kind, times := range c.times {
			all[kind] = append(all[kind], times...)
			commands += len(times)
		}
		fetched += c.fetched
		found += c.found
		received += c.received
		digest = digest*31 + c.digest
	}
	kinds := result{}
	for kind, times := range all {
		kinds[kind] = quantiles(times)
	}
	return result{"commands": commands, "errors": errors, "seconds": took.Seconds(),
		"per_second": float64(commands) / took.Seconds(), "kinds": kinds, "fetched": fetched, "found": found,
		"octets": received, "sent": fmt.Sprintf("%08x", digest)}
}

// session signs in, looks around, takes its steps, tidies up and leaves.
func (c *client) session(who login, sasl bool, length int) error {
	var err error
	c.kind = "connect"
	start := time.Now()
	if c.line, err = open(1 << 16); err != nil {
		return err
	}
	defer c.c.Close()
	c.sent = c.digest
	defer func() { c.digest = c.sent }()
	c.kind = "login"
	if err := c.signIn(who, sasl); err != nil {
		return err
	}
	c.times["connect and login"] = append(c.times["connect and login"], time.Since(start))
	if err := c.timed("list", `LIST "" "*"`); err != nil {
		return err
	}
	if err := c.timed("select", "SELECT INBOX"); err != nil {
		return err
	}
	for i := 0; i < length; i++ {
		at := c.chance.Intn(100)
		for _, step := range steps {
			if at -= step.weight; at < 0 {
				if err := step.take(c); err != nil {
					return err
				}
				break
			}
		}
	}
	for len(c.appended) > 0 {
		if err := c.expunge(); err != nil {
			return err
		}
	}
	return c.timed("logout", "LOGOUT")
}

func (c *client) timed(kind, command string) error {
	c.kind = kind
	start := time.Now()
	err := c.do(command)
	c.times[kind] = append(c.times[kind], time.Since(start))
	return err
}

// some messages: the first and last sequence number of a range of at most so many, the newest more often.
func (c *client) some(size int) (int, int) {
	size = min(size, c.exists)
	first := c.exists - size + 1
	if c.chance.Intn(3) == 0 {
		first = 1 + c.chance.Intn(first)
	}
	return first, first + size - 1
}

// fetchRange fetches items of a range, each message of which must be answered.
func (c *client) fetchRange(kind string, size int, items string) error {
	first, last := c.some(size)
	if err := c.timed(kind, fmt.Sprintf("FETCH %d:%d (%s)", first, last, items)); err != nil {
		return err
	}
	c.fetched += c.fetches
	if c.fetches < last-first+1 {
		return fmt.Errorf("%d of %d messages answered", c.fetches, last-first+1)
	}
	return nil
}

func (c *client) fetchFlags() error { return c.fetchRange("fetch flags", 100, "UID FLAGS") }

func (c *client) fetchEnvelopes() error {
	return c.fetchRange("fetch envelopes", 50, "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE")
}

func (c *client) fetchHeaders() error {
	return c.fetchRange("fetch headers", 20, "UID FLAGS BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID)]")
}

func (c *client) fetchStructure() error {
	return c.fetchRange("fetch structure", 20, "UID BODYSTRUCTURE")
}

func (c *client) fetchBody() error {
	peek := ".PEEK"
	if c.chance.Intn(4) == 0 {
		peek = ""
	}
	number := 1 + c.chance.Intn(c.exists)
	before := c.octets
	if err := c.timed("fetch body", fmt.Sprintf("FETCH %d (UID BODY%s[])", number, peek)); err != nil {
		return err
	}
	if c.fetches == 0 || c.octets == before {
		return fmt.Errorf("no body")
	}
	c.received += c.octets - before
	return nil
}

func (c *client) search(kind, criteria string) error {
	if err := c.timed(kind, "SEARCH "+criteria); err != nil {
		return err
	}
	c.found += c.hits
	return nil
}

func (c *client) searchFlags() error {
	return c.search("search flags", []string{"UNSEEN", "FLAGGED", "UNDELETED SEEN", "ANSWERED"}[c.chance.Intn(4)])
}

func (c *client) searchHeader() error {
	return c.search("search header", fmt.Sprintf("SUBJECT %q", subjects[c.chance.Intn(len(subjects))]))
}

func (c *client) searchWord() error { return c.search("search word", fmt.Sprintf("TEXT %q", common)) }

func (c *client) store() error {
	first, last := c.some(1 + c.chance.Intn(5))
	sign := "+-"[c.chance.Intn(2)]
	flag := []string{`\Seen`, `\Flagged`, `\Answered`, "$Forwarded"}[c.chance.Intn(4)]
	return c.timed("store", fmt.Sprintf("STORE %d:%d %cFLAGS (%s)", first, last, sign, flag))
}

func (c *client) append() error {
	c.kind = "append"
	c.number++
	head := header(c.chance, c.number)
	content := c.bodies[c.chance.Intn(len(c.bodies))]
	start := time.Now()
	c.begin()
	c.out = append(c.out, `APPEND INBOX (\Seen) `...)
	err := c.literal([]byte(head), content)
	if err == nil {
		c.out = append(c.out, '\r', '\n')
		err = c.flush()
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		return err
	}
	c.times["append"] = append(c.times["append"], time.Since(start))
	parts := strings.Fields(c.code)
	if len(parts) != 3 || parts[0] != "APPENDUID" {
		return fmt.Errorf("no APPENDUID: %s", c.code)
	}
	uid, err := strconv.Atoi(parts[2])
	c.appended = append(c.appended, uid)
	return err
}

// expunge deletes the oldest letters that this client appended, three at most.
func (c *client) expunge() error {
	count := min(3, len(c.appended))
	if count == 0 {
		return c.noop()
	}
	set := make([]string, count)
	for i, uid := range c.appended[:count] {
		set[i] = strconv.Itoa(uid)
	}
	c.appended = c.appended[count:]
	uids := strings.Join(set, ",")
	if err := c.timed("store", `UID STORE `+uids+` +FLAGS.SILENT (\Deleted)`); err != nil {
		return err
	}
	if err := c.timed("expunge", "UID EXPUNGE "+uids); err != nil {
		return err
	}
	if c.vanished != count {
		return fmt.Errorf("%d of %d expunged", c.vanished, count)
	}
	return nil
}

func (c *client) status() error {
	return c.timed("status", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)")
}

func (c *client) noop() error { return c.timed("noop", "NOOP") }
