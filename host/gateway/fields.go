package gateway

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Bounds of what a caller may say about its request.
const (
	maxTenant  = 256 // bytes
	maxTimeout = 24 * time.Hour
)

// steering is what the caller said in Gaia-* fields, and what its hop-by-hop fields
// mean for the way on.
type steering struct {
	tenant      string
	priority    int
	hasPriority bool
	cost        int64 // 0: not said
	timeout     time.Duration
	upgrade     string // the protocol asked for, "" none
	trailers    bool   // TE: trailers
}

// take reads the fields that end at the gateway and removes them from h: Gaia-Tenant,
// Gaia-Priority, Gaia-Cost, Gaia-Timeout, Gaia-Explain, the hop-by-hop fields of
// RFC 9110, 7.6.1, and every Proxy-* field. It returns what is wrong with a Gaia
// field, "" for nothing.
func (s *steering) take(h http.Header) (fault string) {
	var connection []string
	var upgrade string
	for name, values := range h {
		switch name {
		case "Connection":
			connection = values
		case "Upgrade":
			upgrade = strings.Join(values, ", ")
		case "Te":
			s.trailers = hasToken(values, "trailers")
		case "Gaia-Tenant", "Gaia-Priority", "Gaia-Cost", "Gaia-Timeout":
			if f := s.read(name, values); f != "" {
				fault = f
			}
		case "Gaia-Explain", "Http2-Settings", "Keep-Alive", "Trailer", "Transfer-Encoding":
		default:
			if !strings.HasPrefix(name, "Proxy-") {
				continue
			}
		}
		delete(h, name)
	}
	dropNamed(h, connection)
	if upgrade != "" && hasToken(connection, "upgrade") && !hasToken([]string{upgrade}, "h2c") {
		s.upgrade = upgrade
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{upgrade}
	}
	if s.trailers {
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // or the transport would invent one
	}
	return fault
}

// read reads one Gaia field. Of several values the first counts.
func (s *steering) read(name string, values []string) (fault string) {
	if len(values) == 0 {
		return ""
	}
	v := values[0]
	switch name {
	case "Gaia-Tenant":
		if len(v) > maxTenant || !utf8.ValidString(v) {
			return "Gaia-Tenant must be UTF-8 of at most 256 bytes"
		}
		s.tenant = v
	case "Gaia-Priority":
		if len(v) != 1 || v[0] < '0' || v[0] > '0'+policy.MaxPriority {
			return "Gaia-Priority must be a number from 0 to 9"
		}
		s.priority, s.hasPriority = int(v[0]-'0'), true
	case "Gaia-Cost":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1 || n > policy.MaxCost || v[0] == '+' {
			return "Gaia-Cost must be a whole number from 1 to 2^40"
		}
		s.cost = n
	case "Gaia-Timeout":
		d, ok := parseTimeout(v)
		if !ok {
			return `Gaia-Timeout must be more than 0 and at most 24h, in milliseconds ("1500") or with a unit ("2s")`
		}
		s.timeout = d
	}
	return ""
}

// parseTimeout reads milliseconds or a text with a unit.
func parseTimeout(v string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		d := time.Duration(n) * time.Millisecond
		return d, 0 < d && d <= maxTimeout
	}
	d, err := time.ParseDuration(v)
	return d, err == nil && 0 < d && d <= maxTimeout
}

// passFields moves the fields of an answer to dst, except the hop-by-hop ones. from
// stays as it is: policies see it until the answer's end.
func passFields(dst, from http.Header) {
	for name, values := range from {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
			"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		default:
			dst[name] = values
		}
	}
	dropNamed(dst, from["Connection"])
}

// dropNamed removes the fields that a Connection field names.
func dropNamed(h http.Header, connection []string) {
	for _, list := range connection {
		if list == "keep-alive" || list == "close" || list == "Keep-Alive" {
			continue
		}
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name != "" {
				delete(h, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
}

// hasToken reports whether a list field holds a token, parameters aside.
func hasToken(values []string, token string) bool {
	for _, list := range values {
		for t := range strings.SplitSeq(list, ",") {
			t, _, _ = strings.Cut(t, ";")
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}
