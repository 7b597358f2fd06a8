package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
	"github.com/gaia-host/gaia/extensions/wasm/meter"
)

// Bounds of a manifest.
const (
	maxManifest = 64 << 10 // bytes
	maxReasons  = 255      // a reason is 8 bits of the packed decision
	maxVersion  = 128      // bytes
)

var nameSyntax = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Manifest is what a module says about itself in the custom section gaia.manifest. The zero Manifest is that of a module without
// one: it is asked about everything.
type Manifest struct {
	Name        string
	Version     string
	Description string
	Options     policy.Options
	// Reasons are the texts that the reason field of a packed decision points to, from 1.
	Reasons []string
}

// readManifest finds and parses the manifest. Keys it does not know are ignored, except among the options.
func readManifest(info *meter.Info) (Manifest, error) {
	data, n := info.Custom(abi.ManifestSection)
	switch {
	case n == 0:
		return Manifest{}, nil
	case n > 1:
		return Manifest{}, fmt.Errorf("%d sections %s, want one", n, abi.ManifestSection)
	}
	m, err := parseManifest(data)
	if err != nil {
		return Manifest{}, fmt.Errorf("section %s: %w", abi.ManifestSection, err)
	}
	return m, nil
}

func parseManifest(data []byte) (Manifest, error) {
	if len(data) > maxManifest {
		return Manifest{}, fmt.Errorf("%d bytes, at most %d", len(data), maxManifest)
	}
	var raw struct {
		Name        string         `json:"name"`
		Version     string         `json:"version"`
		Description string         `json:"description"`
		Options     map[string]any `json:"options"`
		Reasons     []string       `json:"reasons"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&raw); err != nil {
		return Manifest{}, fmt.Errorf("read the JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, errors.New("there is more than one JSON object")
	}
	m := Manifest{Name: raw.Name, Version: raw.Version, Description: raw.Description, Reasons: raw.Reasons}
	if m.Name != "" && !nameSyntax.MatchString(m.Name) {
		return Manifest{}, fmt.Errorf("name %.80q: want letters, digits, '.', '_' and '-', 64 at most", m.Name)
	}
	if len(m.Version) > maxVersion {
		return Manifest{}, fmt.Errorf("version of %d bytes, at most %d", len(m.Version), maxVersion)
	}
	if len(m.Reasons) > maxReasons {
		return Manifest{}, fmt.Errorf("%d reasons, at most %d", len(m.Reasons), maxReasons)
	}
	for i, r := range m.Reasons {
		if r == "" || len(r) > policy.MaxReason || !utf8.ValidString(r) {
			return Manifest{}, fmt.Errorf("reasons[%d]: want 1 to %d bytes of text", i, policy.MaxReason)
		}
	}
	var err error
	if m.Options, err = policy.ParseOptions(raw.Options); err != nil {
		return Manifest{}, err
	}
	if m.Options.Routes != nil {
		return Manifest{}, errors.New("options.routes: only standard policies bring routes; use --route NAME=URL")
	}
	return m, nil
}
