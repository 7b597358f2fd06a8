package remote

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// Folders of the cache. Files have the digest of their bytes as their name, but those
// of addresses: they hold the digest of the last module, or manifest, of an address.
const (
	modulesDir   = "modules"
	manifestsDir = "manifests"
	addressesDir = "addresses"
)

// manifestMark is before the digest of a manifest in a file of addresses.
const manifestMark = "manifest "

var errNotKept = errors.New("not kept")

// kept returns the module that at names, once it is what r and w ask for: the disk is
// checked like the network.
func (s *Store) kept(at, r ref, w Want) (m *Module, err error) {
	if s.c.Dir == "" || !at.pinned() {
		return nil, errNotKept
	}
	var l lease
	defer func() {
		if err != nil {
			l.release()
		}
	}()
	f := found{name: r.base}
	digest := at.digest
	if name := at.manifest(); name != "" {
		if f.manifest, err = l.read(s.path(manifestsDir, name), maxManifest); err != nil {
			return nil, err
		}
		a, err := readManifest(f.manifest, "sha256:"+name)
		if err != nil {
			return nil, err
		}
		digest, f.signature = strings.TrimPrefix(string(a.layer.Digest), "sha256:"), a.signature
	}
	if f.code, err = l.read(s.path(modulesDir, digest), s.c.MaxBytes); err != nil {
		return nil, err
	}
	if f.manifest == nil {
		f.signature, err = l.read(s.path(modulesDir, digest+SignatureSuffix), maxSignature)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	want := r
	want.digest = digest
	if f.name == "" {
		f.name = fileName(r.at, f.code)
	}
	if m, err = check(f, want, w); err != nil {
		return nil, err
	}
	if r.digest != "" && r.digest != digest {
		return nil, errNotKept
	}
	_ = l.add(s.path(addressesDir, addressKey(r))) // absent where another address brought the module
	m.lease = l
	return m, nil
}

// lastOf returns the pinned form of the last module of an address; of one that never
// was kept it is the address itself.
func (s *Store) lastOf(r ref) ref {
	if s.c.Dir == "" {
		return r
	}
	text, err := readBounded(s.path(addressesDir, addressKey(r)), 128)
	if err != nil {
		return r
	}
	digest, isManifest := strings.CutPrefix(string(text), manifestMark)
	switch {
	case !fragment.MatchString(digest):
	case isManifest:
		r.at.Reference = digest
	default:
		r.digest = strings.TrimPrefix(digest, "sha256:")
	}
	return r
}

// keep writes a module that was checked. A cache that cannot be written costs only
// the next start without a network.
func (s *Store) keep(r ref, m *Module, f found) {
	if s.c.Dir == "" {
		return
	}
	unlock, err := s.lock()
	if err != nil {
		s.c.Log.Warn("a fetched policy cannot be kept", "policy", r.url, "error", err)
		return
	}
	defer unlock()
	name := strings.TrimPrefix(m.Digest, "sha256:")
	last := m.Digest
	err = s.write(&m.lease, s.path(modulesDir, name), f.code)
	if err == nil && len(f.signature) > 0 {
		err = s.write(&m.lease, s.path(modulesDir, name+SignatureSuffix), f.signature)
	}
	if err == nil && f.manifest != nil {
		last = manifestMark + Digest(f.manifest)
		err = s.write(&m.lease, s.path(manifestsDir, strings.TrimPrefix(Digest(f.manifest), "sha256:")), f.manifest)
	}
	if err == nil {
		err = s.write(&m.lease, s.path(addressesDir, addressKey(r)), []byte(last))
	}
	if err != nil {
		s.c.Log.Warn("a fetched policy cannot be kept", "policy", r.url, "error", err)
	}
	s.sweep()
}

func (s *Store) path(kind, name string) string { return filepath.Join(s.c.Dir, kind, name) }

// write makes a file hold data and leases it, under the lock of the cache. One that does
// already stays: another process may hold it.
func (s *Store) write(l *lease, path string, data []byte) error {
	if old, err := l.read(path, int64(len(data))); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err //nolint:wrapcheck // it names the path
	}
	if err := renameio.WriteFile(path, data, 0o600); err != nil {
		return err //nolint:wrapcheck // it names the path
	}
	return l.add(path)
}

func addressKey(r ref) string {
	sum := sha256.Sum256([]byte(r.url))
	return hex.EncodeToString(sum[:])
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the path
	}
	defer f.Close()
	return readUpTo(f, limit)
}

func readUpTo(f *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = tooLarge(limit)
	}
	return data, err
}
