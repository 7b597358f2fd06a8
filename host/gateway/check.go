package gateway

import (
	"net/netip"
	"strings"
)

// hostSet decides which values of Host routes answer to: a web page that points a
// name of its own at this address must not spend the operator's keys. It is
// immutable.
type hostSet struct {
	addr  string          // the listen address
	self  *selfSet        // its hosts: all of the machine's, where it listens on all
	names map[string]bool // lower case, with or without a port
}

// newHostSet allows the listen address, the hosts of routes and those configured,
// besides what is loopback.
func newHostSet(addr string, self *selfSet, routes []Route, allowed []string) *hostSet {
	s := &hostSet{addr: addr, self: self, names: map[string]bool{}}
	for i := range routes {
		if h := routes[i].Host; h != "" {
			s.names[strings.ToLower(h)] = true
		}
	}
	for _, h := range allowed {
		if a, err := netip.ParseAddr(h); err == nil && a.Is6() {
			h = "[" + h + "]"
		}
		s.names[strings.ToLower(h)] = true
	}
	return s
}

// allows reports whether routes answer to a Host. One that names nothing at all is
// no browser's.
func (s *hostSet) allows(hostport string) bool {
	if hostport == s.addr || hostport == "" {
		return true
	}
	host, _ := splitPort(hostport)
	if loopback(host) {
		return true
	}
	host, hostport = lower(host), lower(hostport)
	return s.names[hostport] || s.names[host] || s.self.hosts[strings.Trim(host, "[]")]
}

// loopback reports whether host is a name or an address of this machine alone.
func loopback(host string) bool {
	if host == "" {
		return false
	}
	if c := host[0]; c != '[' && (c < '0' || c > '9') {
		host = lower(strings.TrimSuffix(host, "."))
		return host == "localhost" || strings.HasSuffix(host, ".localhost")
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// unspecified reports whether host stands for all addresses of the machine.
func unspecified(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsUnspecified()
}

// crossSite reports whether a browser sent the request on behalf of another site, by
// the rules of net/http.CrossOriginProtection but for safe methods: a GET spends the
// operator's keys as well, so it is refused from another site too.
func crossSite(method, site, origin, host string) bool {
	switch site {
	case "":
	case "same-origin", "none":
		return false
	case "same-site":
		return method != "GET" && method != "HEAD" && method != "OPTIONS"
	default:
		return true
	}
	if origin == "" {
		return false
	}
	_, from, ok := strings.Cut(origin, "://")
	return !ok || !strings.EqualFold(from, host)
}

// selfSet tells the gateway's own addresses from others.
type selfSet struct {
	port  string
	hosts map[string]bool // besides loopback
	loops bool            // loopback reaches the gateway
}

// newSelfSet describes a listener at addr on a machine with the addresses given.
func newSelfSet(addr string, machine []netip.Addr) *selfSet {
	host, port := splitPort(addr)
	s := &selfSet{port: port, hosts: map[string]bool{}}
	all := unspecified(host) || host == ""
	s.loops = all || loopback(host)
	if !all {
		s.hosts[strings.Trim(lower(host), "[]")] = true
	} else {
		for _, a := range machine {
			s.hosts[a.Unmap().WithZone("").String()] = true
		}
	}
	return s
}

// has reports whether a host with its port is the gateway itself.
func (s *selfSet) has(hostport string) bool {
	host, port := splitPort(hostport)
	if port != s.port {
		return false
	}
	if s.loops && (loopback(host) || unspecified(host)) {
		return true
	}
	host = strings.Trim(lower(host), "[]")
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().WithZone("").String()
	}
	return s.hosts[host]
}
