// Package js runs policies written in JavaScript or TypeScript.
//
// A policy's files are bundled in memory by esbuild and run in goja, one runtime for
// each guest. Its named exports are the hooks; what it imports from "gaia" are the
// words of extensions/natives. A hook is called through the function that goja exports
// (no reflection, no allocation), reads a reused view of the request, and its answer is
// decoded inside the same guard. One goroutine for each policy, the watchdog, ends hooks
// that spend their budget of wall time or memory.
//
// It is not a sandbox for code that the operator does not trust: goja bounds neither
// memory nor the time of its built-ins, and the caps here are nets, not walls. Such code
// belongs in extensions/wasm. It is not Node.js either: there are no timers, no modules
// but the policy's own files, and no way to the disk or the network.
package js
