package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/host/control"
	"github.com/spf13/cobra"
)

func newPolicy(e env) *cobra.Command {
	return group("policy", "make, check and look at policies",
		newPolicyList(e), newPolicyShow(e), newPolicyNew(e), newPolicyBuild(e), newPolicyCheck(e), newPolicyTest(e), newPolicyBench(e), newPolicyCall(e), newPolicyReplay(e), newPolicyInspect(e), newPolicyKeygen(e), newPolicySign(e), newPolicyVerify(e), newPolicyPush(e), newPolicyPull(e), newPolicyLock(e), newPolicyRollback(e))
}

func newPolicyList(e env) *cobra.Command {
	var d daemon
	var o output
	var std bool
	cmd := &cobra.Command{
		Use: "list", Short: "the policies in force, or with --std those that come along", Args: exactly(0),
		Long: "List the policies in force in a running gaia.\n\n  gaia policy list\n  gaia policy list --std",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if std {
				return listStd(e, o.format)
			}
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				if o.format == "json" {
					return writeJSON(e.out, st.Policies)
				}
				printPolicies(e.out, st.Policies)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&std, "std", false, "list the standard policies instead")
	d.add(cmd, e)
	o.add(cmd, "table", "json")
	return cmd
}

func listStd(e env, format string) error {
	if format == "json" {
		return writeJSON(e.out, bundle.Std())
	}
	for _, name := range bundle.Std() {
		code, err := bundle.StdSource(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%-20s %s\n", name, headline(string(code)))
	}
	return nil
}

// headline is the first comment line of a standard policy without its name.
func headline(code string) string {
	line, _, _ := strings.Cut(code, "\n")
	_, text, _ := strings.Cut(strings.TrimPrefix(line, "// "), ": ")
	return text
}

func newPolicyShow(e env) *cobra.Command {
	var d daemon
	cmd := &cobra.Command{
		Use: "show NAME", Short: "the source of std/NAME, or a policy in force", Args: exactly(1),
		Long: "Print a standard policy, or what a running gaia knows of a policy in force.\n\n  gaia policy show std/per-host\n  gaia policy show my-policy",
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.HasPrefix(args[0], bundle.StdPrefix) {
				code, err := bundle.StdSource(args[0])
				if err == nil {
					_, err = e.out.Write(code)
				}
				return err
			}
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				st, err := c.Status(ctx)
				if err != nil {
					return err
				}
				var names []string
				for _, p := range st.Policies {
					if p.Name == args[0] {
						return writeJSON(e.out, p)
					}
					names = append(names, p.Name)
				}
				return fmt.Errorf("no policy %q is in force (there are: %s)", args[0], strings.Join(names, ", "))
			})
		},
	}
	d.add(cmd, e)
	return cmd
}

func newPolicyCheck(e env) *cobra.Command {
	var o output
	var given []string
	cmd := &cobra.Command{
		Use: "check FILE...", Short: "compile and load policies, run nothing", Args: usageArgs(cobra.MinimumNArgs(1)),
		Long: `Compile policies, run their module scope and say everything that is wrong. The exit
code of a bad file is 3. Parameters are held to the schema of the manifest, and the
policies are loaded with them.

  gaia policy check policy.js
  gaia policy check quota.wasm --param rpm=600`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			params, err := readParams(given)
			if err != nil {
				return err
			}
			off, err := newOffline(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			var errs []error
			for _, use := range args {
				p, err := off.open(cmd.Context(), wallClock(), use, bundle.Settings{Params: params})
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if o.format == "text" {
					fmt.Fprintf(e.out, "ok  %s  %s@%s (%s: %s)\n", use, p.Name(), short(p.Digest), p.Engine, strings.Join(p.Hooks().Names(), ", "))
				}
				errs = append(errs, p.Close())
			}
			if err := errors.Join(append(errs, off.close())...); err != nil {
				return report(e.out, o.format, err)
			}
			if o.format == "json" {
				return writeJSON(e.out, verdict{Schema: schemaCheck, OK: true, Errors: []fault{}})
			}
			return nil
		},
	}
	addParams(cmd, &given)
	o.add(cmd, "text", "json")
	return cmd
}

func newPolicyRollback(e env) *cobra.Command {
	var d daemon
	cmd := &cobra.Command{
		Use: "rollback", Short: "put the earlier generation in force again", Args: exactly(0),
		Long: "Put the generation before the one in force back, under a new number. The files on\ndisk stay as they are: saving one again acts on it.\n\n  gaia policy rollback",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.ask(cmd, e, func(ctx context.Context, c *control.Client) error {
				ch, err := c.Rollback(ctx)
				return printChanged(e.out, ch, err)
			})
		},
	}
	d.add(cmd, e)
	return cmd
}
