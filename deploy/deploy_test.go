// Package deploy_test checks the files for those who run gaia as a service.
package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func unit(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("gaia.service")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUnitIsValid(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "gaia") // the check wants the program to be there
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	verify := func(text string) (string, error) {
		file := filepath.Join(dir, "gaia.service")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "/usr/local/bin/gaia", program)), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", file).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(unit(t)); err != nil || strings.Contains(out, "gaia.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, err := verify(strings.Replace(unit(t), "Type=exec", "Typo=exec\nType=nothing", 1)); err == nil && !strings.Contains(out, "gaia.service") {
		t.Error("a unit with mistakes passed: the check checks nothing")
	}
}

func TestUnitKeepsItsPromises(t *testing.T) {
	text := unit(t)
	for _, line := range []string{
		"DynamicUser=yes", "StateDirectory=gaia", "RuntimeDirectory=gaia", "ExecReload=/bin/kill -HUP $MAINPID",
		"ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "KillSignal=SIGTERM",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
