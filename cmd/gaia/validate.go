package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/wasm"
	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/spf13/cobra"
)

func newValidate(e env) *cobra.Command {
	var s settings
	var o output
	cmd := &cobra.Command{
		Use: "validate [POLICY...]", Short: "check configuration and policies, start nothing",
		Long: "Read the configuration, compile and load the policies, and say everything that is\nwrong with them. Takes the flags of run. The exit code of a bad file is 3.\n\n  gaia validate -c gaia.yaml\n  gaia validate policy.js\n  gaia validate -c gaia.yaml --locked",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if err := s.choose(args); err != nil {
				return err
			}
			cfg, err := s.read(cmd, e)
			if err == nil {
				err = checkHost(cfg, host.Options{Policies: args, CacheDir: cacheDir(), LockFile: s.lock()})
			}
			if err != nil {
				return report(e.out, o.format, err)
			}
			if o.format == "json" {
				return writeJSON(e.out, verdict{Schema: schemaCheck, OK: true, Errors: []fault{}})
			}
			fmt.Fprintf(e.out, "ok  %s, %s\n", count(len(args)+configured(cfg), "policy", "policies"), count(len(cfg.Routes), "route", "routes"))
			return nil
		},
	}
	s.add(cmd)
	s.addLocked(cmd)
	o.add(cmd, "text", "json")
	return cmd
}

// checkHost makes everything that a host is made of and opens nothing.
func checkHost(cfg *config.Config, o host.Options) error {
	h, err := host.New(cfg, o)
	if err != nil {
		return err
	}
	return h.Stop(context.Background())
}

func configured(cfg *config.Config) int {
	n := 0
	for _, p := range cfg.Policies {
		if p.IsEnabled() && p.Use != "" {
			n++
		}
	}
	return n
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

const schemaCheck = "gaia.check/v1"

// verdict is the JSON form of a check.
type verdict struct {
	Schema string  `json:"schema"`
	OK     bool    `json:"ok"`
	Errors []fault `json:"errors"`
}

type fault struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Col     int    `json:"col,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// report gives what is wrong as JSON, or leaves it to be printed as text.
func report(w io.Writer, format string, err error) error {
	if format != "json" {
		return err
	}
	v := verdict{Schema: schemaCheck, Errors: faultsOf(err)}
	if werr := writeJSON(w, v); werr != nil {
		return werr
	}
	return silent(exitCode(err))
}

// offline opens policies without a running gaia.
type offline struct {
	engine *wasm.Engine
	host   *natives.Host
	log    *slog.Logger
}

func newOffline(log *slog.Logger) (*offline, error) {
	engine, err := wasm.NewEngine(wasm.EngineConfig{CacheDir: cacheDir(), Log: log})
	if err != nil {
		return nil, fmt.Errorf("start the Wasm engine: %w", err)
	}
	return &offline{engine: engine, host: natives.NewHost(natives.HostConfig{Log: log}), log: log}, nil
}

// open opens one policy at now with settings of the command line. The caller closes
// the policy.
func (o *offline) open(ctx context.Context, now int64, use string, s bundle.Settings) (*bundle.Policy, error) {
	tx := o.host.Begin(now)
	p, err := bundle.Open(ctx, "", use, s, bundle.Config{Wasm: o.engine, Remote: o.store(), Tx: tx, Log: o.log})
	if err != nil {
		return nil, err
	}
	tx.Commit()
	return p, tx.Apply()
}

// store fetches and pushes policies.
func (o *offline) store() *remote.Store { return host.NewRemote(cacheDir(), o.log) }

// openModule opens what was fetched from use, to look at it: nothing that it uses needs
// a grant. The caller closes the policy.
func (o *offline) openModule(ctx context.Context, use string, m *remote.Module, s bundle.Settings) (*bundle.Policy, error) {
	return bundle.OpenModule(ctx, "", use, m, s, bundle.Config{Wasm: o.engine, Tx: o.host.Begin(wallClock()), Log: o.log})
}

func (o *offline) close() error { return o.engine.Close() }
