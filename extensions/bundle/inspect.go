package bundle

import (
	"path/filepath"
	"strings"

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
	Wasm    *wasm.Info  `json:"wasm,omitempty"`
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
	info.Size = len(code)
	if strings.EqualFold(filepath.Ext(use), ".wasm") {
		info.Engine = EngineWasm
		w, err := wasm.Inspect(code)
		if err != nil {
			return nil, &policy.LoadError{File: use, Message: err.Error(), Err: err}
		}
		info.Wasm = &w
	}
	return info, nil
}
