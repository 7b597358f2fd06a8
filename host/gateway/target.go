package gateway

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// splitTarget cuts a request-target at its query. Both parts stay as they were sent;
// asked says whether there was a "?".
func splitTarget(target string) (path, query string, asked bool) {
	return strings.Cut(target, "?")
}

// absolutePath is what follows the authority of an absolute-form target, with a
// slash first.
func absolutePath(target string) string {
	_, rest, _ := strings.Cut(target, "://")
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// splitPort takes the port off a Host; port is "" where there is none.
func splitPort(hostport string) (host, port string) {
	i := strings.LastIndexByte(hostport, ':')
	if i < 0 || strings.IndexByte(hostport[i:], ']') >= 0 || strings.IndexByte(hostport[:i], ':') >= 0 && hostport[0] != '[' {
		return hostport, ""
	}
	return hostport[:i], hostport[i+1:]
}

// connectTarget checks the authority-form target of a CONNECT: a host and a port.
func connectTarget(target string) (host, port string, ok bool) {
	host, port = splitPort(target)
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || !validHost(host) {
		return "", "", false
	}
	return host, port, true
}

// validHost reports whether host may be a name or an address. IPv6 addresses are in
// brackets.
func validHost(host string) bool {
	if host == "" || len(host) > 255 {
		return false
	}
	if host[0] == '[' {
		a, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		return err == nil && a.Is6() && host[len(host)-1] == ']'
	}
	for i := range len(host) {
		c := host[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}

// keyOf is what limits count on for a forward request: the host in lower case, with
// a port only where it is not the usual one.
func keyOf(hostport, usual string) string {
	host, port := splitPort(hostport)
	if port == usual || port == "" {
		return lower(host)
	}
	return lower(hostport)
}

// outPath fills the path of u so that it is sent as raw, byte for byte. raw is a
// part of a path that url.Parse has accepted, plain the same part without escapes.
func outPath(u *url.URL, raw, plain string, escaped bool) {
	u.Path, u.RawPath = plain, ""
	if escaped {
		u.RawPath = raw
	}
}
