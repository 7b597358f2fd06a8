package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

func newPolicyPush(e env) *cobra.Command {
	var key string
	var plain bool
	cmd := &cobra.Command{
		Use: "push FILE REF", Short: "push a policy and its signature to a registry", Args: exactly(2),
		Long: `Push a Wasm module, or one JavaScript file, to an OCI registry under HOST/REPOSITORY:TAG.
The signature FILE.minisig travels along, or one of --sign. Credentials are those of docker:
~/.docker/config.json or the folder that DOCKER_CONFIG names, with its helpers.

  gaia policy push quota.wasm registry.example.com/team/quota:1.2 --sign team.key`,
		RunE: func(cmd *cobra.Command, args []string) error {
			off, err := newOffline(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer func() { _ = off.close() }()
			f, err := toPush(cmd, e, off, args[0], key)
			if err != nil {
				return err
			}
			to := address(args[1])
			pushed, err := off.store().Push(cmd.Context(), to, f, plainHosts(to, plain))
			if err != nil {
				return err
			}
			signer := "nobody"
			if len(f.Signature) > 0 {
				if signer, err = remote.SignerOf(f.Signature); err != nil {
					return err
				}
			}
			fmt.Fprintf(e.out, "pushed %s\n  pinned     %s\n  digest     %s\n  signed by  %s\n", pushed.Address, pushed.Resolved, pushed.Digest, signer)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "sign", "", "sign it with the secret key in this file")
	addPlain(cmd, &plain)
	return cmd
}

// toPush reads a policy and its signature, and holds it to what it must be elsewhere.
func toPush(cmd *cobra.Command, e env, off *offline, file, key string) (remote.File, error) {
	f := remote.File{Name: filepath.Base(file)}
	p, err := off.open(cmd.Context(), wallClock(), file, bundle.Settings{Probe: true, Survey: true, Foreign: true})
	if err != nil {
		return f, err
	}
	files := p.Files
	if err := p.Close(); err != nil {
		return f, err
	}
	if len(files) != 1 {
		return f, fmt.Errorf("%s: it is not one file but imports others: `gaia policy build` makes one of them", file)
	}
	if f.Code, err = readBounded(file, maxSigned); err != nil {
		return f, err
	}
	if key != "" {
		f.Signature, err = signWith(e, key, file, f.Code)
		return f, err
	}
	f.Signature, err = readBounded(file+remote.SignatureSuffix, maxKey)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return f, err
}

func newPolicyPull(e env) *cobra.Command {
	var out string
	var f fetching
	cmd := &cobra.Command{
		Use: "pull REF", Short: "write a policy of a registry, and its signature, to a file", Args: exactly(1),
		Long: `Get HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:DIGEST of an OCI registry, or an https
address, and write it to a file with its signature beside it. Nothing that exists is
overwritten unless -o names it. With --key one of the keys must have signed it.

  gaia policy pull registry.example.com/team/quota:1.2 --key team.key.pub
  gaia policy pull registry.example.com/team/quota:1.2 -o quota-1.2.wasm`,
		RunE: func(cmd *cobra.Command, args []string) error {
			off, err := newOffline(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer func() { _ = off.close() }()
			use := address(args[0])
			m, err := f.look(cmd.Context(), off, use)
			if err != nil {
				return fmt.Errorf("%s: %w", use, err)
			}
			defer m.Release()
			file, signed := out, out+remote.SignatureSuffix
			if out == "" {
				file = filepath.Base(m.Name)
				signed = file + remote.SignatureSuffix
				err = writePulledNew(file, signed, m)
			} else {
				err = writePulled(file, signed, m)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "pulled %s\n  pinned     %s\n  digest     %s\n  signed by  %s\n", file, m.Resolved, m.Digest, signedBy(m))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the file to write (default: its name in the registry)")
	f.add(cmd)
	return cmd
}

func signedBy(m *remote.Module) string {
	if m.Signer != "" {
		return m.Signer + ", verified"
	}
	by, err := remote.SignerOf(m.Signature)
	switch {
	case len(m.Signature) == 0:
		return "nobody"
	case err != nil:
		return "a signature that cannot be read"
	}
	return by + " by its own word: name the key with --key to verify it"
}

// writePulledNew writes a policy where there is none.
func writePulledNew(file, signed string, m *remote.Module) error {
	if _, err := os.Lstat(signed); err == nil && len(m.Signature) > 0 {
		return fmt.Errorf("%s: file exists: name the file with -o", signed)
	}
	if err := writeNew(file, m.Code, 0o644); err != nil {
		return err
	}
	if len(m.Signature) == 0 {
		return nil
	}
	return writeNew(signed, m.Signature, 0o644)
}

// writePulled replaces a policy. A signature that was beside the earlier one goes.
func writePulled(file, signed string, m *remote.Module) error {
	if err := renameio.WriteFile(file, m.Code, 0o644); err != nil {
		return err
	}
	if len(m.Signature) > 0 {
		return renameio.WriteFile(signed, m.Signature, 0o644)
	}
	if err := os.Remove(signed); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// address is what is meant by a reference without a scheme: one of a registry.
func address(ref string) string {
	if remote.IsRef(ref) || strings.HasPrefix(ref, "/") {
		return ref
	}
	return "oci://" + ref
}
