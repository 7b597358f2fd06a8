package network

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	defaultResolvConf = "/etc/resolv.conf"
	defaultHostsFile  = "/etc/hosts"
	// recheck is how often the system's files are looked at.
	recheck = int64(5 * time.Second)
	// maxSystemFile bounds what is read of them.
	maxSystemFile = 8 << 20
	maxServers    = 8
	maxSearch     = 8
)

// system is what the machine says about names: its name servers, its search list
// and its own names. It is immutable.
type system struct {
	servers []string // HOST:PORT
	search  dns.ClientConfig
	names   map[string][]netip.Addr // of the hosts file, lower case
	// noServers says that resolv.conf names none: names are left to the standard
	// library.
	noServers bool
}

// watched is the system's files as they were read last.
type watched struct {
	now     atomic.Pointer[system]
	checked atomic.Int64

	mu     sync.Mutex
	config DNS
	stamps [2]stamp
}

// stamp tells whether a file has changed.
type stamp struct {
	mod  time.Time
	size int64
	err  bool
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{err: true}
	}
	return stamp{mod: info.ModTime(), size: info.Size()}
}

func (d *DNS) files() [2]string {
	files := [2]string{d.ResolvConf, d.HostsFile}
	if files[0] == "" {
		files[0] = defaultResolvConf
	}
	if files[1] == "" {
		files[1] = defaultHostsFile
	}
	return files
}

// set reads the files of d, and reports whether what they say may be new.
func (w *watched) set(d DNS, now int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checked.Store(now)
	stamps := [2]stamp{}
	for i, f := range d.files() {
		stamps[i] = stampOf(f)
	}
	if w.now.Load() != nil && stamps == w.stamps && sameSource(&w.config, &d) {
		return false
	}
	w.config, w.stamps = d, stamps
	w.now.Store(readSystem(&d))
	return true
}

func sameSource(a, b *DNS) bool {
	return a.files() == b.files() && strings.Join(a.Servers, " ") == strings.Join(b.Servers, " ")
}

// refresh looks at the files when the last look was long ago.
func (w *watched) refresh(now int64) bool {
	last := w.checked.Load()
	if now-last < recheck || !w.checked.CompareAndSwap(last, now) {
		return false
	}
	w.mu.Lock()
	d := w.config
	w.mu.Unlock()
	return w.set(d, now)
}

func readSystem(d *DNS) *system {
	files := d.files()
	s := &system{names: map[string][]netip.Addr{}}
	s.search = dns.ClientConfig{Ndots: 1}
	if f, err := os.Open(files[0]); err == nil {
		if c, err := dns.ClientConfigFromReader(io.LimitReader(f, maxSystemFile)); err == nil {
			s.search = *c
			s.search.Search = s.search.Search[:min(len(s.search.Search), maxSearch)]
		}
		_ = f.Close()
	}
	for _, ip := range s.search.Servers[:min(len(s.search.Servers), maxServers)] {
		s.servers = append(s.servers, net.JoinHostPort(ip, s.search.Port))
	}
	if len(d.Servers) > 0 {
		s.servers = nil
		for _, text := range d.Servers {
			if addr, err := serverAddr(text); err == nil { // Check has seen them
				s.servers = append(s.servers, addr)
			}
		}
	}
	s.noServers = len(s.servers) == 0
	if f, err := os.Open(files[1]); err == nil {
		s.names = parseHosts(io.LimitReader(f, maxSystemFile))
		_ = f.Close()
	}
	return s
}

// parseHosts reads a hosts file. Lines that are none are passed over.
func parseHosts(r io.Reader) map[string][]netip.Addr {
	names := map[string][]netip.Addr{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.TrimSuffix(strings.ToLower(name), ".")
			if len(names[name]) < maxAddrs {
				names[name] = append(names[name], ip.Unmap())
			}
		}
	}
	return names
}

// local returns the addresses that the machine itself gives a name: of its hosts
// file, or of localhost (RFC 6761).
func (s *system) local(name string) []netip.Addr {
	if addrs := s.names[name]; addrs != nil {
		return addrs
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

// foreign reports whether a name is for other resolvers than DNS servers: those of
// multicast DNS, and every name where no server is known.
func (s *system) foreign(name string) bool {
	return s.noServers || strings.HasSuffix(name, ".local")
}
