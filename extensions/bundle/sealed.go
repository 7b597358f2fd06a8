package bundle

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/js"
	"github.com/gaia-host/gaia/extensions/policy"
)

// openSealed opens a policy of which every byte was checked before it is read: one
// that was fetched, or a local file that must be signed. It is one file; what it
// imports would be checked by nobody.
func openSealed(ctx context.Context, name, use string, s Settings, c Config) (*Policy, error) {
	m, err := sealed(ctx, use, s, c)
	if err != nil {
		return nil, refused(name, use, err)
	}
	if err := s.locked(NameOf(name, use), use, m.Digest); err != nil {
		m.Release()
		return nil, err
	}
	s.Digest = "" // of the file, which openJS would not find again
	return OpenModule(ctx, name, use, m, s, c)
}

// OpenModule opens a policy from bytes that were fetched from use, or read there, and
// checked. Closing the policy releases them, as an error does.
func OpenModule(ctx context.Context, name, use string, m *remote.Module, s Settings, c Config) (*Policy, error) {
	s.Foreign = s.Foreign || remote.IsRef(use)
	p, err := openChecked(ctx, NameOf(name, use), use, m, s, c)
	if err != nil {
		m.Release()
		return nil, err
	}
	if h, ok := p.Policy.(*held); ok {
		h.release = m.Release
	}
	p.Digest, p.Signer, p.Resolved, p.Files = m.Digest, m.Signer, m.Resolved, nil
	if !remote.IsRef(use) {
		p.Files = []string{use, use + remote.SignatureSuffix}
	}
	return p, nil
}

func openChecked(ctx context.Context, name, use string, m *remote.Module, s Settings, c Config) (*Policy, error) {
	switch ext := strings.ToLower(path.Ext(m.Name)); {
	case isModule(m.Code):
		return openModule(ctx, name, use, m.Code, s, c)
	case isScript(ext):
		return openJS(ctx, js.Source{Name: name, Path: m.Name, Code: m.Code, FS: embed.FS{}}, use, s, c)
	}
	return nil, &policy.LoadError{Policy: name, File: use, Message: "not a policy: want a .js, .ts or .wasm file", Err: ErrFormat}
}

// sealed reads the bytes and checks them.
func sealed(ctx context.Context, use string, s Settings, c Config) (*remote.Module, error) {
	if remote.IsRef(use) {
		if c.Remote == nil {
			return nil, fmt.Errorf("%w: nothing is fetched here", remote.ErrFetch)
		}
		return c.Remote.Fetch(ctx, use, remote.Want{Keys: s.Keys, PlainHTTP: s.PlainHTTP, Stale: c.Stale && s.Digest == "", Digest: s.Digest, FirstUse: c.FirstUse})
	}
	code, err := readFile(use)
	if err != nil {
		return nil, err
	}
	signature, err := readFile(use + remote.SignatureSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: it is not signed: there is no %s", remote.ErrRefused, use+remote.SignatureSuffix)
	} else if err != nil {
		return nil, err
	}
	m := &remote.Module{Code: code, Digest: remote.Digest(code), Name: filepath.Base(use)}
	m.Signer, err = remote.Verify(code, signature, s.Keys)
	return m, err //nolint:wrapcheck // it is wrapped once, with its file
}

// refused names the policy that an error is about.
func refused(name, use string, err error) error {
	var load *policy.LoadError
	if errors.As(err, &load) {
		return err
	}
	e := &policy.LoadError{Policy: NameOf(name, use), File: use, Message: err.Error(), Err: err}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		e.Hint = hinted.Hint()
	} else if errors.Is(err, remote.ErrRefused) {
		e.Hint = "ask who gave it to you for its digest or signature; `gaia policy verify` checks a file"
	}
	return e
}
