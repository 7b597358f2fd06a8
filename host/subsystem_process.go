package host

import (
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/process"
)

// newProcess makes the process manager.
func (h *Host) newProcess(cfg *config.Config) (part, error) {
	var err error
	if h.process, err = process.New(h.processConfig(cfg)); err != nil {
		return part{}, err
	}
	return part{
		subsystem: h.process,
		check:     func(cfg *config.Config) error { c := h.processConfig(cfg); return c.Check() },
		apply:     func(cfg *config.Config) error { return h.process.SetConfig(h.processConfig(cfg)) },
		notes:     h.process.Notes,
		actions:   work.Process(work.ProcessConfig{Manager: h.process}),
	}, nil
}

// processConfig maps the configuration to the manager's.
func (h *Host) processConfig(cfg *config.Config) process.Config {
	p := cfg.Process
	c := process.DefaultConfig()
	c.Admission, c.Slot, c.Clock = h.admissionConfig(cfg, policy.SubsystemProcess), &h.slot, h.clock
	c.Log = h.log.With("subsystem", policy.SubsystemProcess)
	c.Shim, c.Cgroup, c.LogDir = h.o.Shim, p.Cgroup, p.LogDir
	c.Grace, c.Timeout, c.WaitDelay = p.Grace.Std(), p.Timeout.Std(), p.WaitDelay.Std()
	c.Ring, c.LogBytes, c.LogKeep = int(p.OutputRing), int64(p.LogMax), p.LogKeep
	c.History, c.Tick = p.History, p.WatchInterval.Std()
	return c
}

// Processes returns the process manager, for programs that embed gaia.
func (h *Host) Processes() *process.Manager { return h.process }
