// Package remote fetches policies over HTTPS and from OCI registries, checks their
// digest and signature, and keeps them, so that an outage never stops a start. It also
// signs, and pushes to registries.
//
// It neither runs a policy nor reads what one asks for: extensions/bundle does.
package remote

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Errors of Fetch and Verify.
var (
	// ErrRefused: the digest or the signature is not the one that was asked for.
	ErrRefused = errors.New("refused")
	// ErrFetch: the module could not be had.
	ErrFetch = errors.New("cannot be fetched")
)

// Bounds of one fetch.
const (
	maxModule    = 64 << 20 // bytes
	maxCache     = 512 << 20
	fetchTimeout = 30 * time.Second
	maxRedirects = 5
)

// Config describes a Store. The zero Config is usable: no cache, the system's roots.
type Config struct {
	Dir     string         // of the cache, made with mode 0700; "": nothing is kept
	RootCAs *x509.CertPool // nil: the system's
	Log     *slog.Logger   // nil: discarded
	// MaxBytes bounds a module; 0 is 64 MiB. MaxCache bounds what is kept of all; 0 is
	// 512 MiB. What a running gaia uses is kept beyond it.
	MaxBytes, MaxCache int64
}

// Store fetches modules and keeps them by their digest. It is safe for concurrent use.
type Store struct {
	c      Config
	client *http.Client
}

// New returns a store. It opens nothing.
func New(c Config) *Store {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = maxModule
	}
	if c.MaxCache <= 0 {
		c.MaxCache = maxCache
	}
	return &Store{c: c, client: newClient(c.RootCAs)}
}

// Module is a module that was checked. Release it once nothing runs it any more.
type Module struct {
	Code   []byte
	Digest string // "sha256:" and hexadecimal digits of Code, wherever it came from
	Signer string // identifier of the key that signed it, "" where none was asked for
	Name   string // a file name with the ending that says its kind
	// Resolved is the address that means these very bytes for ever: https://...#sha256:D,
	// or oci://HOST/REPOSITORY@sha256:M with the digest of the manifest.
	Resolved string
	// Signature came along and was checked only where Signer says so; nil for none, or
	// where it was not asked for.
	Signature []byte

	lease lease
}

// Release lets the cache drop the module. It can be called twice.
func (m *Module) Release() { m.lease.release() }

// Want says what a module must be.
type Want struct {
	Keys []string // public keys; if there are any, one of them must have signed it
	// PlainHTTP are registries, HOST or HOST:PORT, that are asked without TLS. Those on
	// the loopback always are.
	PlainHTTP []string
	// Stale takes the last module of this address where it cannot be fetched now. Without
	// it such a failure is an error.
	Stale bool
	// Digest is that of the module wanted, "sha256:..." of a lock file: it pins an address
	// without a digest of its own. What has another is returned all the same: the caller
	// says what is locked.
	Digest string
	// FirstUse takes what is neither pinned nor signed.
	FirstUse bool
	// Look wants to see what is there: it need be neither pinned nor signed, is asked for
	// even if it is kept, and brings its signature along if there is one.
	Look bool
}

// Fetch returns the module at an address once it is what was asked for. A module that
// is pinned by a digest and was kept before is not fetched again. The caller releases it.
func (s *Store) Fetch(ctx context.Context, use string, w Want) (*Module, error) {
	r, err := parse(use)
	if err != nil {
		return nil, err
	}
	if !r.pinned() && len(w.Keys) == 0 && w.Digest == "" && !w.FirstUse && !w.Look {
		return nil, withHint(fmt.Errorf("%w: it is neither pinned nor signed: %s, or name the keys that you trust in require_signed", ErrRefused, r.howToPin()),
			"`gaia policy inspect "+r.url+"` shows its digest and who signed it")
	}
	at := r
	if !r.pinned() {
		at.digest = strings.TrimPrefix(w.Digest, "sha256:")
	}
	if !w.Look {
		if m, err := s.kept(at, r, w); err == nil {
			return m, nil
		}
	}
	m, err := s.fetch(ctx, r, w)
	if err == nil {
		s.c.Log.Info("a policy was fetched", "policy", r.url, "is", m.Resolved, "digest", m.Digest)
		return m, nil
	}
	if !w.Stale || !errors.Is(err, ErrFetch) {
		return nil, err
	}
	m, kerr := s.kept(s.lastOf(r), r, w)
	if kerr != nil {
		return nil, err
	}
	s.c.Log.Warn("a policy cannot be fetched; the one kept from before is used", "policy", r.url, "is", m.Resolved, "digest", m.Digest, "error", err)
	return m, nil
}

// found is what a server gave for an address.
type found struct {
	code, signature []byte
	manifest        []byte // of a registry
	name            string
}

func (s *Store) fetch(ctx context.Context, r ref, w Want) (*Module, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	get := s.download
	if r.oci() {
		get = s.pull
	}
	f, err := get(ctx, r, w)
	if err != nil {
		return nil, err
	}
	m, err := check(f, r, w)
	if err != nil {
		return nil, err
	}
	s.keep(r, m, f)
	return m, nil
}

// download gets a module over HTTPS, and the signature beside it.
func (s *Store) download(ctx context.Context, r ref, w Want) (f found, err error) {
	f.name = r.base
	if f.code, err = s.get(ctx, r.url, s.c.MaxBytes); err != nil || len(w.Keys) == 0 && !w.Look {
		return f, err
	}
	f.signature, err = s.get(ctx, r.signatureURL(), maxSignature)
	if !errors.Is(err, errAbsent) {
		return f, err
	}
	if len(w.Keys) > 0 {
		return f, fmt.Errorf("%w: it is not signed: there is no %s", ErrRefused, r.signatureURL())
	}
	return f, nil
}

// Digest returns "sha256:" and the hexadecimal digits.
func Digest(code []byte) string {
	sum := sha256.Sum256(code)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// check holds bytes to what was asked for.
func check(f found, r ref, w Want) (*Module, error) {
	m := &Module{Code: f.code, Digest: Digest(f.code), Name: f.name, Signature: f.signature}
	if r.digest != "" && m.Digest != "sha256:"+r.digest {
		return nil, fmt.Errorf("%w: its digest is %s, not the sha256:%s that was asked for", ErrRefused, m.Digest, r.digest)
	}
	m.Resolved = r.resolved(m, f)
	if len(w.Keys) == 0 {
		return m, nil
	}
	if len(f.signature) == 0 {
		return nil, fmt.Errorf("%w: it is not signed", ErrRefused)
	}
	var err error
	m.Signer, err = Verify(f.code, f.signature, w.Keys)
	if err != nil {
		return nil, err
	}
	return m, nil
}
