package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/google/renameio/v2"
)

const (
	// snapshotEvery is the most that a kill can lose.
	snapshotEvery  = 5 * time.Second
	snapshotSchema = "gaia.state/v1"
	maxSnapshot    = 1 << 30
)

// stateFile is what is written to state_file.
type stateFile struct {
	Schema string    `json:"schema"`
	At     time.Time `json:"at"`
	natives.Snapshot
}

// readState brings back what an earlier process left, before policies are loaded.
// A missing file is a first start; a file that cannot be understood is an error,
// because going on would overwrite it.
func (h *Host) readState(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read state_file: %w", err)
	}
	defer f.Close()
	var s stateFile
	if err := json.NewDecoder(io.LimitReader(f, maxSnapshot)).Decode(&s); err != nil {
		return fmt.Errorf("read state_file %s: %w (move the file away to start without it)", path, err)
	}
	if s.Schema != snapshotSchema {
		return fmt.Errorf("read state_file %s: schema %q, want %q (move the file away to start without it)", path, s.Schema, snapshotSchema)
	}
	for i := range h.parts {
		for name, l := range h.parts[i].Core().Rates() {
			for _, r := range s.Limiters[name] {
				l.Import(h.clock(), r)
			}
			delete(s.Limiters, name)
		}
	}
	if refused := h.natives.Import(h.clock(), s.Snapshot); refused > 0 {
		h.log.Warn("some state did not fit and was left out", "entries", refused, "file", path)
	}
	return nil
}

// writeState replaces the file atomically.
func (h *Host) writeState(path string) error {
	now := h.clock()
	s := h.natives.Export(now)
	for i := range h.parts {
		for name, l := range h.parts[i].Core().Rates() {
			if recs := natives.Records(now, l); len(recs) > 0 {
				s.Limiters[name] = recs
			}
		}
	}
	data, err := json.Marshal(stateFile{Schema: snapshotSchema, At: time.Unix(0, now).UTC(), Snapshot: s})
	if err != nil {
		return fmt.Errorf("write state_file: %w", err)
	}
	if err := renameio.WriteFile(path, data, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write state_file: %w", err)
	}
	return nil
}

// keepState writes the file every few seconds until ctx ends.
func (h *Host) keepState(ctx context.Context, path string) {
	t := time.NewTicker(snapshotEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := h.writeState(path); err != nil {
				h.log.Error("state was not kept", "error", err)
			}
		}
	}
}
