// Package state holds what policies remember: a bounded key-value store with times to live and atomic operations, shared by all
// guests of a policy and by its successive generations.
//
// Every operation on one key is atomic: its read and its write happen under one lock, so that counters, locks and
// once-only marks can be built without a loop. An entry is absent from the nanosecond at which it expires. What has expired is removed by
// later writes and, before a write is refused for want of room, everywhere at once: expired entries never make a store full, and
// a live entry is never evicted.
//
// The package is not a cache (nothing is evicted), not a database (no transactions over several keys, no disk: the host writes what Export gives) and
// has no names, scopes or grants: those belong to the functions that guests call. It reads no clock and starts no goroutine; every
// operation takes the time as now, nanoseconds since the Unix epoch.
package state
