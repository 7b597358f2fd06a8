package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/subsystems/network"
)

// cachedName is the name that is resolved.
const cachedName = "example.test"

// serveNames is the role of a name server: a process of its own, so that what it does
// is no part of what asking it costs.
func serveNames(_ []string, in io.Reader, out io.Writer) error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable = true
		h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 3600}
		switch h.Rrtype {
		case dns.TypeA:
			r.Answer = []dns.RR{&dns.A{Hdr: h, A: net.IPv4(192, 0, 2, 1)}}
		case dns.TypeAAAA:
			r.Answer = []dns.RR{&dns.AAAA{Hdr: h, AAAA: net.ParseIP("2001:db8::1")}}
		}
		_ = w.WriteMsg(r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	fmt.Fprintln(out, conn.LocalAddr())
	_, _ = io.Copy(io.Discard, in)
	return errors.Join(server.Shutdown(), <-ended)
}

// dnsHit is a name from the cache, with all of admission, against the standard
// library's resolver at a name server on loopback.
func dnsHit(ctx context.Context, e effort) (out outcome, err error) {
	var ps parts
	defer func() { err = errors.Join(err, ps.Close()) }()
	_, addrs, err := ps.startListening("names")
	if err != nil {
		return outcome{}, err
	}
	c := network.DefaultConfig()
	c.DNS.Servers = addrs[:1]
	n, err := network.New(c)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, n.Stop(context.Background())) }()
	ours := ops(func() error {
		a, err := n.Resolve(ctx, cachedName)
		if err == nil && a.Len() != 2 {
			err = errNumber
		}
		return err
	})
	peer := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", addrs[0])
	}}
	theirs := ops(func() error {
		ips, err := peer.LookupNetIP(ctx, "ip", cachedName+".")
		if err == nil && len(ips) != 2 {
			err = errNumber
		}
		return err
	})
	allocs, err := measure.Allocs(ours, e.Allocs)
	if err != nil {
		return outcome{}, err
	}
	res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Garbage))
	return compared(res, allocs, "cache hit", "net.Resolver"), err
}

const (
	// bandwidthRate is what the connections share, in bytes a second.
	bandwidthRate = 10 << 20
	// bandwidthShare is how many times effort.Over the bytes are counted.
	bandwidthShare = 5
	bandwidthRuns  = 3
)

// bandwidth is the rate that so many connections together get, against the one that
// was set: the larger over the smaller, so that 1.02 is an error of 2 %.
func bandwidth(conns int) func(context.Context, effort) (outcome, error) {
	return func(ctx context.Context, e effort) (outcome, error) {
		var errs []float64
		for range bandwidthRuns {
			got, err := bandwidthOf(ctx, conns, bandwidthShare*e.Over)
			if err != nil {
				return outcome{}, err
			}
			errs = append(errs, max(got/bandwidthRate, bandwidthRate/got))
		}
		how := measure.Result{Low: measure.Quantile(errs, 0.25), High: measure.Quantile(errs, 0.75), Quiet: len(errs), Turns: len(errs)}
		return outcome{ratio: measure.Quantile(errs, 0.5), how: how}, nil
	}
}

// bandwidthOf returns the bytes a second that conns connections read over loopback.
func bandwidthOf(ctx context.Context, conns int, during time.Duration) (rate float64, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ln.Close()
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { // ends with the reader
				w := bufio.NewWriterSize(c, 64<<10)
				for zeros := make([]byte, 64<<10); err == nil; {
					_, err = w.Write(zeros)
				}
				_ = c.Close()
			})
		}
	})
	config := network.DefaultConfig()
	config.Bandwidth.Global.Down = bandwidthRate
	n, err := network.New(config)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, n.Stop(context.Background())) }()
	open := make([]net.Conn, conns)
	for i := range open {
		if open[i], err = n.DialContext(ctx, "tcp", ln.Addr().String()); err != nil {
			return 0, err
		}
		defer open[i].Close()
	}
	var read atomic.Int64
	var readers sync.WaitGroup
	start := time.Now()
	end := start.Add(during)
	for _, c := range open {
		readers.Go(func() {
			_ = c.SetReadDeadline(end)
			for buf := make([]byte, 32<<10); ; {
				m, err := c.Read(buf)
				read.Add(int64(m))
				if err != nil {
					return
				}
			}
		})
	}
	readers.Wait()
	if read.Load() == 0 {
		return 0, errNumber
	}
	return float64(read.Load()) / math.Max(during.Seconds(), time.Since(start).Seconds()), nil
}
