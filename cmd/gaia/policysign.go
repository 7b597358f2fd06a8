package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote"
	"github.com/spf13/cobra"
)

// passwordVariable holds the password of a secret key.
const passwordVariable = "GAIA_KEY_PASSWORD"

// maxSigned bounds a module that is signed, in bytes, as it is when fetched.
const maxSigned = 64 << 20

func newPolicyKeygen(e env) *cobra.Command {
	return &cobra.Command{
		Use: "keygen FILE", Short: "make a pair of keys to sign policies with", Args: exactly(1),
		Long: `Make a secret key in FILE and its public key in FILE.pub, as minisign writes them.
With ` + passwordVariable + ` in the environment the secret key is encrypted. Nothing that
exists is overwritten.

  gaia policy keygen team.key`,
		RunE: func(_ *cobra.Command, args []string) error {
			secret, public, err := remote.Generate(e.getenv(passwordVariable))
			if err != nil {
				return err
			}
			if err := writeNew(args[0], secret, 0o600); err != nil {
				return err
			}
			if err := writeNew(args[0]+".pub", public, 0o644); err != nil {
				return errors.Join(err, os.Remove(args[0]))
			}
			_, line, _ := strings.Cut(strings.TrimSpace(string(public)), "\n")
			fmt.Fprintf(e.out, "secret key  %s\npublic key  %s\n\nWho runs your policies trusts it in the configuration:\nrequire_signed: [%q]\n", args[0], args[0]+".pub", line)
			return nil
		},
	}
}

func newPolicySign(e env) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "sign FILE", Short: "sign a policy: writes FILE.minisig", Args: exactly(1),
		Long: `Sign a policy with a key of keygen or of minisign, and write FILE.minisig beside it. The
password of an encrypted key is read from ` + passwordVariable + `.

  gaia policy sign quota.wasm --key team.key`,
		RunE: func(_ *cobra.Command, args []string) error {
			code, err := readBounded(args[0], maxSigned)
			if err != nil {
				return err
			}
			signature, err := signWith(e, key, args[0], code)
			if err != nil {
				return err
			}
			out := args[0] + remote.SignatureSuffix
			if err := os.WriteFile(out, signature, 0o644); err != nil { //nolint:gosec // a signature is public
				return fmt.Errorf("write the signature: %w", err)
			}
			fmt.Fprintf(e.out, "%s  %s\n", out, remote.Digest(code))
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the secret key")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

// signWith signs the bytes of a file with the secret key in another.
func signWith(e env, key, file string, code []byte) ([]byte, error) {
	secret, err := readBounded(key, maxKey)
	if err != nil {
		return nil, err
	}
	signature, err := remote.Sign(code, secret, e.getenv(passwordVariable), filepath.Base(file), time.Now())
	if errors.Is(err, remote.ErrPassword) {
		return nil, fmt.Errorf("%s: %w (set %s)", key, err, passwordVariable)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return signature, nil
}

func newPolicyVerify(e env) *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "check the signature FILE.minisig of a policy", Args: exactly(1),
		Long: `Check that one of the public keys signed a policy. KEY is the line that starts with RWQ,
or the file that holds it. The exit code of a signature that is not right is 5.

  gaia policy verify quota.wasm --key team.key.pub`,
		RunE: func(_ *cobra.Command, args []string) error {
			code, err := readBounded(args[0], maxSigned)
			if err != nil {
				return err
			}
			signature, err := readBounded(args[0]+remote.SignatureSuffix, maxKey)
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s: %w: it is not signed: there is no %s", args[0], remote.ErrRefused, args[0]+remote.SignatureSuffix)
			} else if err != nil {
				return err
			}
			signer, err := remote.Verify(code, signature, keyTexts(keys))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			fmt.Fprintf(e.out, "ok  %s  %s, signed by %s\n", args[0], remote.Digest(code), signer)
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key, or its file (may be repeated)")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

// keyTexts are public keys of which each may be the name of its file.
func keyTexts(keys []string) []string {
	texts := make([]string, 0, len(keys))
	for _, k := range keys {
		if text, err := readBounded(k, maxKey); err == nil {
			k = string(text)
		}
		texts = append(texts, k)
	}
	return texts
}

// maxKey bounds a file of a key or signature, in bytes.
const maxKey = 4 << 10

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return data, err
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
