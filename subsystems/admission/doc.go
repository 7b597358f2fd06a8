// Package admission is the one path that every operation of every subsystem
// takes: the policies are asked, an upstream is chosen, configured limits are
// taken, one wait is served, a concurrency slot is held, and what was taken is
// given back or settled at the end.
//
// Core is a non-blocking state machine over a clock that the caller hands down.
// Begin answers at once: go, wait until then, queued, or denied; Wake, Cancel and
// Settle move an operation on and say which queued ones they let go. Nothing in
// it sleeps, starts a goroutine or reads a clock, so that a simulator drives the
// code that production runs. Driver is the thin part that sleeps.
//
// The package is not a subsystem: it performs no action, and knows no HTTP beyond
// the meaning of a few status codes.
package admission
