package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/sdk"
	"github.com/spf13/cobra"
)

const newJS = `// %[1]s: no host is asked more than ten times a second; callers wait up to two.
import { limiter } from "gaia";

export const options = { match: { subsystem: "api" } };

const perHost = limiter.tokenBucket("per-host", { rate: 10, burst: 20, maxWait: "2s" });

/** @type {import("gaia").OnRequest} */
export function onRequest(req) {
  return perHost.admit();
}

/** @type {import("gaia").OnResponse} */
export function onResponse(req, res) {
  perHost.learn(res);
}
`

const newTS = `// %[1]s: no host is asked more than ten times a second; callers wait up to two.
import { limiter, type Options, type Request, type Response } from "gaia";

export const options: Options = { match: { subsystem: "api" } };

const perHost = limiter.tokenBucket("per-host", { rate: 10, burst: 20, maxWait: "2s" });

export function onRequest(req: Request) {
  return perHost.admit();
}

export function onResponse(req: Request, res: Response) {
  perHost.learn(res);
}
`

func newPolicyNew(e env) *cobra.Command {
	var lang, from string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "make a folder with a policy that runs at once", Args: exactly(1),
		Long: "Make the folder NAME with a policy, the types that an editor completes from, and a\ntsconfig.json. Nothing that exists is overwritten.\n\n  gaia policy new quota\n  gaia policy new quota --lang ts\n  gaia policy new quota --from std/tenant-quota",
		RunE: func(_ *cobra.Command, args []string) error { return makePolicy(e, args[0], lang, from) },
	}
	cmd.Flags().StringVar(&lang, "lang", "js", "language: js or ts")
	cmd.Flags().StringVar(&from, "from", "", "start from a standard policy, std/NAME")
	return cmd
}

var folderSyntax = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func makePolicy(e env, dir, lang, from string) error {
	name := filepath.Base(dir)
	if !folderSyntax.MatchString(name) {
		return usageError{fmt.Errorf("%q: want a name of letters, digits, '_' and '-'", name)}
	}
	file := "policy." + lang
	var code []byte
	switch {
	case from != "":
		std, err := bundle.StdSource(from)
		if err != nil {
			return err
		}
		code, file = std, "policy.js"
	case lang == "js":
		code = fmt.Appendf(nil, newJS, name)
	case lang == "ts":
		code = fmt.Appendf(nil, newTS, name)
	default:
		return usageError{fmt.Errorf("--lang %s: want js or ts", lang)}
	}
	files := map[string][]byte{name + filepath.Ext(file): code}
	for _, support := range []string{"gaia.d.ts", "tsconfig.json"} {
		text, err := sdk.FS.ReadFile(support)
		if err != nil {
			return fmt.Errorf("read %s: %w", support, err)
		}
		files[support] = text
	}
	if err := writeFolder(dir, files); err != nil {
		return err
	}
	path := filepath.Join(dir, name+filepath.Ext(file))
	fmt.Fprintf(e.out, "made %s\nnext:\n  gaia policy check %s\n  gaia policy call %s onRequest --input '{\"host\":\"api.example.com\"}' --explain\n  gaia run %s\n", path, path, path, path)
	return nil
}

// writeFolder makes a folder that does not exist yet.
func writeFolder(dir string, files map[string][]byte) error {
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; nothing was written", dir)
	} else if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
