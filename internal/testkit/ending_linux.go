package testkit

import (
	"os/exec"
	"syscall"
)

// endWithUs has the kernel send a signal to cmd when the thread that starts it ends.
func endWithUs(cmd *exec.Cmd, stop syscall.Signal) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: stop}
}
