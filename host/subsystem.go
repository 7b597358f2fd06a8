package host

import (
	"context"
	"errors"
	"slices"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// subsystem is what all of the five have in common.
type subsystem interface {
	metrics.Source // its numbers, by name
	Core() *admission.Core
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// part is one subsystem as the host drives it. Each has a file of its own,
// subsystem_NAME.go, with a function that makes its part; parts lists them.
type part struct {
	subsystem
	// check finds what is wrong with a configuration and changes nothing.
	check func(cfg *config.Config) error
	// apply puts in force what of a configuration can change live.
	apply func(cfg *config.Config) error
	// health says what is wrong with the subsystem's own loops; nil: it has none.
	health func() (failing, degraded []string)
	// notes say what the machine lacks and what is done instead, which is no fault;
	// nil: nothing.
	notes func() []string
	// actions are what can be asked of it.
	actions work.Subsystem
	// recent is what /health judges it by besides: attempts that failed are those
	// that the subsystem settled with an error or a status of 5xx. What a caller did
	// wrong (a name that does not exist) is no failure of the subsystem.
	recent *recent
}

// name is the subsystem's, one of policy.Subsystems.
func (p *part) name() string { return p.Schema().Subsystem() }

// makers are the functions that make the parts, in the order in which they need
// each other: they start so and stop in reverse.
func (h *Host) makers() []func(*config.Config) (part, error) {
	return []func(*config.Config) (part, error){
		h.newNetwork, // the pool dials with it
		h.newProcess,
		h.newAPI,
		h.newFiles,
		h.newBrowser, // launched by the process manager, and its pages go through the network
	}
}

// makeParts makes the subsystems. They open nothing yet.
func (h *Host) makeParts(cfg *config.Config) error {
	for _, make := range h.makers() {
		p, err := make(cfg)
		if err != nil {
			return err
		}
		p.recent = &recent{}
		h.parts = append(h.parts, p)
	}
	for _, name := range policy.Subsystems() { // the order that blocks of numbers have
		if p := h.part(name); p != nil {
			h.sources = append(h.sources, p)
		}
	}
	return nil
}

// part finds a subsystem by its name; nil: there is none.
func (h *Host) part(name string) *part {
	for i := range h.parts {
		if h.parts[i].name() == name {
			return &h.parts[i]
		}
	}
	return nil
}

// startParts starts them in order. What was started is stopped by Stop.
func (h *Host) startParts(ctx context.Context) error {
	for i := range h.parts {
		if err := h.parts[i].Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stopParts stops them in reverse, each with what is left of the time.
func (h *Host) stopParts(ctx context.Context) error {
	var errs []error
	for _, p := range slices.Backward(h.parts) {
		errs = append(errs, p.Stop(ctx))
	}
	return errors.Join(errs...)
}

// checkParts finds what is wrong with a configuration for any of them.
func (h *Host) checkParts(cfg *config.Config) error {
	var errs []error
	for i := range h.parts {
		errs = append(errs, h.parts[i].check(cfg))
	}
	return errors.Join(errs...)
}

// applyParts puts a configuration in force that checkParts found good.
func (h *Host) applyParts(cfg *config.Config) error {
	var errs []error
	for i := range h.parts {
		errs = append(errs, h.parts[i].apply(cfg))
	}
	return errors.Join(errs...)
}

// newWork makes the work API of all of them.
func (h *Host) newWork() *work.Server {
	c := work.Config{Ready: h.Ready, Clock: h.clock, Log: h.log.With("part", "work")}
	for _, name := range policy.Subsystems() {
		if p := h.part(name); p != nil {
			c.Subsystems = append(c.Subsystems, p.actions)
		}
	}
	return work.New(c)
}
