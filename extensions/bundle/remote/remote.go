// Package remote fetches policies over HTTPS, checks their digest and signature, and
// keeps them, so that an outage never stops a start. It also signs.
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
	"net/url"
	"path"
	"regexp"
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
	fetchTimeout = 30 * time.Second
	maxRedirects = 5
)

// Config describes a Store. The zero Config is usable: no cache, the system's roots.
type Config struct {
	Dir     string         // of the cache, made with mode 0700; "": nothing is kept
	RootCAs *x509.CertPool // nil: the system's
	Log     *slog.Logger   // nil: discarded
	// MaxBytes bounds a module; 0 is 64 MiB.
	MaxBytes int64
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
	return &Store{c: c, client: newClient(c.RootCAs)}
}

// Module is a module that was checked.
type Module struct {
	Code   []byte
	Digest string // "sha256:" and hexadecimal digits
	Signer string // identifier of the key that signed it, "" where none was asked for
	Name   string // the last part of its address
}

// Want says what a module must be.
type Want struct {
	Keys []string // public keys; if there are any, one of them must have signed it
	// Stale takes the last module of this address where it cannot be fetched now. Without
	// it such a failure is an error.
	Stale bool
	// Digest is that of the module wanted, "sha256:..." of a lock file: it pins an address
	// without a digest of its own. What has another is returned all the same: the caller
	// says what is locked.
	Digest string
	// FirstUse takes what is neither pinned nor signed.
	FirstUse bool
}

// IsRef reports whether use is an address and not a path.
func IsRef(use string) bool { return strings.Contains(use, "://") }

// NameOf returns the last part of an address without its ending.
func NameOf(use string) string {
	use, _, _ = strings.Cut(use, "#")
	use, _, _ = strings.Cut(use, "?")
	base := path.Base(use)
	return strings.TrimSuffix(base, path.Ext(base))
}

type ref struct {
	url    string
	base   string // last part of the path
	digest string // hexadecimal, "" for none
}

var fragment = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// parse reads https://HOST/PATH#sha256:DIGEST.
func parse(use string) (ref, error) {
	u, err := url.Parse(use)
	switch {
	case err != nil:
		return ref{}, fmt.Errorf("%w: not an address", ErrRefused)
	case u.Scheme != "https" || u.Host == "":
		return ref{}, fmt.Errorf("%w: want https://HOST/PATH#sha256:DIGEST", ErrRefused)
	case u.User != nil:
		return ref{}, fmt.Errorf("%w: an address with a password would be logged", ErrRefused)
	case u.Fragment != "" && !fragment.MatchString(u.Fragment):
		return ref{}, fmt.Errorf("%w: want #sha256: and 64 hexadecimal digits in small letters", ErrRefused)
	}
	r := ref{base: path.Base(u.Path), digest: strings.TrimPrefix(u.Fragment, "sha256:")}
	u.Fragment = ""
	r.url = u.String()
	return r, nil
}

// signatureURL is where the side file is: beside the module, whatever the query.
func (r ref) signatureURL() string {
	at, query, found := strings.Cut(r.url, "?")
	if found {
		return at + SignatureSuffix + "?" + query
	}
	return at + SignatureSuffix
}

// Fetch returns the module at an address once it is what was asked for. A module that
// is pinned by its digest and was kept before is not fetched again.
func (s *Store) Fetch(ctx context.Context, use string, w Want) (*Module, error) {
	r, err := parse(use)
	if err != nil {
		return nil, err
	}
	if r.digest == "" && w.Digest == "" && len(w.Keys) == 0 && !w.FirstUse {
		return nil, fmt.Errorf("%w: it is neither pinned nor signed: add #sha256:DIGEST, or name the keys that you trust in require_signed", ErrRefused)
	}
	for _, digest := range []string{strings.TrimPrefix(w.Digest, "sha256:"), r.digest} {
		if m, err := s.kept(digest, r, w); err == nil && (r.digest == "" || r.digest == digest) {
			return m, nil
		}
	}
	m, signature, err := s.fetch(ctx, r, w)
	if err == nil {
		s.keep(r, m, signature)
		return m, nil
	}
	if !w.Stale || !errors.Is(err, ErrFetch) {
		return nil, err
	}
	m, kerr := s.kept(s.lastOf(r), r, w)
	if kerr != nil {
		return nil, err
	}
	s.c.Log.Warn("a policy cannot be fetched; the one kept from before is used", "policy", r.url, "digest", m.Digest, "error", err)
	return m, nil
}

func (s *Store) fetch(ctx context.Context, r ref, w Want) (m *Module, signature []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	code, err := s.get(ctx, r.url, s.c.MaxBytes)
	if err != nil {
		return nil, nil, err
	}
	if len(w.Keys) > 0 {
		if signature, err = s.get(ctx, r.signatureURL(), maxSignature); errors.Is(err, errAbsent) {
			return nil, nil, fmt.Errorf("%w: it is not signed: there is no %s", ErrRefused, r.signatureURL())
		} else if err != nil {
			return nil, nil, err
		}
	}
	m, err = check(code, signature, r, w)
	return m, signature, err
}

// Digest returns "sha256:" and the hexadecimal digits.
func Digest(code []byte) string {
	sum := sha256.Sum256(code)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// check holds bytes to what was asked for.
func check(code, signature []byte, r ref, w Want) (*Module, error) {
	m := &Module{Code: code, Digest: Digest(code), Name: r.base}
	if r.digest != "" && m.Digest != "sha256:"+r.digest {
		return nil, fmt.Errorf("%w: its digest is %s, not the sha256:%s that was asked for", ErrRefused, m.Digest, r.digest)
	}
	if len(w.Keys) == 0 {
		return m, nil
	}
	var err error
	m.Signer, err = Verify(code, signature, w.Keys)
	return m, err
}
