// Package abi is the one description of gaia_v1, the binary interface between the host and a Wasm policy: the layout of the
// memory that both see, the functions a guest may import, the packed decision and the numbers of errors. From it are generated
// the host's constants (offsets.go), the kits (extensions/sdk) and the specification (docs/abi.md, whose prose is spec.md). It
// runs nothing.
//
// Within version 1 fields and functions are only added, at the end; Minor counts the additions.
package abi

//go:generate go run ./gen
