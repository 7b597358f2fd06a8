//go:build unix && !linux

package process

import "errors"

// Exec is the shim that sets limits; it needs Linux.
func Exec(args, env []string) error {
	return errors.New("process: limits of each process need Linux")
}
