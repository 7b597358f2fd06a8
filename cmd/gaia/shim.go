package main

import (
	"fmt"
	"io"
	"os"

	"github.com/gaia-host/gaia/subsystems/process"
)

// shimVerb is the hidden first argument with which gaia starts itself to set the
// limits of a process and become its program.
const shimVerb = "__exec"

// exitShim is what a shell answers for a program that cannot be run.
const exitShim = 126

// shim returns only when it failed.
func shim(args, environ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "gaia:", process.Exec(args, environ))
	return exitShim
}

// shimCommand is how the daemon starts the shim; nil where its own program cannot be
// found.
func shimCommand() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, shimVerb}
}
