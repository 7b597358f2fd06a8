package host

import (
	"path/filepath"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/work"
	"github.com/gaia-host/gaia/subsystems/browser"
)

// newBrowser makes the pool of browsers. It launches none.
func (h *Host) newBrowser(cfg *config.Config) (part, error) {
	c, err := h.browserConfig(cfg)
	if err != nil {
		return part{}, err
	}
	pool, err := browser.New(c)
	if err != nil {
		return part{}, err
	}
	return part{
		subsystem: pool,
		check: func(cfg *config.Config) error {
			c, err := h.browserConfig(cfg)
			if err != nil {
				return err
			}
			return c.Check()
		},
		apply: func(cfg *config.Config) error {
			c, err := h.browserConfig(cfg)
			if err != nil {
				return err
			}
			return pool.SetConfig(c)
		},
		health: func() (failing, degraded []string) {
			if err := pool.Health(); err != nil {
				degraded = append(degraded, err.Error())
			}
			return nil, degraded
		},
		actions: work.Browser(work.BrowserConfig{Pool: pool}),
	}, nil
}

// browserConfig maps the configuration to the pool's.
func (h *Host) browserConfig(cfg *config.Config) (browser.Config, error) {
	b := cfg.Browser
	c := browser.DefaultConfig()
	c.Admission = h.admissionConfig(cfg, policy.SubsystemBrowser)
	c.Slot, c.Clock, c.Log = &h.slot, h.clock, h.log.With("subsystem", policy.SubsystemBrowser)
	c.HeadlessShell, c.Chromium, c.Args, c.Proxy, c.NoSandbox = b.HeadlessShell, b.Chromium, b.Args, b.Proxy, b.NoSandbox
	c.MinBrowsers, c.MaxBrowsers, c.MaxTabs = b.MinBrowsers, b.MaxBrowsers, b.MaxTabs
	c.LaunchTimeout, c.JobTimeout, c.LeaseTimeout = b.LaunchTimeout.Std(), b.JobTimeout.Std(), b.LeaseTimeout.Std()
	c.MaxAge, c.MaxTasks, c.MaxMemory, c.IdleTimeout = b.MaxAge.Std(), b.MaxTasks, int64(b.MaxMemory), b.IdleTimeout.Std()
	c.MaxResult = int64(b.MaxResult)
	c.Launcher = launcher{h.process}
	c.ProxyAddr = h.network.GuardedProxy // who names a page does not choose private addresses
	c.Extensions = make(map[string]string, len(b.Extensions))
	for name, dir := range b.Extensions {
		path, err := filepath.Abs(dir)
		if err != nil {
			return c, err
		}
		c.Extensions[name] = path
	}
	if b.Dir != "" {
		path, err := filepath.Abs(b.Dir)
		if err != nil {
			return c, err
		}
		c.Dir = path
	}
	return c, nil
}
