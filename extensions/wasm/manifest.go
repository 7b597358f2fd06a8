package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
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
	maxFact     = 1024     // bytes of description, licence, source and language
	maxNamed    = 64       // names in a list of capabilities
)

var nameSyntax = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Manifest is what a module says about itself in the custom section gaia.manifest. The zero Manifest is that of a module without
// one: it is asked about everything.
type Manifest struct {
	Name        string
	Version     string
	Description string
	Language    string   // what it was written in
	ABI         string   // abi.Module; "" where nobody said
	Hooks       []string // as policy.Hooks names them; nil where nobody said
	Options     policy.Options
	// Reasons are the texts that the reason field of a packed decision points to, from 1.
	Reasons []string
	// Params is the JSON schema of the operator's parameters; nil takes any.
	Params       json.RawMessage
	Capabilities Capabilities
	Licence      string // as SPDX has it
	Source       string // where the source code is

	params *schema
}

// Capabilities are what a module asks of the operator beyond its own names: the same words as the grants of the configuration.
type Capabilities struct {
	SharedState    bool     `json:"shared_state,omitempty"`
	SharedLimiters bool     `json:"shared_limiters,omitempty"`
	Env            []string `json:"env,omitempty"`
}

// manifestJSON is a manifest as it is written.
type manifestJSON struct {
	Name         string          `json:"name,omitempty"`
	Version      string          `json:"version,omitempty"`
	Description  string          `json:"description,omitempty"`
	Language     string          `json:"language,omitempty"`
	ABI          string          `json:"abi,omitempty"`
	Hooks        []string        `json:"hooks,omitempty"`
	Options      map[string]any  `json:"options,omitempty"`
	Reasons      []string        `json:"reasons,omitempty"`
	Params       json.RawMessage `json:"params,omitempty"`
	Capabilities Capabilities    `json:"capabilities,omitzero"`
	Licence      string          `json:"licence,omitempty"`
	Source       string          `json:"source,omitempty"`
}

// readManifest finds and parses the manifest. Keys it does not know are ignored, except among the options: a later gaia may have
// written them.
func readManifest(info *meter.Info) (Manifest, error) {
	data, n := info.Custom(abi.ManifestSection)
	switch {
	case n == 0:
		return Manifest{}, nil
	case n > 1:
		return Manifest{}, fmt.Errorf("%d sections %s, want one", n, abi.ManifestSection)
	}
	m, err := parseManifest(data, false)
	if err != nil {
		return Manifest{}, fmt.Errorf("section %s: %w", abi.ManifestSection, err)
	}
	return m, nil
}

// ParseManifest reads a manifest that somebody wrote by hand: a key it does not know is an error.
func ParseManifest(data []byte) (Manifest, error) { return parseManifest(data, true) }

func parseManifest(data []byte, strict bool) (Manifest, error) {
	if len(data) > maxManifest {
		return Manifest{}, fmt.Errorf("%d bytes, at most %d", len(data), maxManifest)
	}
	var raw manifestJSON
	d := json.NewDecoder(bytes.NewReader(data))
	if strict {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(&raw); err != nil {
		return Manifest{}, manifestFault(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, errors.New("there is more than one JSON object")
	}
	m := Manifest{Name: raw.Name, Version: raw.Version, Description: raw.Description, Language: raw.Language, ABI: raw.ABI, Hooks: raw.Hooks,
		Reasons: raw.Reasons, Capabilities: raw.Capabilities, Licence: raw.Licence, Source: raw.Source}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	var err error
	if m.Options, err = policy.ParseOptions(raw.Options); err != nil {
		return Manifest{}, err
	}
	if m.Options.Routes != nil {
		return Manifest{}, errors.New("options.routes: only standard policies bring routes; use --route NAME=URL")
	}
	if raw.Params != nil && string(raw.Params) != "null" {
		if m.params, err = compileSchema(raw.Params); err != nil {
			return Manifest{}, fmt.Errorf("params: %w", err)
		}
		m.Params = raw.Params
	}
	return m, nil
}

// manifestFault puts an error of the decoder into the words of a manifest.
func manifestFault(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		want := map[string]string{"string": "a text", "bool": "true or false", "[]string": "a list of texts"}[wrong.Type.String()]
		if want == "" {
			want = "an object"
		}
		where := wrong.Field
		if where == "" {
			where = "the manifest"
		}
		return fmt.Errorf("%s: want %s, not %s", where, want, wrong.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("there is no key %s: want name, version, description, language, options, reasons, params, capabilities, licence, source", name)
	}
	return fmt.Errorf("read the JSON: %w", err)
}

// check bounds what is written as it is.
func (m *Manifest) check() error {
	if m.Name != "" && !nameSyntax.MatchString(m.Name) {
		return fmt.Errorf("name %.80q: want letters, digits, '.', '_' and '-', 64 at most", m.Name)
	}
	if len(m.Version) > maxVersion {
		return fmt.Errorf("version of %d bytes, at most %d", len(m.Version), maxVersion)
	}
	for name, text := range map[string]string{"description": m.Description, "language": m.Language, "licence": m.Licence, "source": m.Source} {
		if len(text) > maxFact || !utf8.ValidString(text) {
			return fmt.Errorf("%s: want at most %d bytes of text", name, maxFact)
		}
	}
	if m.ABI != "" && m.ABI != abi.Module {
		return fmt.Errorf("abi %.80q: this gaia speaks %s", m.ABI, abi.Module)
	}
	for _, h := range m.Hooks {
		if _, ok := policy.ParseHook(h); !ok {
			return fmt.Errorf("hooks: %.80q is no hook", h)
		}
	}
	if len(m.Capabilities.Env) > maxNamed {
		return fmt.Errorf("capabilities.env: %d names, at most %d", len(m.Capabilities.Env), maxNamed)
	}
	if len(m.Reasons) > maxReasons {
		return fmt.Errorf("%d reasons, at most %d", len(m.Reasons), maxReasons)
	}
	for i, r := range m.Reasons {
		if r == "" || len(r) > policy.MaxReason || !utf8.ValidString(r) {
			return fmt.Errorf("reasons[%d]: want 1 to %d bytes of text", i, policy.MaxReason)
		}
	}
	return nil
}

// WithManifest returns module with manifest, which ParseManifest takes, in place of the one it has. What gaia knows is filled in: the ABI,
// and the hooks.
func WithManifest(module, manifest []byte, hooks policy.Hooks) ([]byte, error) {
	if _, err := ParseManifest(manifest); err != nil {
		return nil, err
	}
	if _, err := meter.Inspect(module); err != nil {
		return nil, err
	}
	var facts manifestJSON
	if err := json.Unmarshal(manifest, &facts); err != nil {
		return nil, fmt.Errorf("read the JSON: %w", err)
	}
	facts.ABI, facts.Hooks = abi.Module, hooks.Names()
	data, err := json.Marshal(facts)
	if err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxManifest)
	}
	out := append(make([]byte, 0, len(module)+len(data)+64), module[:headerSize]...)
	for b := module[headerSize:]; len(b) > 0; {
		section, rest, ok := sized(b[1:])
		if !ok { // meter has read it: it cannot be
			return nil, errors.New("a malformed section")
		}
		if name, _, ok := sized(section); b[0] != 0 || !ok || string(name) != abi.ManifestSection {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return append(out, customSection(abi.ManifestSection, data)...), nil
}

func customSection(name string, data []byte) []byte {
	body := append(appendSized(nil, []byte(name)), data...)
	return appendSized([]byte{0}, body)
}
