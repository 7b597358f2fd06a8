// Package scripts is the JavaScript that ships inside the binary: the standard
// policies, run as std/NAME. It is one embed.FS and no code.
package scripts

import "embed"

// FS holds policies/NAME.js.
//
//go:embed policies
var FS embed.FS
