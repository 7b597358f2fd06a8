package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestAnswersLiveByTheirTTL(t *testing.T) {
	s := startNameServer(t, records("www.example.com. 20 CNAME example.com.", "example.com. 60 A 192.0.2.1",
		"example.com. 30 AAAA 2001:db8::1", "example.com. 60 A 192.0.2.2", "brief.test. 1 A 192.0.2.3", "long.test. 90000 A 192.0.2.4", "zero.test. 0 A 192.0.2.5"))
	n, clock := newResolving(t, s, func(c *Config) { c.DNS.MinTTL, c.DNS.MaxTTL = 0, time.Hour })
	for _, tt := range []struct {
		name, addrs string
		ttl         time.Duration
	}{
		{"example.com", "2001:db8::1 192.0.2.1 192.0.2.2", 30 * time.Second},
		{"WWW.Example.COM", "2001:db8::1 192.0.2.1 192.0.2.2", 20 * time.Second},
		{"brief.test", "192.0.2.3", time.Second},
		{"long.test", "192.0.2.4", time.Hour},
		{"zero.test", "192.0.2.5", 0},
	} {
		before := s.questions()
		got, a := mustResolve(t, n, tt.name)
		if got != tt.addrs || a.TTL != tt.ttl || a.Source != SourceDNS || a.Stale {
			t.Errorf("%s: %q for %v, want %q for %v", tt.name, got, a.TTL, tt.addrs, tt.ttl)
		}
		if asked := s.questions() - before; asked != 2 {
			t.Errorf("%s: %d questions", tt.name, asked)
		}
		if tt.ttl == 0 {
			continue
		}
		clock.advance(tt.ttl / 2)
		if got, a = mustResolve(t, n, tt.name); got != tt.addrs || !a.Cached || a.TTL != tt.ttl/2 || s.questions() != before+2 {
			t.Errorf("%s, half way: %q, %+v", tt.name, got, a)
		}
		clock.advance(tt.ttl/2 + 1)
		if mustResolve(t, n, tt.name); s.questions() != before+4 {
			t.Errorf("%s is given after its end", tt.name)
		}
	}
	before := s.questions()
	if mustResolve(t, n, "zero.test"); s.questions() != before+2 {
		t.Error("an answer of TTL 0 was kept")
	}
	if st := n.Stats(); st.DNSHits != 4 || st.DNSMisses != 10 || st.DNSQueries != uint64(s.questions()) {
		t.Errorf("%d hits, %d misses, %d questions of %d", st.DNSHits, st.DNSMisses, st.DNSQueries, s.questions())
	}
}

func TestMinTTLKeepsAnswersOfTTL0(t *testing.T) {
	s := startNameServer(t, records("zero.test. 0 A 192.0.2.5"))
	n, _ := newResolving(t, s, func(c *Config) { c.DNS.MinTTL = 5 * time.Second })
	mustResolve(t, n, "zero.test")
	if _, a := mustResolve(t, n, "zero.test"); !a.Cached || s.questions() != 2 {
		t.Errorf("%+v after %d questions", a, s.questions())
	}
}

func TestAbsenceIsRememberedShortly(t *testing.T) {
	soa := "test. 3600 SOA ns.test. host.test. 1 2 3 4 20"
	s := startNameServer(t, records(soa, "text.test. 60 TXT x"))
	n, clock := newResolving(t, s, func(c *Config) { c.DNS.NegativeTTL = 10 * time.Second })
	for _, name := range []string{"gone.test", "text.test"} {
		before := s.questions()
		wantNotFound(t, n, name)
		wantNotFound(t, n, name)
		clock.advance(9 * time.Second)
		wantNotFound(t, n, name)
		if asked := s.questions() - before; asked != 2 {
			t.Errorf("%s: %d questions", name, asked)
		}
		clock.advance(2 * time.Second) // the cap, not the zone's 20 s
		s.set(records(name + ". 60 A 192.0.2.1"))
		if got, _ := mustResolve(t, n, name); got != "192.0.2.1" {
			t.Errorf("%s came to be: %q", name, got)
		}
		s.set(records(soa))
		clock.advance(61 * time.Second) // it went again: that is an answer, nothing stale stands in
		wantNotFound(t, n, name)
		s.set(records(soa, "text.test. 60 TXT x"))
	}
}

func TestThousandMissesAskOnce(t *testing.T) {
	release := make(chan struct{})
	zone := records("example.com. 60 A 192.0.2.1", "example.com. 60 AAAA 2001:db8::1")
	s := startNameServer(t, func(network string, q *dns.Msg) *dns.Msg {
		<-release
		return zone(network, q)
	})
	n, _ := newResolving(t, s, nil)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if a, err := n.Resolve(t.Context(), "example.com"); err != nil || a.Len() != 2 {
				t.Error(a, err)
			}
		})
	}
	testkit.Until(t, "all have asked", func() bool { return n.Stats().DNSMisses == 1000 })
	close(release)
	wg.Wait()
	if a, aaaa := s.asked[0].Load(), s.asked[1].Load(); a != 1 || aaaa != 1 {
		t.Errorf("%d questions for A, %d for AAAA", a, aaaa)
	}
}

func TestACallerThatLeavesTakesNobodyAlong(t *testing.T) {
	release := make(chan struct{})
	zone := records("example.com. 60 A 192.0.2.1")
	s := startNameServer(t, func(network string, q *dns.Msg) *dns.Msg {
		<-release
		return zone(network, q)
	})
	n, _ := newResolving(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := n.Resolve(ctx, "example.com")
		left <- err
	}()
	testkit.Until(t, "it asks", func() bool { return s.questions() > 0 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if got, _ := mustResolve(t, n, "example.com"); got != "192.0.2.1" || s.questions() != 2 {
		t.Errorf("%q after %d questions", got, s.questions())
	}
}

func TestPrefetchBeforeTheEnd(t *testing.T) {
	s := startNameServer(t, records("example.com. 100 A 192.0.2.1"))
	n, clock := newResolving(t, s, nil)
	mustResolve(t, n, "example.com")
	s.set(records("example.com. 100 A 192.0.2.2"))
	clock.advance(89 * time.Second)
	mustResolve(t, n, "example.com")
	if s.questions() != 2 {
		t.Error("asked again too early")
	}
	clock.advance(2 * time.Second)
	if got, a := mustResolve(t, n, "example.com"); got != "192.0.2.1" || !a.Cached {
		t.Errorf("a question in the last tenth waited: %q %+v", got, a)
	}
	testkit.Until(t, "the new answer is there", func() bool { got, _ := mustResolve(t, n, "example.com"); return got == "192.0.2.2" })
	if st := n.Stats(); st.DNSPrefetches != 1 || st.DNSMisses != 1 {
		t.Errorf("%d prefetches, %d misses", st.DNSPrefetches, st.DNSMisses)
	}
}

func TestStaleAnswersStandInForASilentServer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(string, *dns.Msg) *dns.Msg
	}{{"silent", silent}, {"SERVFAIL", code(dns.RcodeServerFailure)}, {"REFUSED", code(dns.RcodeRefused)}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startNameServer(t, records("example.com. 60 A 192.0.2.1"))
			n, clock := newResolving(t, s, func(c *Config) {
				c.DNS.Timeout, c.DNS.StaleFor = 100*time.Millisecond, 10*time.Minute
			})
			mustResolve(t, n, "example.com")
			s.set(tt.answer)
			clock.advance(61 * time.Second)
			if got, a := mustResolve(t, n, "example.com"); got != "192.0.2.1" || !a.Stale || a.TTL >= 0 {
				t.Errorf("%q %+v", got, a)
			}
			asked := s.questions()
			if _, a := mustResolve(t, n, "example.com"); !a.Stale || s.questions() != asked {
				t.Error("every question asks a server that does not answer")
			}
			clock.advance(6 * time.Second)
			s.set(records("example.com. 60 A 192.0.2.2"))
			if got, a := mustResolve(t, n, "example.com"); got != "192.0.2.2" || a.Stale {
				t.Errorf("the server is back: %q %+v", got, a)
			}
			s.set(tt.answer)
			clock.advance(11 * time.Minute)
			_, err := n.Resolve(t.Context(), "example.com")
			var failed *net.DNSError
			if !errors.As(err, &failed) || failed.IsNotFound || !failed.IsTemporary {
				t.Errorf("beyond stale_for: %v", err)
			}
			if st := n.Stats(); st.DNSStale != 2 || st.DNSFailures == 0 {
				t.Errorf("%d stale, %d failures", st.DNSStale, st.DNSFailures)
			}
		})
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	for name, bad := range map[string]func(string, *dns.Msg) *dns.Msg{"silent": silent, "SERVFAIL": code(dns.RcodeServerFailure),
		"another question": func(_ string, q *dns.Msg) *dns.Msg {
			r := new(dns.Msg).SetReply(q)
			r.Question[0].Name = "evil.test."
			r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(6, 6, 6, 6)}}
			return r
		}} {
		t.Run(name, func(t *testing.T) {
			first, second := startNameServer(t, bad), startNameServer(t, records("a.test. 60 A 192.0.2.1", "b.test. 60 A 192.0.2.2"))
			n, _ := newResolving(t, first, func(c *Config) {
				c.DNS.Servers, c.DNS.Timeout = []string{first.addr, second.addr}, 200*time.Millisecond
			})
			if got, _ := mustResolve(t, n, "a.test"); got != "192.0.2.1" {
				t.Error(got)
			}
			asked := first.questions()
			if got, _ := mustResolve(t, n, "b.test"); got != "192.0.2.2" || first.questions() != asked {
				t.Errorf("%q; the server that failed was asked first again", got)
			}
		})
	}
}

func TestTruncatedAnswersComeOverTCP(t *testing.T) {
	var zone []string
	for i := range 100 {
		zone = append(zone, fmt.Sprintf("big.test. 60 A 192.0.2.%d", i+1))
	}
	whole := records(zone...)
	s := startNameServer(t, func(network string, q *dns.Msg) *dns.Msg {
		r := whole(network, q)
		if network == "udp" {
			r.Truncate(512)
		}
		return r
	})
	n, _ := newResolving(t, s, nil)
	if _, a := mustResolve(t, n, "big.test"); a.Len() != maxAddrs || s.tcp.Load() == 0 {
		t.Errorf("%d addresses, %d questions over TCP", a.Len(), s.tcp.Load())
	}
}

func TestServersThatDoNotKnowEDNS(t *testing.T) {
	zone := records("old.test. 60 A 192.0.2.1")
	s := startNameServer(t, func(network string, q *dns.Msg) *dns.Msg {
		if q.IsEdns0() != nil {
			return new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
		}
		return zone(network, q)
	})
	n, _ := newResolving(t, s, nil)
	if got, _ := mustResolve(t, n, "old.test"); got != "192.0.2.1" {
		t.Error(got)
	}
}

func TestALateFamilyHoldsNobodyUp(t *testing.T) {
	release := make(chan struct{})
	zone := records("example.com. 60 A 192.0.2.1", "example.com. 60 AAAA 2001:db8::1")
	s := startNameServer(t, func(network string, q *dns.Msg) *dns.Msg {
		if q.Question[0].Qtype == dns.TypeAAAA {
			<-release
		}
		return zone(network, q)
	})
	n, _ := newResolving(t, s, nil)
	if got, _ := mustResolve(t, n, "example.com"); got != "192.0.2.1" {
		t.Error(got)
	}
	close(release)
	testkit.Until(t, "the late address is there", func() bool {
		got, _ := mustResolve(t, n, "example.com")
		return got == "2001:db8::1 192.0.2.1"
	})
}

// While one family is waited for, the other's answer lives no longer than it may.
func TestALateFamilyKeepsNoAnswerAlive(t *testing.T) {
	release := make(chan struct{})
	first, second := records("example.com. 2 A 192.0.2.1", "example.com. 2 AAAA 2001:db8::1"), records("example.com. 60 A 192.0.2.2")
	var flipped atomic.Bool
	s := startNameServer(t, func(network string, q *dns.Msg) *dns.Msg {
		switch {
		case flipped.Load():
			return second(network, q)
		case q.Question[0].Qtype == dns.TypeAAAA:
			<-release
		}
		return first(network, q)
	})
	n, clock := newResolving(t, s, nil)
	if got, _ := mustResolve(t, n, "example.com"); got != "192.0.2.1" {
		t.Error(got)
	}
	clock.advance(3 * time.Second)
	flipped.Store(true)
	if got, _ := mustResolve(t, n, "example.com"); got != "192.0.2.2" {
		t.Errorf("after the end of the record: %q", got)
	}
	close(release)
	n.resolver.wg.Wait() // the late answer has come
	if got, a := mustResolve(t, n, "example.com"); got != "192.0.2.2" || !a.Cached {
		t.Errorf("a late answer replaced a later one: %q %+v", got, a)
	}
}

func TestTheMachinesOwnFilesCount(t *testing.T) {
	s := startNameServer(t, records("host.corp.test. 60 A 192.0.2.1", "example.com. 60 A 192.0.2.2", "changed.test. 60 A 192.0.2.3"))
	dir := t.TempDir()
	hosts, resolv := filepath.Join(dir, "hosts"), filepath.Join(dir, "resolv.conf")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hosts, "127.0.0.9 mine Mine.Test # not this\nnonsense\n::7 mine\n")
	write(resolv, "search corp.test\noptions ndots:1\n")
	n, clock := newResolving(t, s, func(c *Config) { c.DNS.HostsFile, c.DNS.ResolvConf = hosts, resolv })
	for name, want := range map[string]string{"mine": "127.0.0.9 ::7", "mine.test": "127.0.0.9", "host": "192.0.2.1", "example.com": "192.0.2.2",
		"localhost": "127.0.0.1 ::1", "a.localhost": "127.0.0.1 ::1", "192.0.2.77": "192.0.2.77", "::ffff:192.0.2.7": "192.0.2.7"} {
		if got, _ := mustResolve(t, n, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	wantNotFound(t, n, "host.") // a dot at the end leaves the search list out
	for _, bad := range []string{"", ".", "a b", "a/b", strings.Repeat("a", 255), "a\x00b", strings.Repeat("a", 64) + ".test", "\xff.test"} {
		wantNotFound(t, n, bad)
	}
	if got, _ := mustResolve(t, n, "changed.test"); got != "192.0.2.3" {
		t.Error(got)
	}
	write(hosts, "127.0.0.10 changed.test mine.test\n")
	clock.advance(6 * time.Second)
	n.resolver.refresh()
	for _, name := range []string{"changed.test", "mine.test"} {
		testkit.Until(t, name+" is that of the changed file", func() bool { // the coordinator may be reading it just now
			got, a := mustResolve(t, n, name)
			return got == "127.0.0.10" && a.Source == SourceHosts
		})
	}
}

func TestServersOfResolvConf(t *testing.T) {
	d := DNS{ResolvConf: filepath.Join(t.TempDir(), "resolv.conf"), HostsFile: "/nonexistent"}
	if s := readSystem(&d); !s.noServers || !s.foreign("example.com") {
		t.Error("without servers names are left to the standard library")
	}
	if err := os.WriteFile(d.ResolvConf, []byte("nameserver 192.0.2.53\nnameserver ::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := readSystem(&d); strings.Join(s.servers, " ") != "192.0.2.53:53 [::1]:53" || s.foreign("example.com") || !s.foreign("printer.local") {
		t.Error(s.servers)
	}
	d.Servers = []string{"127.0.0.1:5353", "::1"}
	if s := readSystem(&d); strings.Join(s.servers, " ") != "127.0.0.1:5353 [::1]:53" {
		t.Error(s.servers)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := &cache{max: 100}
	c.init()
	for i := range 100_000 {
		c.mu.Lock()
		c.storeLocked(fmt.Sprint("host-", i), &answer{made: 1, expires: 2})
		if e := c.byName["host-0"]; e != nil {
			c.touchLocked(e) // asked for all the time: it stays
		}
		c.mu.Unlock()
	}
	got := c.entries(0, 1000)
	if len(got) != 100 || got[0].Name != "host-0" || got[1].Name != "host-99999" || c.len() != 100 {
		t.Errorf("%d names are kept, the first %v", len(got), got[:2])
	}
	c.setMax(10)
	if c.len() != 10 || c.flush() != 10 || c.len() != 0 {
		t.Error("the bound was not lowered")
	}
}

func TestResolveOfAHitAllocatesNothing(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector allocates")
	}
	s := startNameServer(t, records("example.com. 60 A 192.0.2.1", "example.com. 60 AAAA 2001:db8::1"))
	n, _ := newResolving(t, s, nil)
	ctx := t.Context()
	for _, name := range []string{"example.com", "localhost", "192.0.2.1"} {
		mustResolve(t, n, name)
		if got := testing.AllocsPerRun(1000, func() {
			if a, err := n.Resolve(ctx, name); err != nil || a.Len() == 0 {
				t.Error(err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", name, got)
		}
	}
	wantNotFound(t, n, "gone.test")
}

func TestAnswersBelongToTheCache(t *testing.T) {
	s := startNameServer(t, records("example.com. 60 A 192.0.2.1"))
	n, _ := newResolving(t, s, nil)
	mustResolve(t, n, "example.com")
	for _, e := range n.Cached(10) {
		e.Addrs[0] = netip.Addr{}
	}
	if got, _ := mustResolve(t, n, "example.com"); got != "192.0.2.1" {
		t.Errorf("a caller changed the cache: %q", got)
	}
	if n.FlushCache() != 1 || n.Stats().DNSEntries != 0 {
		t.Error("it was not flushed")
	}
}

func TestStopEndsQuestions(t *testing.T) {
	s := startNameServer(t, silent)
	n, _ := newResolving(t, s, nil)
	failed := make(chan error)
	go func() {
		_, err := n.Resolve(t.Context(), "example.com")
		failed <- err
	}()
	testkit.Until(t, "it asks", func() bool { return s.questions() > 0 })
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a question outlived Stop")
	}
	if _, err := n.Resolve(t.Context(), "example.com"); !errors.Is(err, admission.ErrDenied) {
		t.Error(err)
	}
}

func BenchmarkResolveHit(b *testing.B) {
	s := startNameServer(b, records("example.com. 60 A 192.0.2.1"))
	n := newCoordinator(b, func(c *Config) { c.DNS.Servers, c.DNS.MinTTL = []string{s.addr}, time.Hour })
	ctx := b.Context()
	mustResolve(b, n, "example.com")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Resolve(ctx, "example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
