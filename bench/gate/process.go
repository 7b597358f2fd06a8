package main

import (
	"fmt"
	"os"
	"strings"
)

// rolePrefix starts the hidden argument with which the gate runs itself again, as one of
// the processes that a row needs besides its own.
const rolePrefix = "role:"

// roleOf reads the hidden argument.
func roleOf(args []string) (role string, rest []string, ok bool) {
	if len(args) < 2 {
		return "", nil, false
	}
	role, ok = strings.CutPrefix(args[1], rolePrefix)
	return role, args[2:], ok
}

func runRole(role string, args []string) int {
	fmt.Fprintf(os.Stderr, "gate: no role %q\n", role)
	return exitUsage
}
