// imapload drives an IMAP server over TLS and measures it. It knows no server: the same binary, with the same seed, sends
// the same octets to each (sign-ins aside), and prints a digest of them to show it.
//
//	imapload -addr 127.0.0.1:993 -ca ca.pem -logins FILE [-starttls] fill|mixed|single|idle [flags of the mode]
//
// FILE has a login a line: user, space, password. Every mode prints one line of JSON; anything but OK is an error, and
// so is an answer that lacks what was asked for. Exit code 1 when there was an error.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	addr     = flag.String("addr", "127.0.0.1:993", "host:port")
	name     = flag.String("name", "localhost", "expected server name in its certificate")
	ca       = flag.String("ca", "", "PEM file of the authorities")
	starttls = flag.Bool("starttls", false, "STARTTLS instead of TLS at once")
	file     = flag.String("logins", "", "file of logins: user, space, password, one a line")
	users    = flag.Int("users", 0, "use the first so many logins (0: all)")
	seed     = flag.Int64("seed", 1, "of all chance")

	tlsConfig *tls.Config
	logins    []login
)

type login struct{ user, password string }

// result is what a mode prints.
type result map[string]any

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "imapload -addr HOST:PORT -ca PEM -logins FILE [flags] fill|mixed|single|idle [flags of the mode]")
		flag.PrintDefaults()
	}
	flag.Parse()
	pem, err := os.ReadFile(*ca)
	die(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	tlsConfig = &tls.Config{ServerName: *name, RootCAs: roots}
	die(readLogins())
	modes := map[string]func([]string) (result, error){"fill": fill, "mixed": mixed, "single": single, "idle": idle}
	run, known := modes[flag.Arg(0)]
	if !known {
		flag.Usage()
		os.Exit(2)
	}
	found, err := run(flag.Args()[1:])
	if found == nil {
		found = result{}
	}
	if err != nil {
		found["error"] = err.Error()
	}
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	found["generator_cpu_s"] = seconds(usage.Utime) + seconds(usage.Stime)
	die(json.NewEncoder(os.Stdout).Encode(found))
	if err != nil {
		os.Exit(1)
	}
}

func readLogins() error {
	opened, err := os.Open(*file)
	if err != nil {
		return err
	}
	defer opened.Close()
	for lines := bufio.NewScanner(opened); lines.Scan(); {
		if user, password, ok := strings.Cut(strings.TrimSpace(lines.Text()), " "); ok {
			logins = append(logins, login{user, password})
		}
	}
	if *users > 0 && *users < len(logins) {
		logins = logins[:*users]
	}
	if len(logins) == 0 {
		return fmt.Errorf("no login in %s", *file)
	}
	return nil
}

// each calls work for 0 to count-1, so many at once; the first error ends it.
func each(count, atOnce int, work func(int) error) error {
	var group sync.WaitGroup
	var once sync.Once
	var failed error
	next := make(chan int)
	stop := make(chan struct{})
	for i := 0; i < atOnce; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := range next {
				if err := work(number); err != nil {
					once.Do(func() { failed = err; close(stop) })
					return
				}
			}
		}()
	}
feeding:
	for number := 0; number < count; number++ {
		select {
		case next <- number:
		case <-stop:
			break feeding
		}
	}
	close(next)
	group.Wait()
	return failed
}

// quantiles of times, in milliseconds.
func quantiles(times []time.Duration) result {
	if len(times) == 0 {
		return result{"count": 0}
	}
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	return result{
		"count": len(times),
		"p50":   milliseconds(times[len(times)/2]),
		"p99":   milliseconds(times[len(times)*99/100]),
		"most":  milliseconds(times[len(times)-1]),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
