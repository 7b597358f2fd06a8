package main

import (
	"context"
	"log/slog"
	"net/url"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/spf13/cobra"
)

func newPolicyInspect(e env) *cobra.Command {
	var o output
	var f fetching
	cmd := &cobra.Command{
		Use: "inspect FILE", Short: "what a policy is: engine, hooks, options, imports, digest, signature", Args: exactly(1),
		Long: `Say what a policy is made of. FILE may be an address: it need be neither pinned nor
signed, and its digest and who signed it are shown. A Wasm module's imports, exports and
manifest are read without running it.

  gaia policy inspect quota.wasm
  gaia policy inspect oci://registry.example.com/team/quota:1.2 --key team.key.pub`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			off, err := newOffline(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer func() { _ = off.close() }()
			info, p, err := f.inspect(cmd.Context(), off, args[0])
			if err != nil {
				return err
			}
			defer func() { _ = p.Close() }()
			if info.Asks = p.Asked.Names(); len(info.Asks) > 0 {
				info.Grant = p.Asked.YAML(p.Name())
			}
			info.Name, info.Digest, info.Hooks = p.Name(), p.Digest, p.Hooks().Names()
			info.Options = optionsOf(p.Options)
			if o.format == "json" {
				return writeJSON(e.out, info)
			}
			printInfo(e.out, info)
			return nil
		},
	}
	f.add(cmd)
	o.add(cmd, "text", "json")
	return cmd
}

// inspect reads and opens a policy, of a file or of an address, that is not run here.
func (f *fetching) inspect(ctx context.Context, off *offline, use string) (*bundle.Info, *bundle.Policy, error) {
	s := bundle.Settings{Probe: true, Survey: true}
	if !remote.IsRef(use) {
		info, err := bundle.Inspect(use)
		if err != nil {
			return nil, nil, err
		}
		p, err := off.open(ctx, wallClock(), use, s)
		return info, p, err
	}
	m, err := f.look(ctx, off, use)
	if err != nil {
		return nil, nil, err
	}
	info, err := bundle.InspectModule(use, m)
	if err != nil {
		return nil, nil, err
	}
	p, err := off.openModule(ctx, use, m, s)
	return info, p, err
}

func optionsOf(o policy.Options) bundle.InfoOptions {
	return bundle.InfoOptions{Match: o.Match, Isolation: string(o.Isolation), Budget: o.Budget.String(), OnFailure: string(o.OnFailure), Body: o.Body}
}

// fetching are the flags of commands that ask for an address themselves.
type fetching struct {
	keys  []string
	plain bool
}

func (f *fetching) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "public key that must have signed it, or its file (may be repeated)")
	addPlain(cmd, &f.plain)
}

func addPlain(cmd *cobra.Command, plain *bool) {
	cmd.Flags().BoolVar(plain, "plain-http", false, "ask the registry without TLS; one on the loopback always is")
}

// look gets what is at an address now, whether it is pinned or not.
func (f *fetching) look(ctx context.Context, off *offline, use string) (*remote.Module, error) {
	return off.store().Fetch(ctx, use, remote.Want{Keys: keyTexts(f.keys), PlainHTTP: plainHosts(use, f.plain), Look: true})
}

// plainHosts is the registry of an address where it may be asked without TLS.
func plainHosts(use string, plain bool) []string {
	u, err := url.Parse(strings.SplitN(use, "@", 2)[0])
	if !plain || err != nil {
		return nil
	}
	return []string{u.Host}
}
