package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/generation"
	"github.com/google/renameio/v2"
)

// specs are all policies that a configuration names.
type specs struct {
	chain  []generation.Spec
	shadow *generation.Spec // nil: none
}

// specs returns the policies to load, held to the lock file where there is one.
func (h *Host) specs(ctx context.Context, cfg *config.Config) (specs, error) {
	s, err := allSpecs(cfg, h.o.Policies)
	if h.o.rehearse != nil {
		s.rehearse(h.o.rehearse)
	}
	if err != nil || h.o.LockFile == "" {
		return s, err
	}
	return s, s.hold(ctx, h.o.LockFile, h.fetch)
}

func allSpecs(cfg *config.Config, commandLine []string) (specs, error) {
	chain, err := Specs(cfg, commandLine)
	s := specs{chain: chain}
	if cfg.Shadow != "" {
		name := policyName(cfg.Shadow)
		s.shadow = &generation.Spec{Name: name, Use: cfg.Shadow, Settings: settings(cfg, cfg.Policies[name])}
	}
	return s, err
}

func (s *specs) each(do func(*generation.Spec)) {
	for i := range s.chain {
		do(&s.chain[i])
	}
	if s.shadow != nil {
		do(s.shadow)
	}
}

// hold compares the policies with a lock file, and settles which bytes may be opened: a file
// that changes after the comparison is refused too. What is not locked is not even fetched.
func (s *specs) hold(ctx context.Context, file string, fetch *remote.Store) error {
	lock, err := config.ReadLock(file, nil)
	if err != nil {
		return err
	}
	now := config.NewLock()
	var errs []error
	s.each(func(spec *generation.Spec) {
		address := config.LockAddress(file, spec.Use)
		locked, ok := lock.Policies[address]
		spec.Settings.Digest = locked.Digest
		if _, known := now.Policies[address]; known {
			return
		}
		now.Policies[address] = locked
		if ok {
			errs = append(errs, identify(ctx, now, address, spec, bundle.Config{Remote: fetch}))
		}
	})
	if lines := lock.Differences(now); len(lines) > 0 {
		errs = append(errs, &LockError{File: file, Lines: lines})
	}
	return errors.Join(errs...)
}

// identify puts into a lock what the policy at an address is now. It runs nothing of it.
func identify(ctx context.Context, lock *config.Lock, address string, spec *generation.Spec, c bundle.Config) error {
	id, err := bundle.Identify(ctx, spec.Use, spec.Settings, c)
	if err == nil {
		lock.Policies[address] = config.Locked{Digest: id.Digest, Engine: id.Engine, Name: id.Name, Version: id.Version, Signer: id.Signer}
	}
	return err
}

// Lock says what the policies of a configuration and a command line are now, for a lock file at
// a path. It runs nothing of them. An address that is neither pinned nor signed is taken as it
// stands there now.
func Lock(ctx context.Context, cfg *config.Config, file string, o Options) (*config.Lock, error) {
	s, err := allSpecs(cfg, o.Policies)
	if err != nil {
		return nil, &ConfigError{err}
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	lock, fetch := config.NewLock(), NewRemote(o.CacheDir, log)
	var errs []error
	s.each(func(spec *generation.Spec) {
		address := config.LockAddress(file, spec.Use)
		if _, known := lock.Policies[address]; !known {
			errs = append(errs, identify(ctx, lock, address, spec, bundle.Config{Remote: fetch, FirstUse: true}))
		}
	})
	return lock, errors.Join(errs...)
}

// WriteLock writes a lock file, or leaves the one that was there.
func WriteLock(file string, lock *config.Lock) error {
	if err := renameio.WriteFile(file, lock.Text(), 0o644); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

// CheckLock holds the policies of a configuration and a command line to a lock file and starts
// nothing: see Options.LockFile. The error is that of a start.
func CheckLock(ctx context.Context, cfg *config.Config, file string, o Options) error {
	s, err := allSpecs(cfg, o.Policies)
	if err == nil {
		err = s.hold(ctx, file, NewRemote(o.CacheDir, slog.New(slog.DiscardHandler)))
	}
	if err != nil {
		return &ConfigError{err}
	}
	return nil
}

// LockError says that policies are not those of a lock file.
type LockError struct {
	File  string
	Lines []string // one for each difference
}

// Error is a line for each difference, after one that names the file.
func (e *LockError) Error() string {
	return "the policies are not those of " + e.File + "\n  " + strings.Join(e.Lines, "\n  ")
}

// Hint says how to mend it.
func (e *LockError) Hint() string {
	return "`gaia policy lock`, with the same configuration and policies, takes them as they are now"
}
