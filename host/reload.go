package host

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/generation"
)

// ReloadEvent says how a change of policies or configuration ended.
type ReloadEvent struct {
	Files       []string // that changed; nil: asked for by a command
	Err         error    // nil: done
	Rollback    bool
	Outcome     generation.Outcome
	NeedRestart []string // keys that changed and take effect only at the next start
}

type reloadCounts struct{ ok, refused atomic.Uint64 }

// Reload reads configuration and policies again and puts them in force together,
// or changes nothing. force swaps even policies that did not change.
func (h *Host) Reload(ctx context.Context, force bool) (control.Changed, error) {
	return h.reload(ctx, nil, force)
}

func (h *Host) reload(ctx context.Context, files []string, force bool) (control.Changed, error) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	old := h.cfg.Load()
	out, changes, err := h.apply(ctx, old, force)
	ev := ReloadEvent{Files: files, Err: err, Outcome: out, NeedRestart: changes.Restart}
	return h.announce(ev)
}

// apply checks everything that could fail before it changes anything.
func (h *Host) apply(ctx context.Context, old *config.Config, force bool) (generation.Outcome, config.Changes, error) {
	cfg, err := h.readConfig(old)
	if err != nil {
		h.policies.Refused(err)
		return generation.Outcome{}, config.Changes{}, &ConfigError{err}
	}
	changes := config.Diff(old, cfg)
	specs, err := h.specs(ctx, cfg)
	if err == nil {
		err = h.checkParts(cfg)
	}
	if err == nil {
		_, err = h.routes.build(cfg, nil)
	}
	if err != nil {
		h.policies.Refused(err)
		return generation.Outcome{}, changes, &ConfigError{err}
	}
	standIn, err := h.openShadow(ctx, specs.shadow)
	if err != nil {
		h.policies.Refused(err)
		return generation.Outcome{}, changes, &ConfigError{err}
	}
	out, err := h.policies.Load(ctx, specs.chain, force)
	if err != nil {
		return out, changes, &ConfigError{errors.Join(err, h.dropShadow(standIn))}
	}
	if err := errors.Join(h.putShadow(standIn), h.applyConfig(cfg)); err != nil {
		return out, changes, err
	}
	return out, changes, nil
}

// applyConfig puts in force what of the configuration can change live.
func (h *Host) applyConfig(cfg *config.Config) error {
	if err := h.applyParts(cfg); err != nil {
		return err
	}
	routes, err := h.routes.build(cfg, h.standardRoutes())
	if err != nil {
		return err
	}
	h.gateway.SetConfig(gatewayConfig(cfg, routes, h.api, h.clock, h.log))
	h.routes.keep(routes)
	h.cfg.Store(cfg)
	h.probes.set(routes, healthOf(cfg))
	if h.watcher != nil {
		h.watcher.SetPaths(h.watched())
	}
	return nil
}

func (h *Host) readConfig(old *config.Config) (*config.Config, error) {
	if h.o.ReadConfig == nil {
		return old, nil
	}
	return h.o.ReadConfig()
}

// Rollback puts the earlier generation of policies in force again. The files on
// disk are not touched: the next change of them is acted on.
func (h *Host) Rollback(context.Context) (control.Changed, error) {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	out, err := h.policies.Rollback()
	return h.announce(ReloadEvent{Err: err, Outcome: out, Rollback: true})
}

func (h *Host) announce(ev ReloadEvent) (control.Changed, error) {
	if ev.Err != nil {
		h.counts.refused.Add(1)
	} else {
		h.counts.ok.Add(1)
	}
	if h.o.OnReload != nil {
		h.o.OnReload(ev)
	}
	if ev.Err != nil {
		return control.Changed{}, ev.Err
	}
	return control.Changed{From: ev.Outcome.From, To: ev.Outcome.To, Unchanged: ev.Outcome.Unchanged, Policies: ev.Outcome.Names,
		TookMS: float64(ev.Outcome.Took) / float64(time.Millisecond), NeedRestart: ev.NeedRestart}, nil
}

// watched lists the files whose change reloads.
func (h *Host) watched() []string {
	files := h.policies.Files()
	if s := h.witness.shadow.Load(); s != nil {
		files = append(files, s.policy.Files...)
	}
	for _, file := range []string{h.o.ConfigFile, h.o.LockFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// reloadTimeout bounds a reload that a changed file started.
const reloadTimeout = time.Minute

func (h *Host) onChange(changed []string) {
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	if _, err := h.reload(ctx, changed, false); err != nil {
		h.log.Debug("a changed file was refused", "error", err)
	}
}

// faultLog logs at most a line a second for each policy and kind of fault.
type faultLog struct {
	last [16]atomic.Int64
	kept atomic.Uint64
}

func (h *Host) onFault(f *policy.Fault) {
	last := &h.faults.last[int(f.Kind)%len(h.faults.last)]
	now, before := h.clock(), last.Load()
	if now-before < int64(time.Second) || !last.CompareAndSwap(before, now) {
		h.faults.kept.Add(1)
		return
	}
	attrs := []any{"policy", f.Policy, "hook", f.Hook.String(), "kind", f.Kind.String(), "error", f.Err}
	if f.Where != "" {
		attrs = append(attrs, "at", f.Where)
	}
	if n := h.faults.kept.Swap(0); n > 0 {
		attrs = append(attrs, "more", n)
	}
	h.log.Log(context.Background(), slog.LevelWarn, "a policy failed; on_failure answers for it", attrs...)
}
