package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Dialer opens connections. net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// Config describes a Pool. A time or size of 0 is no bound; DefaultConfig is where
// to start from. Fields marked live are what SetConfig changes.
type Config struct {
	Admission admission.Config // live
	Slot      *policy.Slot     // the policies; nil: none
	Log       *slog.Logger     // nil discards
	Dialer    Dialer           // nil: net.Dialer
	// Profiles are the TLS settings that calls name. The profile "" is always
	// there; unless it is given it verifies by the system's certificates.
	Profiles map[string]Profile

	DialTimeout         time.Duration // of a connection, and again of its TLS handshake
	HeaderTimeout       time.Duration // from the request's end to the answer's headers
	TotalTimeout        time.Duration // live: of an operation with all its waits, to the end of the body
	IdleConnTimeout     time.Duration
	MaxIdleConnsPerHost int
	MaxConnsPerHost     int
	MaxResponseBody     int64 // live: bytes
	ReplayMax           int64 // live: bytes of a request body kept for a retry; 0 keeps none

	// Clock, After and Random replace time and chance in tests.
	Clock  admission.Clock
	After  admission.After
	Random func() float64
}

// Profile is how a connection is secured.
type Profile struct {
	CAFile             string // PEM certificates trusted besides the system's
	InsecureSkipVerify bool
	DisableHTTP2       bool
	// Dialer opens the profile's connections; nil: the pool's. Profiles never
	// share a connection.
	Dialer Dialer
}

// DefaultConfig waits up to a minute, tries up to 4 times, keeps 256 idle
// connections for each host, and replays request bodies up to 1 MiB.
func DefaultConfig() Config {
	return Config{
		Admission:           admission.DefaultConfig(),
		DialTimeout:         10 * time.Second,
		HeaderTimeout:       60 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConnsPerHost: 256,
		ReplayMax:           1 << 20,
	}
}

// Check returns every fault of c, joined; nil if there is none. It reads no file.
func (c *Config) Check() error {
	faults := []error{c.Admission.Check()}
	for name, n := range map[string]int64{
		"dial_timeout": int64(c.DialTimeout), "header_timeout": int64(c.HeaderTimeout), "total_timeout": int64(c.TotalTimeout),
		"idle_conn_timeout": int64(c.IdleConnTimeout), "max_idle_conns_per_host": int64(c.MaxIdleConnsPerHost),
		"max_conns_per_host": int64(c.MaxConnsPerHost), "max_response_body": c.MaxResponseBody, "replay_max": c.ReplayMax,
	} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("%s must be 0 or more", name))
		}
	}
	return errors.Join(faults...)
}

// tls returns the TLS settings of the profile.
func (p *Profile) tls() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: p.InsecureSkipVerify, MinVersion: tls.VersionTLS12}
	if p.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(p.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ca_file: %s holds no PEM certificate", p.CAFile)
	}
	c.RootCAs = pool
	return c, nil
}
