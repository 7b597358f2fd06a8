package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Config describes a Server.
type Config struct {
	Listen       string   // TCP address; "" none
	Socket       string   // path of the unix socket; "" none
	TokenFile    string   // where the bearer token is kept, mode 0600
	AllowedHosts []string // Host names accepted besides loopback ones
	Backend      Backend
	Work         http.Handler // the work API: GET /v1/SUBSYSTEM, POST /v1/SUBSYSTEM/ACTION; nil: none
	Explain      http.Handler // POST /v1/explain; nil: none
	Log          *slog.Logger // nil: discarded
}

// Server serves the control plane. Start opens it, Stop ends it.
type Server struct {
	c     Config
	token string
	http  *http.Server

	mu      sync.Mutex // guards what follows
	tcp     net.Listener
	unix    net.Listener
	wg      sync.WaitGroup
	stopped bool
}

// New returns a server that serves nothing yet.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{c: c}
}

// Start opens the socket and the address and serves until Stop. When it fails,
// nothing is left open.
func (s *Server) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	if s.c.Listen != "" && !loopback(s.c.Listen) {
		return fmt.Errorf("control: %s is not a loopback address; the control plane is not served elsewhere", s.c.Listen)
	}
	if s.c.Socket != "" {
		if s.unix, err = listenUnix(ctx, s.c.Socket); err != nil {
			return fmt.Errorf("control: open the socket: %w", err)
		}
	}
	if s.c.Listen != "" {
		lc := net.ListenConfig{}
		if s.tcp, err = lc.Listen(ctx, "tcp", s.c.Listen); err != nil {
			return fmt.Errorf("control: listen on %s (choose another with --control): %w", s.c.Listen, err)
		}
		if s.token, err = makeToken(s.c.TokenFile); err != nil {
			return fmt.Errorf("control: write the token: %w", err)
		}
	}
	s.http = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ConnContext: markSocket, ErrorLog: slog.NewLogLogger(s.c.Log.Handler(), slog.LevelDebug)}
	for _, l := range []net.Listener{s.unix, s.tcp} {
		if l != nil {
			s.wg.Go(func() {
				if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
					s.c.Log.Error("the control plane stopped serving", "address", l.Addr().String(), "error", err)
				}
			})
		}
	}
	return nil
}

// Addr returns the TCP address served, "" for none.
func (s *Server) Addr() string {
	if s.tcp == nil {
		return ""
	}
	return s.tcp.Addr().String()
}

// Stop waits for answers under way until ctx ends, then cuts them. It is
// idempotent.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	done := s.stopped || s.http == nil
	s.stopped = true
	s.mu.Unlock()
	if done {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.closeListeners()
	s.wg.Wait()
	if s.c.TokenFile != "" && s.token != "" {
		_ = os.Remove(s.c.TokenFile)
	}
	return err
}

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.unix, s.tcp} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// listenUnix opens a socket only its owner can use. A socket file that nobody
// serves, left by a process that was killed, is replaced; one that is served is an
// error.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s exists and is not a socket", path)
		}
		d := net.Dialer{Timeout: time.Second}
		if c, err := d.DialContext(ctx, "unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s is served by another gaia", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	lc := net.ListenConfig{}
	// The file is made under a private name and moved: it is never open to others,
	// not even between bind and chmod.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".gaia-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "s")
	l, err := lc.Listen(ctx, "unix", temp)
	if err != nil {
		return nil, err
	}
	ul := l.(*net.UnixListener)
	ul.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{UnixListener: ul, path: path}, nil
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

func (s *socket) Close() error {
	err := s.UnixListener.Close()
	s.once.Do(func() { err = errors.Join(err, os.Remove(s.path)) })
	return err
}

func makeToken(path string) (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	token := hex.EncodeToString(b)
	if path == "" {
		return "", errors.New("no file for it is configured (token_file)")
	}
	return token, renameio.WriteFile(path, []byte(token+"\n"), 0o600, renameio.IgnoreUmask())
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

type socketKey struct{}

// markSocket remembers which requests came over the unix socket.
func markSocket(ctx context.Context, c net.Conn) context.Context {
	if c.LocalAddr().Network() == "unix" {
		return context.WithValue(ctx, socketKey{}, true)
	}
	return ctx
}

func overSocket(r *http.Request) bool { return r.Context().Value(socketKey{}) != nil }
