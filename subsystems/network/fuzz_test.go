package network

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func FuzzHostsFile(f *testing.F) {
	f.Add("127.0.0.1 a b # c\n::1 a\nx y\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, addrs := range parseHosts(strings.NewReader(text)) {
			if name != strings.ToLower(name) || len(addrs) == 0 || len(addrs) > maxAddrs {
				t.Errorf("%q: %v", name, addrs)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, zone := range []string{"a.test. 60 A 192.0.2.1", "a.test. 60 CNAME a.test.", "test. 60 SOA a. b. 1 2 3 4 5"} {
		q := new(dns.Msg).SetQuestion("a.test.", dns.TypeA)
		wire, err := records(zone)("udp", q).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var msg dns.Msg
		if msg.Unpack(wire) != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			r, err := readReply(&msg, "a.test.", qtype)
			if len(r.addrs) > maxAddrs || r.ttl < 0 || r.ttl > maxTTL*time.Second || err != nil && len(r.addrs) > 0 {
				t.Errorf("%+v %v", r, err)
			}
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Example.COM", "münchen.example", "a b", "[::1]", "xn--", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := normal(name)
		if err != nil {
			return
		}
		again, err := normal(got)
		if err != nil || again != got {
			t.Errorf("%q is %q, which is %q: %v", name, got, again, err)
		}
	})
}
