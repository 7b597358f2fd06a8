// Command gaia runs outbound work under policies: `gaia run policy.js`. See
// `gaia help`.
package main

import (
	"context"
	"os"
)

// version is set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == shimVerb {
		os.Exit(shim(os.Args[2:], os.Environ(), os.Stderr))
	}
	os.Exit(execute(context.Background(), env{
		out: os.Stdout, err: os.Stderr, in: os.Stdin, environ: os.Environ(), getenv: os.Getenv,
	}, os.Args[1:]))
}
