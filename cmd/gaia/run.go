package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/spf13/cobra"
)

func newRun(e env) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "run [POLICY...]",
		Short: "start gaia with policies; it serves until it is stopped",
		Long: `Start gaia: a reverse proxy for the routes you name and a forward proxy, both
paced by the policies. POLICY is a .js, .ts or .wasm file or std/NAME.

  gaia run std/retry-after --route openai=https://api.openai.com
  gaia run policy.js --route api=https://api.example.com --listen 127.0.0.1:9000
  gaia run -c gaia.yaml
  gaia run old.js --shadow new.js --record traffic.jsonl
  gaia run -c gaia.yaml --locked

Saving a policy puts it in force without a restart. SIGHUP reloads, SIGTERM drains.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.choose(args); err != nil {
				return err
			}
			return runHost(cmd, e, &s, args)
		},
	}
	s.add(cmd)
	s.addLocked(cmd)
	cmd.Flags().String("record", "", "record attempts, decisions and outcomes in this file, JSON lines")
	cmd.Flags().String("shadow", "", "a policy that decides on live traffic too, and enforces nothing")
	return cmd
}

func runHost(cmd *cobra.Command, e env, s *settings, policies []string) error {
	began := time.Now()
	cfg, err := s.read(cmd, e)
	if err != nil {
		return err
	}
	if len(policies) == 0 && len(cfg.Policies) == 0 && len(cfg.Routes) == 0 && s.file == "" {
		return usageError{errors.New("nothing to run: name a policy, a --route or a configuration file (try `gaia run std/retry-after`)")}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	log, level := newLogger(e.err, cfg.Log)
	defer divertStandardLog(log)()
	h, err := host.New(cfg, host.Options{
		Policies: policies, ConfigFile: s.file, LockFile: s.lock(), CacheDir: cacheDir(), Version: version, Log: log, Shim: shimCommand(),
		ReadConfig: func() (*config.Config, error) {
			c, err := s.read(cmd, e)
			if err == nil {
				setLevel(level, c.Log)
			}
			return c, err
		},
		OnReload: func(ev host.ReloadEvent) { printReload(e.err, ev) },
	})
	if err != nil {
		return err
	}
	if err := h.Start(cmd.Context()); err != nil {
		return err
	}
	printBanner(e.out, h, s.file, s.lock(), time.Since(began))
	return wait(h, signals, log)
}

// wait serves until a signal or a command stops it. A second signal cuts what is
// still under way.
func wait(h *host.Host, signals <-chan os.Signal, log *slog.Logger) error {
	drain := h.Config().Gateway.DrainTimeout.Std()
	for stopping := false; !stopping; {
		select {
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				stopping = true
				break
			}
			if _, err := h.Reload(context.Background(), false); err != nil {
				log.Debug("the reload was refused", "error", err)
			}
		case d := <-h.Stopping():
			if d > 0 {
				drain = d
			}
			stopping = true
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := h.Stop(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stop: %w", err)
	}
	if ctx.Err() != nil {
		log.Warn("some requests were cut: they did not end in time", "drain", drain.String())
	}
	return nil
}

// cacheDir is where compiled Wasm is kept, "" where the user has no such place.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "gaia", "wasm")
}
