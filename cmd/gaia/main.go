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
	os.Exit(execute(context.Background(), env{
		out: os.Stdout, err: os.Stderr, in: os.Stdin, environ: os.Environ(), getenv: os.Getenv,
	}, os.Args[1:]))
}
