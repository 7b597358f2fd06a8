package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/spf13/cobra"
)

func newPolicyBuild(e env) *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use: "build DIR", Short: "compile the policy in a folder to one file, with its manifest", Args: exactly(1),
		Long: `Compile a policy by its language's own tool, load it once, and write one file with its
manifest: gaia.json of the folder, and the ABI and hooks that gaia finds. A policy in Rust,
Go, AssemblyScript or C becomes a Wasm module; one in JavaScript or TypeScript one file
that imports nothing but "gaia". A file that no build made is not replaced.

The tools are looked for on the PATH; RUSTC, CARGO, GO, ASC and CLANG name others.

  gaia policy build quota
  gaia policy build quota -o quota-1.2.0.wasm`,
		RunE: func(cmd *cobra.Command, args []string) error {
			off, err := newOffline(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer func() { _ = off.close() }()
			b, err := bundle.Build(cmd.Context(), bundle.BuildConfig{Dir: args[0], Out: out, Force: force, Engine: off.engine, Getenv: e.getenv})
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "built %s from %s (%s: %s), %d bytes\n  digest  %s\n", b.File, args[0], b.Lang, strings.Join(b.Hooks, ", "), b.Size, b.Digest)
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the file to write (default DIR/NAME.wasm, or DIR/NAME.bundle.js)")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file whatever it is")
	return cmd
}
