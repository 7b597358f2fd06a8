package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
	"github.com/gaia-host/gaia/extensions/sdk"
	"github.com/spf13/cobra"
)

func newPolicyNew(e env) *cobra.Command {
	var lang, from string
	cmd := &cobra.Command{
		Use: "new NAME", Short: "make a folder with a policy to begin with", Args: exactly(1),
		Long: `Make a folder with a policy, its kit and its manifest. Nothing is fetched: the kits are
part of gaia, and a compiled policy needs the compiler of its language only.

  gaia policy new quota
  gaia policy new quota --lang rust
  gaia policy new quota --from std/tenant-quota`,
		RunE: func(_ *cobra.Command, args []string) error { return makePolicy(e, args[0], lang, from) },
	}
	cmd.Flags().StringVar(&lang, "lang", "js", "language: "+strings.Join(sdk.Languages(), ", "))
	cmd.Flags().StringVar(&from, "from", "", "start from a standard policy, std/NAME")
	return cmd
}

// folderSyntax is what every toolchain takes as a name.
var folderSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// ownRoutes is the line with which a standard policy brings its route along. A copy may
// not: its routes are the operator's.
var ownRoutes = regexp.MustCompile(`(?m)^  routes: \{.*\},\n`)

func makePolicy(e env, dir, lang, from string) error {
	name := filepath.Base(dir)
	if !folderSyntax.MatchString(name) {
		return usageError{fmt.Errorf("%q: want a name of letters, digits, '_' and '-', a letter first", name)}
	}
	if !slices.Contains(sdk.Languages(), lang) {
		return usageError{fmt.Errorf("--lang %s: want %s", lang, strings.Join(sdk.Languages(), ", "))}
	}
	if from != "" && lang != "js" {
		return usageError{errors.New("--from: the standard policies are written in JavaScript")}
	}
	files, err := sdk.Project(name, lang)
	if err != nil {
		return err
	}
	if from != "" {
		std, err := bundle.StdSource(from)
		if err != nil {
			return err
		}
		files[name+".js"] = ownRoutes.ReplaceAll(std, nil)
		beside, err := bundle.StdFiles(from)
		if err != nil {
			return err
		}
		maps.Copy(files, beside)
		delete(files, bundle.ManifestFile) // they are of another policy
		delete(files, name+".test.json")
	}
	if err := writeFolder(dir, files); err != nil {
		return err
	}
	printNext(e, dir, name, lang, files[name+".test.json"] != nil)
	return nil
}

// printNext says what to type after a folder was made.
func printNext(e env, dir, name, lang string, cases bool) {
	script := lang == "js" || lang == "ts"
	source := map[string]string{"js": name + ".js", "ts": name + ".ts", "rust": "src/lib.rs", "go": "policy.go", "assemblyscript": "assembly/policy.ts", "c": "policy.c"}[lang]
	run := filepath.Join(dir, source)
	fmt.Fprintf(e.out, "made %s\nnext:\n", run)
	if lang == "assemblyscript" {
		fmt.Fprintf(e.out, "  npm install --prefix %s\n", dir)
	}
	if !script {
		run = filepath.Join(dir, name+".wasm")
		fmt.Fprintf(e.out, "  gaia policy build %s\n", dir)
	}
	if cases {
		fmt.Fprintf(e.out, "  gaia policy test %s\n", dir)
	}
	fmt.Fprintf(e.out, "  gaia policy check %s\n  gaia policy call %s onRequest --input '{\"host\":\"api.example.com\"}' --explain\n  gaia run %s\n", run, run, run)
	if script {
		fmt.Fprintf(e.out, "to hand it over as one file:\n  gaia policy build %s\n", dir)
	}
}

// writeFolder makes a folder that does not exist yet. Paths have slashes.
func writeFolder(dir string, files map[string][]byte) error {
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; nothing was written", dir)
	} else if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
