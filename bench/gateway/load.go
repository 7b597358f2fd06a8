package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// sample is one load on one system.
type sample struct {
	rate     float64 // answers a second
	cpu      float64 // processor time of an answer, microseconds
	p50, p99 float64 // milliseconds
	mib      float64 // memory under load
	answers  int
	refused  int // answers of 400 and above
	broken   int // connections that failed, and answers that did not come
}

// load lets wrk ask a system for so long, whole seconds.
func (b *bench) load(ctx context.Context, s *started, k kase, long time.Duration) (sample, error) {
	script, err := (settings{Dir: b.dir}).put("load.lua", "load.lua")
	if err != nil {
		return sample{}, err
	}
	pids, err := s.tree()
	if err != nil {
		return sample{}, err
	}
	before, err := used(pids)
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, long+30*time.Second)
	defer cancel()
	held := make(chan float64, 1)
	go func() { // while the load is on: afterwards some of it is given back
		<-time.After(long * 3 / 4)
		mib, _ := memory(pids) // a process that is gone shows in what it used
		held <- mib
	}()
	cmd := exec.CommandContext(ctx, program("wrk"), "-t2", "-c", strconv.Itoa(b.conns), "-d", strconv.Itoa(int(long/time.Second))+"s", "--timeout", "10s",
		"-s", script, "http://"+s.addr, "--", strconv.Itoa(k.tenants))
	out, err := cmd.CombinedOutput()
	mib := <-held
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := used(pids)
	if err != nil {
		return sample{}, err
	}
	got, err := parseResult(string(out))
	if err != nil {
		return sample{}, err
	}
	got.cpu = float64(after-before) / 1e3 / float64(max(got.answers, 1))
	got.mib = mib
	return got, nil
}

// parseResult reads the line that load.lua says at the end.
func parseResult(out string) (sample, error) {
	_, line, ok := strings.Cut(out, "RESULT ")
	if !ok {
		return sample{}, fmt.Errorf("wrk told no result: %s", out)
	}
	var s sample
	var duration, p50, p99 float64 // microseconds
	if _, err := fmt.Sscan(line, &s.answers, &duration, &s.refused, &s.broken, &p50, &p99); err != nil {
		return sample{}, fmt.Errorf("read what wrk told: %w", err)
	}
	if duration > 0 {
		s.rate = float64(s.answers) / duration * 1e6
	}
	s.p50, s.p99 = p50/1e3, p99/1e3
	return s, nil
}

// judge says whether the answers were those that the case asks for.
func (s sample) judge(k kase) error {
	switch {
	case s.answers == 0:
		return errors.New("no answers")
	case s.broken > 0:
		return fmt.Errorf("%d connections failed", s.broken)
	case k.deny && float64(s.answers-s.refused) > 0.001*float64(s.answers):
		return fmt.Errorf("%d of %d answers were not denied", s.answers-s.refused, s.answers)
	case !k.deny && s.refused > 0:
		return fmt.Errorf("%d of %d answers were refusals", s.refused, s.answers)
	}
	return nil
}

// check asks a few times and sees that a system does the work of the case.
func check(s *started, sys system, k kase) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	ways := map[string]string{}
	for i := range 2 {
		want := http.StatusOK
		if k.deny && (i > 0 || sys.uncounted) {
			want = http.StatusTooManyRequests
		}
		for tenant := range 32 {
			name := fmt.Sprintf("check-%d", tenant)
			upstream, err := ask(client, s.addr, name, want)
			if err != nil {
				return fmt.Errorf("request %d of %s: %w", i+1, name, err)
			}
			if was := ways[name]; was != "" && upstream != "" && was != upstream {
				return fmt.Errorf("%s went to %s and to %s", name, was, upstream)
			}
			if upstream != "" {
				ways[name] = upstream
			}
		}
	}
	return bothWays(ways, sys, k)
}

// ask asks for a tenant and returns the upstream that answered, "" where it was denied.
func ask(client *http.Client, addr, tenant string, want int) (upstream string, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/v1/items/12345?expand=true", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Gaia-Tenant", tenant)
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "", err
	case res.StatusCode != want:
		return "", fmt.Errorf("answered with %d, want %d", res.StatusCode, want)
	case want == http.StatusOK && (len(body) != answerSize || res.Header.Get("Upstream") == ""):
		return "", fmt.Errorf("answered with %d bytes of upstream %q, want %d", len(body), res.Header.Get("Upstream"), answerSize)
	case want != http.StatusOK && res.Header.Get("Retry-After") == "":
		return "", errors.New("denied without Retry-After")
	}
	return res.Header.Get("Upstream"), nil
}

// bothWays sees that tenants were spread, or that they were not.
func bothWays(ways map[string]string, sys system, k kase) error {
	seen := map[string]int{}
	for _, upstream := range ways {
		seen[upstream]++
	}
	want := 1
	if k.route {
		want = 2
	}
	if len(seen) != want && !(k.deny && sys.uncounted) {
		return fmt.Errorf("tenants went to %v, want %d of the upstreams", seen, want)
	}
	return nil
}
