package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
)

// The values that keys with a choice accept.
const (
	logLevels   = "debug info warn error"
	logFormats  = "auto text json"
	onFailures  = "open closed previous"
	isolations  = "single key pool"
	whenFulls   = "share deny allow"
	balances    = "round_robin least_in_flight p2c rendezvous"
	stickies    = "tenant key header:NAME"
	subsystems  = "api files browser process network"
	maxWasmPage = 65536
	maxFuel     = 2_000_000 // wasm.MaxFuel
	maxLogRate  = 1000      // of options.capabilities too

	maxRecordKeep = 1000
)

// Validate checks a configuration that was put together by hand, as Load does
// with one it has loaded. The error is a Faults with keys and no positions.
func (c *Config) Validate() error {
	v := validator{set: func(...string) bool { return false }}
	v.config(c)
	var faults Faults
	for _, k := range v.faults {
		faults = append(faults, Fault{Key: dotted(k.path), Message: k.message, Suggestion: k.suggestion})
	}
	return faults.finish()
}

// validator collects the faults of meaning.
type validator struct {
	// set reports whether the user gave the key: then a zero is his, not a default.
	set    func(path ...string) bool
	faults []keyFault
}

func (v *validator) fail(path []string, format string, args ...any) {
	v.faults = append(v.faults, keyFault{path: slices.Clone(path), message: fmt.Sprintf(format, args...)})
}

func (v *validator) config(c *Config) {
	v.negative(reflect.ValueOf(c).Elem(), nil)
	v.address(c.Listen, "listen")
	if c.Record.File != "" && c.Record.MaxSize >= 0 && c.Record.MaxSize < 64*KiB {
		v.fail([]string{"record", "max_size"}, "must be at least 64KiB, got %s", c.Record.MaxSize)
	}
	if c.Record.Keep > maxRecordKeep {
		v.fail([]string{"record", "keep"}, "must be at most %d, got %d", maxRecordKeep, c.Record.Keep)
	}
	if c.Control != "" {
		v.control(c.Control)
	}
	for i, host := range c.AllowedHosts {
		if !isHost(host) {
			v.fail([]string{"allowed_hosts", strconv.Itoa(i)}, "want HOST or HOST:PORT, got %s", quote(host))
		}
	}
	for i, host := range c.PlainHTTP {
		if !isHost(host) {
			v.fail([]string{"plain_http", strconv.Itoa(i)}, "want HOST or HOST:PORT, got %s", quote(host))
		}
	}
	for i, key := range c.RequireSigned {
		if _, err := remote.ParseKey(key); err != nil {
			v.fail([]string{"require_signed", strconv.Itoa(i)}, "want the line that minisign and `gaia policy keygen` write into a .pub file, such as RWQ..., got %s", quote(key))
		}
	}
	v.choice(c.Log.Level, logLevels, "log", "level")
	v.choice(c.Log.Format, logFormats, "log", "format")
	v.routes(c)
	for _, name := range sortedKeys(c.Policies) {
		v.policy(c.Policies[name], name)
	}
	for _, name := range sortedKeys(c.Limits) {
		limits := c.Limits[name]
		v.limits(&limits, name)
	}
	for _, name := range sortedKeys(c.Targets) {
		v.target(c.Targets[name], name)
	}
	v.api(&c.API)
	v.network(&c.Network)
	v.process(&c.Process)
	v.browser(&c.Browser)
	v.files(&c.Files)
	if c.Gateway.MaxHeaderBytes < KiB && c.Gateway.MaxHeaderBytes >= 0 {
		v.fail([]string{"gateway", "max_header_bytes"}, "must be at least 1KiB")
	}
}

// choice checks one of several words; "" is checked only if it was written.
func (v *validator) choice(got, allowed string, path ...string) {
	words := strings.Fields(allowed)
	if slices.Contains(words, got) || got == "" && !v.set(path...) {
		return
	}
	v.faults = append(v.faults, keyFault{
		path: path, message: fmt.Sprintf("want one of %s, got %s", strings.Join(words, ", "), quote(got)),
		suggestion: Suggest(got, words),
	})
}

func (v *validator) address(addr string, path ...string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		v.fail(path, "want HOST:PORT such as \"127.0.0.1:8080\", got %s", quote(addr))
		return "", false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		v.fail(path, "want a port from 0 to 65535, got %s", quote(port))
		return "", false
	}
	if host != "" && !isHostname(host) {
		v.fail(path, "want an IP address or a host name, got %s", quote(host))
		return "", false
	}
	return host, true
}

func (v *validator) control(addr string) {
	host, ok := v.address(addr, "control")
	if !ok || host == "localhost" {
		return
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		v.fail([]string{"control"}, "want a loopback address such as %q; others need TLS, which this version does not serve here", DefaultControl)
	}
}

// isHostname accepts an IP address or a DNS name.
func isHostname(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" && len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_')
	})
}

// isHost accepts what a Host field may hold.
func isHost(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return isHostname(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && isHostname(host)
}

// isName accepts the names of routes and policies; those of upstreams may be
// host names and hold dots.
func isName(name string, dots bool) bool {
	return name != "" && name[0] != '.' && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || dots && r == '.')
	})
}

func (v *validator) routes(c *Config) {
	type place struct{ host, prefix string }
	served := map[place]string{}
	for _, name := range sortedKeys(c.Routes) {
		route, path := c.Routes[name], []string{"routes", name}
		if !isName(name, false) {
			v.fail(path, "a name of a route is made of letters, digits, - and _")
			continue
		}
		v.route(route, path)
		view := route.view(name)
		at := place{view.Host, view.PathPrefix}
		if other, ok := served[at]; ok {
			v.fail(path, "serves the same as routes.%s: %s", other, at.host+at.prefix)
		} else {
			served[at] = name
		}
	}
}

func (v *validator) route(r Route, path []string) {
	under := func(more ...string) []string { return append(path[:len(path):len(path)], more...) }
	hasURL := !r.URL.IsZero() || v.set(under("url")...)
	switch {
	case hasURL && len(r.Upstreams) > 0:
		v.fail(path, "has url and upstreams; url is the short form of one upstream, give one of the two")
	case !hasURL && len(r.Upstreams) == 0:
		v.fail(path, "has no upstream; give url or upstreams")
	}
	if hasURL {
		v.url(r.URL, under("url"))
	}
	if p := r.PathPrefix; p != "" || v.set(under("path_prefix")...) {
		if !strings.HasPrefix(p, "/") {
			v.fail(under("path_prefix"), "must begin with \"/\", got %s", quote(p))
		} else if strings.ContainsAny(p, "?# \t\r\n\\") || strings.Contains(p+"/", "/../") || strings.Contains(p, "//") {
			v.fail(under("path_prefix"), "want a clean path without query, spaces, \"..\" or \"//\", got %s", quote(p))
		}
	}
	if r.Host != "" && !isHost(r.Host) {
		v.fail(under("host"), "want HOST or HOST:PORT, got %s", quote(r.Host))
	}
	v.headers(r.Headers, under("headers"))
	v.balancing(r, path)
	for _, name := range sortedKeys(r.Upstreams) {
		up := r.Upstreams[name]
		if !isName(name, true) {
			v.fail(under("upstreams", name), "a name of an upstream is made of letters, digits, -, _ and .")
			continue
		}
		v.url(up.URL, under("upstreams", name, "url"))
		if up.Weight != nil && *up.Weight > maxWeight {
			v.fail(under("upstreams", name, "weight"), "must be at most %d", maxWeight)
		}
		if up.Tier > maxTier {
			v.fail(under("upstreams", name, "tier"), "must be at most %d", maxTier)
		}
		v.headers(up.Headers, under("upstreams", name, "headers"))
		if up.Limits != nil {
			v.limit(*up.Limits, under("upstreams", name, "limits"))
		}
	}
}

func (v *validator) url(u URL, path []string) {
	parsed, err := url.Parse(u.Reveal())
	switch {
	case u.IsZero():
		v.fail(path, "is missing; want a URL such as \"https://api.example.com\"")
	case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || !isHost(parsed.Host):
		v.fail(path, "want a URL such as \"https://api.example.com\", got %s", quote(u.String()))
	case parsed.Fragment != "":
		v.fail(path, "a fragment (#...) has no meaning in an upstream's URL")
	}
}

func (v *validator) headers(headers map[string]Secret, path []string) {
	seen := map[string]string{}
	for _, name := range sortedKeys(headers) {
		at := append(path[:len(path):len(path)], name)
		lower := strings.ToLower(name)
		if other, ok := seen[lower]; ok {
			v.fail(at, "the same header as %s", quote(other))
		}
		seen[lower] = name
		switch {
		case !isFieldName(name):
			v.fail(at, "not a name of a header")
		case !isFieldValue(headers[name].Reveal()):
			v.fail(at, "the value holds characters that a header may not hold, such as a line end")
		}
	}
}

// isFieldName accepts a token of RFC 9110, section 5.6.2.
func isFieldName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// isFieldValue refuses control characters other than the tab.
func isFieldValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func (v *validator) policy(p Policy, name string) {
	path := []string{"policies", name}
	under := func(more ...string) []string { return append(path[:len(path):len(path)], more...) }
	if !isName(name, false) {
		v.fail(path, "a name of a policy is made of letters, digits, - and _")
	}
	if p.Use == "" && v.set(under("use")...) {
		v.fail(under("use"), "is empty; want a path to .js, .ts or .wasm, or std/NAME")
	}
	v.choice(p.OnFailure, onFailures, under("on_failure")...)
	v.choice(p.Isolation, isolations, under("isolation")...)
	for _, f := range [...]struct {
		key  string
		zero bool
	}{{"budget", p.Budget == 0}, {"fuel", p.Fuel == 0}, {"instances", p.Instances == 0}, {"memory_pages", p.MemoryPages == 0}} {
		if f.zero && v.set(under(f.key)...) {
			v.fail(under(f.key), "must be greater than 0; leave it out for the default")
		}
	}
	if p.Fuel > maxFuel {
		v.fail(under("fuel"), "must be at most %d: the whole program waits for a guest that computes", maxFuel)
	}
	if p.MemoryPages > maxWasmPage {
		v.fail(under("memory_pages"), "must be at most %d (4 GiB)", maxWasmPage)
	}
	for i, rule := range p.Match {
		at := under("match", strconv.Itoa(i), "subsystem")
		if !v.set(under("match", strconv.Itoa(i))...) {
			at = under("match", "subsystem")
		}
		for _, s := range rule.Subsystem {
			if !strings.Contains(s, "*") {
				v.choice(s, subsystems, at...)
			}
		}
	}
	for i, name := range p.Grants.Env {
		if name == "" || strings.ContainsAny(name, "= \x00") {
			v.fail(under("grants", "env", strconv.Itoa(i)), "want the name of a variable, got %s", quote(name))
		}
	}
	for i, name := range p.Grants.Headers {
		if !isFieldName(name) {
			v.fail(under("grants", "headers", strconv.Itoa(i)), "want the name of a header, got %s", quote(name))
		}
	}
	if p.Grants.LogRate > maxLogRate {
		v.fail(under("grants", "log_rate"), "must be at most %d lines a second", maxLogRate)
	}
}

// subsystem checks the name of a subsystem in a section.
func (v *validator) subsystem(section, name string) bool {
	words := strings.Fields(subsystems)
	if slices.Contains(words, name) {
		return true
	}
	v.faults = append(v.faults, keyFault{
		path: []string{section, name}, message: "want a subsystem: " + strings.Join(words, ", "), suggestion: Suggest(name, words),
	})
	return false
}

func (v *validator) target(t Target, name string) {
	if !v.subsystem("targets", name) {
		return
	}
	if t.ErrorRate > 1 {
		v.fail([]string{"targets", name, "error_rate"}, "must be from 0 to 1")
	}
	if t.P95 > 0 && t.P99 > 0 && t.P99 < t.P95 {
		v.fail([]string{"targets", name, "p99"}, "must be at least p95, %s", t.P95)
	}
}

func (v *validator) limits(l *SubsystemLimits, name string) {
	if !v.subsystem("limits", name) {
		return
	}
	v.choice(l.WhenFull, whenFulls, "limits", name, "when_full")
	if l.MaxKeys == 0 && v.set("limits", name, "max_keys") {
		v.fail([]string{"limits", name, "max_keys"}, "must be at least 1")
	}
	for _, key := range []string{"global", "per_key", "per_upstream"} {
		v.limit(*l.specs()[key], []string{"limits", name, key})
	}
}

func (v *validator) limit(s LimitSpec, path []string) {
	under := func(key string) []string { return append(path[:len(path):len(path)], key) }
	if s.Rate == 0 {
		if v.set(under("rate")...) {
			v.fail(under("rate"), "must be greater than 0; leave it out for no limit")
		}
		for _, key := range []string{"burst", "per", "max_wait"} {
			if v.set(under(key)...) && !v.set(under("rate")...) && (key != "max_wait" || s.Concurrency == 0) {
				v.fail(under(key), "has no meaning without rate")
			}
		}
	}
	if s.Burst == 0 && s.Rate > 0 && v.set(under("burst")...) {
		v.fail(under("burst"), "must be at least 1")
	}
	if s.Per == 0 && s.Rate > 0 && v.set(under("per")...) {
		v.fail(under("per"), "must be greater than 0")
	}
	if s.Concurrency == 0 && v.set(under("concurrency")...) {
		v.fail(under("concurrency"), "must be at least 1; leave it out for no limit")
	}
}

func (v *validator) api(a *API) {
	atLeast := func(ok bool, want string, path ...string) {
		if !ok {
			v.fail(append([]string{"api"}, path...), "must be %s", want)
		}
	}
	atLeast(a.MaxAttempts != 0, "at least 1 (the first attempt counts)", "max_attempts")
	atLeast(a.Retry.BudgetRatio <= 1, "from 0 to 1", "retry", "budget_ratio")
	atLeast(a.Retry.Base != 0, "greater than 0", "retry", "base")
	atLeast(a.Retry.Max >= a.Retry.Base, "at least retry.base, "+a.Retry.Base.String(), "retry", "max")
	if b := a.Breaker; b.Enabled {
		atLeast(b.FailureRatio != 0 && b.FailureRatio <= 1, "above 0 and at most 1", "breaker", "failure_ratio")
		atLeast(b.MinRequests != 0, "at least 1", "breaker", "min_requests")
		atLeast(b.Window != 0, "greater than 0", "breaker", "window")
		atLeast(b.OpenFor != 0, "greater than 0", "breaker", "open_for")
		atLeast(b.HalfOpen != 0, "at least 1", "breaker", "half_open")
	}
}

func (v *validator) process(p *Process) {
	if p.OutputRing > 64*MiB {
		v.fail([]string{"process", "output_ring"}, "must be at most 64MiB")
	}
	if p.LogMax >= 0 && p.LogMax < 4*KiB {
		v.fail([]string{"process", "log_max"}, "must be at least 4KiB")
	}
	if p.WatchInterval >= 0 && p.WatchInterval < Duration(10*time.Millisecond) {
		v.fail([]string{"process", "watch_interval"}, "must be at least 10ms")
	}
	if c := p.Cgroup; c != "auto" && c != "off" && !filepath.IsAbs(c) {
		v.fail([]string{"process", "cgroup"}, "want auto, off or the absolute path of a cgroup v2, got %s", quote(c))
	}
}

// negative refuses numbers below zero everywhere but in order and params.
func (v *validator) negative(value reflect.Value, path []string) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			v.negative(value.Elem(), path)
		}
	case reflect.Struct:
		for i := range value.NumField() {
			key := value.Type().Field(i).Tag.Get("koanf")
			if key != "" && key != "order" && key != "params" {
				v.negative(value.Field(i), append(path[:len(path):len(path)], key))
			}
		}
	case reflect.Map:
		for _, key := range value.MapKeys() {
			v.negative(value.MapIndex(key), append(path[:len(path):len(path)], key.String()))
		}
	case reflect.Int, reflect.Int64:
		if value.Int() < 0 {
			v.fail(path, "must not be negative, got %v", value.Interface())
		}
	case reflect.Float64:
		if f := value.Float(); f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
			v.fail(path, "must be a number that is not negative, got %v", f)
		}
	}
}
