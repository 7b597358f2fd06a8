package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/spf13/cobra"
)

func newPolicyLock(e env) *cobra.Command {
	var s settings
	var o output
	var check bool
	cmd := &cobra.Command{
		Use: "lock [POLICY...]", Short: "write down which bytes the policies are, for run --locked",
		Long: `Write gaia.lock, beside the configuration or in the working folder: the digest, engine,
name, version and signer of every policy that run would start with these arguments. Nothing
of them is run. An address that is neither pinned nor signed is taken as it stands there now.

--check writes nothing, and ends with exit code 3 where gaia.lock says otherwise.

  gaia policy lock -c gaia.yaml
  gaia policy lock quota.js std/retry-after
  gaia policy lock -c gaia.yaml --check`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if err := s.choose(args); err != nil {
				return err
			}
			return lockPolicies(cmd, e, &s, args, check, o.format)
		},
	}
	s.add(cmd)
	cmd.Flags().String("shadow", "", "a policy that decides on live traffic too, and enforces nothing")
	cmd.Flags().BoolVar(&check, "check", false, "compare and write nothing")
	o.add(cmd, "text", "json")
	return cmd
}

func lockPolicies(cmd *cobra.Command, e env, s *settings, policies []string, check bool, format string) error {
	cfg, err := s.read(cmd, e)
	if err != nil {
		return report(e.out, format, err)
	}
	file, o := config.LockFile(s.file), host.Options{Policies: policies, CacheDir: cacheDir()}
	if check {
		err = host.CheckLock(cmd.Context(), cfg, file, o)
		if err == nil && format == "text" {
			fmt.Fprintf(e.out, "ok  %s\n", file)
		}
	} else {
		var lock *config.Lock
		if lock, err = host.Lock(cmd.Context(), cfg, file, o); err == nil {
			err = writeLock(e.out, file, lock, format)
		}
	}
	if err != nil {
		return report(e.out, format, err)
	}
	if format == "json" {
		return writeJSON(e.out, verdict{Schema: schemaCheck, OK: true, Errors: []fault{}})
	}
	return nil
}

// writeLock writes the lock and says how it differs from the one before it. One that cannot be
// read is replaced.
func writeLock(w io.Writer, file string, lock *config.Lock, format string) error {
	before, err := config.ReadLock(file, nil)
	if err != nil {
		before = config.NewLock()
	}
	if err := host.WriteLock(file, lock); err != nil {
		return err
	}
	if format != "text" {
		return nil
	}
	fmt.Fprintf(w, "%s: %s\n", file, count(len(lock.Policies), "policy", "policies"))
	for _, address := range slices.Sorted(maps.Keys(lock.Policies)) {
		p := lock.Policies[address]
		mark := " "
		if before.Policies[address] != p {
			mark = "*"
		}
		fmt.Fprintf(w, "%s %s  %s\n", mark, p.Digest, address)
	}
	return nil
}
