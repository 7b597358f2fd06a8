// Package scripts is the JavaScript that ships inside the binary: the standard
// policies and experiments, run as std/NAME. It is one embed.FS and no code.
package scripts

import "embed"

// FS holds policies/NAME.js and experiments/NAME.js.
//
//go:embed policies experiments
var FS embed.FS
