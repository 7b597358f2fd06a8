package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"

	"github.com/gaia-host/gaia/extensions/natives"
)

const schemaCallState = "gaia.callstate/v1"

// callState is the file of `policy call --state`.
type callState struct {
	Schema string `json:"schema"`
	natives.Snapshot
}

// maxCallState bounds the file that is read back.
const maxCallState = 256 << 20

// loadState brings back what an earlier call kept; a missing file is an empty one.
func loadState(h *natives.Host, now int64, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	defer f.Close()
	var s callState
	if err := json.NewDecoder(io.LimitReader(f, maxCallState)).Decode(&s); err != nil {
		return fmt.Errorf("--state: %s cannot be read: %w", path, err)
	}
	if s.Schema != schemaCallState {
		return fmt.Errorf("--state: %s is no file of an earlier call: its schema is %q, want %q", path, s.Schema, schemaCallState)
	}
	if refused := h.Import(now, s.Snapshot); refused > 0 {
		return fmt.Errorf("--state: %s: %d entries do not fit", path, refused)
	}
	return nil
}

// saveState keeps state and the levels of all limiters, in one step: the file is the old or the new one.
func saveState(h *natives.Host, now int64, path string) error {
	s := callState{schemaCallState, h.Export(now)}
	for _, l := range h.Limiters() {
		s.Limiters[l.Name()] = natives.Records(now, l.Limit())
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = renameio.WriteFile(path, data, 0o600, renameio.IgnoreUmask())
	}
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	return nil
}
