package host

import (
	"context"
	"fmt"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/files"
)

// filesPart is a files.Manager as a subsystem, whose Read is that of its numbers.
type filesPart struct {
	metrics.Source
	m *files.Manager
}

func (p filesPart) Core() *admission.Core           { return p.m.Core() }
func (p filesPart) Start(ctx context.Context) error { return p.m.Start(ctx) }
func (p filesPart) Stop(ctx context.Context) error  { return p.m.Stop(ctx) }

// newFiles makes the file manager.
func (h *Host) newFiles(cfg *config.Config) (part, error) {
	var err error
	if h.files, err = files.New(h.filesConfig(cfg)); err != nil {
		return part{}, err
	}
	return part{
		subsystem: filesPart{h.files.Source(), h.files},
		check:     func(cfg *config.Config) error { c := h.filesConfig(cfg); return c.Check() },
		apply:     func(cfg *config.Config) error { return h.files.SetConfig(h.filesConfig(cfg)) },
		health:    h.filesHealth,
		actions:   work.Files(h.files),
	}, nil
}

// filesConfig maps the configuration to the manager's.
func (h *Host) filesConfig(cfg *config.Config) files.Config {
	f := cfg.Files
	c := files.Config{
		Admission: h.admissionConfig(cfg, policy.SubsystemFiles), Slot: &h.slot, Clock: h.clock, Log: h.log.With("subsystem", policy.SubsystemFiles),
		Roots: map[string]files.Root{}, MaxConcurrent: f.MaxConcurrent, MaxRead: int64(f.MaxRead), MaxFile: int64(f.MaxFile),
		MaxEntries: f.MaxEntries, MaxDepth: f.MaxDepth, MaxWatches: f.MaxWatches, Rescan: f.Rescan.Std(),
	}
	for name, r := range f.Roots {
		level, err := files.ParseDurability(r.Durability)
		if err != nil {
			level = files.DurabilityDefault // the configuration was checked
		}
		c.Roots[name] = files.Root{Path: r.Path, Quota: int64(r.Quota), QuotaFiles: r.QuotaFiles, ReadOnly: r.ReadOnly, Durability: level}
	}
	return c
}

// lowSpace is the free room below which a root is said to be nearly full.
const lowSpace = 64 << 20

// filesHealth says which roots cannot be looked at, and which are full or nearly so.
func (h *Host) filesHealth() (failing, degraded []string) {
	for _, u := range h.files.Usage() {
		switch {
		case u.Trouble != "":
			failing = append(failing, fmt.Sprintf("root %s: %s", u.Root, u.Trouble))
		case u.ReadOnly:
		case u.Quota > 0 && u.Counted && u.Bytes >= u.Quota:
			degraded = append(degraded, fmt.Sprintf("root %s: its quota of %d bytes is full", u.Root, u.Quota))
		case u.Free >= 0 && u.Free < lowSpace:
			degraded = append(degraded, fmt.Sprintf("root %s: its file system has %d bytes left", u.Root, u.Free))
		}
	}
	return failing, degraded
}
