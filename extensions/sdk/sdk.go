// Package sdk holds what authors of policies get: types for editors and for tsc, and
// kits for guests in other languages. It is files only; nothing of it runs in gaia.
package sdk

import "embed"

// FS holds gaia.d.ts and tsconfig.json, to be written beside a new policy.
//
//go:embed gaia.d.ts tsconfig.json
var FS embed.FS
