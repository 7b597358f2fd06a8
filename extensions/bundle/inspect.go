package bundle

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm"
)

// SchemaInfo names the JSON form of Info.
const SchemaInfo = "gaia.inspect/v1"

// Info is what a policy file is made of.
type Info struct {
	Schema  string      `json:"schema"`
	File    string      `json:"file"`
	Name    string      `json:"name"`
	Engine  string      `json:"engine"`
	Digest  string      `json:"digest"`
	Size    int         `json:"size"` // bytes of the file
	Hooks   []string    `json:"hooks"`
	Options InfoOptions `json:"options"`
	// Manifest is what the author says of it; nil where there is none.
	Manifest *InfoManifest `json:"manifest,omitempty"`
	// Asks lists what the policy declares and was seen to use, which a module that is no
	// local file must be granted; Grant is the YAML that grants it, "" for nothing.
	Asks  []string   `json:"asks"`
	Grant string     `json:"grant,omitempty"`
	Wasm  *wasm.Info `json:"wasm,omitempty"`
	// Resolved is the address that means these bytes for ever, of what was fetched.
	Resolved string `json:"resolved,omitempty"`
	// SignedBy is the key that the signature says it is of; Signer the one of those given
	// that it was verified with. Both are "" where there is none.
	SignedBy string `json:"signed_by,omitempty"`
	Signer   string `json:"signer,omitempty"`
}

// InfoManifest are the facts of a manifest that are shown as they are.
type InfoManifest struct {
	Name         string            `json:"name,omitempty"`
	Version      string            `json:"version,omitempty"`
	Description  string            `json:"description,omitempty"`
	Language     string            `json:"language,omitempty"`
	ABI          string            `json:"abi,omitempty"`
	Hooks        []string          `json:"hooks,omitempty"`
	Params       json.RawMessage   `json:"params,omitempty"` // a JSON schema
	Capabilities wasm.Capabilities `json:"capabilities,omitzero"`
	Licence      string            `json:"licence,omitempty"`
	Source       string            `json:"source,omitempty"`
}

func infoManifest(m *wasm.Manifest) *InfoManifest {
	return &InfoManifest{Name: m.Name, Version: m.Version, Description: m.Description, Language: m.Language, ABI: m.ABI, Hooks: m.Hooks,
		Params: m.Params, Capabilities: m.Capabilities, Licence: m.Licence, Source: m.Source}
}

func scriptManifest(code []byte) *InfoManifest {
	m := builtManifest(code)
	if m == nil {
		return nil
	}
	return infoManifest(m)
}

// builtManifest reads the first line of a built JavaScript policy. What is none is no manifest: it is a comment of somebody.
func builtManifest(code []byte) *wasm.Manifest {
	line, _, _ := bytes.Cut(code, []byte("\n"))
	text, ok := bytes.CutPrefix(line, []byte(jsManifest))
	if !ok {
		return nil
	}
	m, err := wasm.ParseManifest(text)
	if err != nil {
		return nil
	}
	return &m
}

// InfoOptions are the options in force, defaults filled in.
type InfoOptions struct {
	Match     any      `json:"match,omitempty"`
	Isolation string   `json:"isolation"`
	Budget    string   `json:"budget"`
	OnFailure string   `json:"on_failure"`
	Body      []string `json:"body,omitempty"`
}

// Inspect reads what can be known of a policy file without running it: engine, size
// and, of a Wasm module, its imports, exports and manifest.
func Inspect(use string) (*Info, error) {
	info := &Info{Schema: SchemaInfo, File: use, Engine: EngineJS}
	if std, ok := strings.CutPrefix(use, StdPrefix); ok {
		code, err := StdSource(std)
		info.Size = len(code)
		return info, err
	}
	code, err := readFile(use)
	if err != nil {
		return nil, err
	}
	if err := info.read(code, strings.EqualFold(filepath.Ext(use), ".wasm")); err != nil {
		return nil, err
	}
	return info, nil
}

// InspectModule is Inspect of bytes that were fetched from use.
func InspectModule(use string, m *remote.Module) (*Info, error) {
	info := &Info{Schema: SchemaInfo, File: use, Engine: EngineJS, Resolved: m.Resolved, Signer: m.Signer}
	if len(m.Signature) > 0 {
		by, err := remote.SignerOf(m.Signature)
		if err != nil {
			return nil, refused("", use, err)
		}
		info.SignedBy = by
	}
	if err := info.read(m.Code, isModule(m.Code)); err != nil {
		return nil, err
	}
	return info, nil
}

func (info *Info) read(code []byte, isWasm bool) error {
	info.Size = len(code)
	if isWasm {
		info.Engine = EngineWasm
		w, err := wasm.Inspect(code)
		if err != nil {
			return &policy.LoadError{File: info.File, Message: err.Error(), Err: err}
		}
		info.Wasm = &w
		if w.ManifestText != nil {
			info.Manifest = infoManifest(&w.Manifest)
		}
		return nil
	}
	info.Manifest = scriptManifest(code)
	return nil
}
