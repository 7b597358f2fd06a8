package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policytest"
	"github.com/gaia-host/gaia/host/config"
	"github.com/spf13/cobra"
)

// wallClock is the time of a command that runs once.
func wallClock() int64 { return time.Now().UnixNano() }

// maxInput bounds what is read from a file or standard input.
const maxInput = 16 << 20

type callFlags struct {
	input   string
	explain bool
	repeat  int
	params  []string
	state   string
	output  output
}

func newPolicyCall(e env) *cobra.Command {
	var c callFlags
	cmd := &cobra.Command{
		Use: "call FILE HOOK", Short: "ask one hook of a policy and print its decision", Args: exactly(2),
		Long: `Ask one hook of a policy, outside of a running gaia, and print the decision as JSON.
Limiters and state start empty and are kept between repeats, and between calls with
--state. Times are milliseconds.

  gaia policy call policy.js onRequest --input '{"host":"api.example.com"}'
  gaia policy call policy.js onRequest --repeat 3 --explain
  gaia policy call policy.js onResponse --input '{"request":{"host":"a"},"response":{"status":429}}'
  gaia policy call policy.js onRequest --input @request.json
  gaia policy call policy.js onRequest --state quota.state`,
		RunE: func(cmd *cobra.Command, args []string) error { return call(cmd, e, &c, args[0], args[1]) },
	}
	f := cmd.Flags()
	f.StringVar(&c.input, "input", "{}", "the request as JSON, @FILE, or - for standard input")
	f.BoolVar(&c.explain, "explain", false, "add who decided at which line, what was taken from which limiter, and when it would pass")
	f.IntVar(&c.repeat, "repeat", 1, "ask so many times")
	f.StringVar(&c.state, "state", "", "keep limiters and state in this file between calls; it is made where it is missing")
	addParams(cmd, &c.params)
	c.output.add(cmd, "json", "table")
	return cmd
}

func call(cmd *cobra.Command, e env, c *callFlags, use, hookName string) error {
	hook, ok := policy.ParseHook(hookName)
	if !ok {
		return usageError{fmt.Errorf("%q is no hook: want onRequest, onRoute, onResponse, onDone or onTick", hookName)}
	}
	if err := c.output.check(); err != nil {
		return err
	}
	if c.repeat < 1 {
		return usageError{fmt.Errorf("--repeat %d: want 1 or more", c.repeat)}
	}
	data, err := readInput(e, c.input)
	if err != nil {
		return err
	}
	params, err := readParams(c.params)
	if err != nil {
		return err
	}
	log, _ := newLogger(e.err, config.Log{Level: "info", Format: "text"})
	off, err := newOffline(log)
	if err != nil {
		return err
	}
	defer func() { _ = off.close() }()
	now := wallClock()
	if c.state != "" {
		if err := loadState(off.host, now, c.state); err != nil {
			return err
		}
	}
	p, err := off.open(cmd.Context(), now, use, bundle.Settings{Params: params})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	overlay := natives.NewOverlay()
	for range c.repeat {
		in, err := policytest.ParseInput(data, now)
		if err != nil {
			return usageError{err}
		}
		var answer *policytest.Answer
		if c.state != "" {
			answer, err = policytest.Live(p, hook, in)
		} else {
			answer, err = policytest.Call(p, hook, in, overlay)
		}
		if err != nil {
			return err
		}
		if c.output.format == "table" {
			printExplanation(e.out, answer.Explain)
			continue
		}
		if !c.explain {
			answer.Explain = nil
		}
		if err := writeJSON(e.out, answer); err != nil {
			return err
		}
	}
	if c.state != "" {
		return saveState(off.host, now, c.state)
	}
	return nil
}

// addParams defines --param.
func addParams(cmd *cobra.Command, given *[]string) {
	cmd.Flags().StringArrayVar(given, "param", nil, "a parameter of the policy, NAME=VALUE (may be repeated)")
}

// readParams reads NAME=VALUE the way --set does.
func readParams(params []string) (map[string]any, error) {
	const entry = "policy"
	set := make([]string, 0, len(params))
	for _, p := range params {
		set = append(set, "policies."+entry+".params."+p)
	}
	cfg, err := config.Load(config.Options{Set: set})
	if err != nil {
		return nil, usageError{fmt.Errorf("--param: %w", err)}
	}
	return config.RevealParams(cfg.Policies[entry].Params), nil
}

func readInput(e env, text string) ([]byte, error) {
	path, isFile := strings.CutPrefix(text, "@")
	switch {
	case text == "-":
		return io.ReadAll(io.LimitReader(e.in, maxInput))
	case !isFile:
		return []byte(text), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--input: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxInput))
}
