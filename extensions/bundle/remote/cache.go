package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

var errNotKept = errors.New("not kept")

// kept returns a module of the cache once it is what is wanted: the disk is checked
// like the network.
func (s *Store) kept(digest string, r ref, w Want) (*Module, error) {
	if s.c.Dir == "" || digest == "" {
		return nil, errNotKept
	}
	code, err := readBounded(s.path("modules", digest), s.c.MaxBytes)
	if err != nil {
		return nil, err
	}
	signature, err := readBounded(s.path("modules", digest+SignatureSuffix), maxSignature)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	r.digest = digest
	return check(code, signature, r, w)
}

// lastOf returns the digest of the last module of an address, "" for none.
func (s *Store) lastOf(r ref) string {
	if s.c.Dir == "" {
		return ""
	}
	text, err := readBounded(s.path("addresses", addressKey(r)), 128)
	if err != nil || !fragment.MatchString(string(text)) {
		return ""
	}
	return strings.TrimPrefix(string(text), "sha256:")
}

// keep writes a module that was checked. A cache that cannot be written costs only
// the next start without a network.
func (s *Store) keep(r ref, m *Module, signature []byte) {
	if s.c.Dir == "" {
		return
	}
	name := strings.TrimPrefix(m.Digest, "sha256:")
	err := s.write(s.path("modules", name), m.Code)
	if err == nil && len(signature) > 0 {
		err = s.write(s.path("modules", name+SignatureSuffix), signature)
	}
	if err == nil {
		err = s.write(s.path("addresses", addressKey(r)), []byte(m.Digest))
	}
	if err != nil {
		s.c.Log.Warn("a fetched policy cannot be kept", "policy", r.url, "error", err)
	}
}

func (s *Store) path(kind, name string) string { return filepath.Join(s.c.Dir, kind, name) }

func (s *Store) write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err //nolint:wrapcheck // it names the path
	}
	return renameio.WriteFile(path, data, 0o600) //nolint:wrapcheck // it names the path
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
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = tooLarge(limit)
	}
	return data, err
}
