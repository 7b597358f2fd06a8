package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host"
)

// A refused reload says what, where and shows the line once.
func TestPrintReloadRefused(t *testing.T) {
	var b bytes.Buffer
	err := &host.ConfigError{Err: errors.Join(&policy.LoadError{File: "p.js", Line: 1, Col: 3, Message: "no", Source: "ab}", Hint: "mend it"})}
	printReload(&b, host.ReloadEvent{Files: []string{"p.js"}, Err: err})
	_, got, _ := strings.Cut(b.String(), "\n")
	want := "  p.js:1:3: no\n       1 | ab}\n         |   ^\n  hint: mend it\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
