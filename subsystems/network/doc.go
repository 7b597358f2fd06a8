// Package network opens connections for others, under policy: names resolved
// through a cache, connections bounded for each host, bytes paced for everything
// together, for each host and for each connection.
//
// Coordinator.DialContext is what the API pool, the local proxy and Go code dial
// with; Guarded is the same for targets that a stranger named: it refuses
// addresses that are not public. Resolve asks the cache. Each of them asks the
// policies once, with the action "connect" or "resolve"; nobody is asked for a
// packet or a byte.
//
// The package speaks no TLS and follows no redirect. It is a client of name
// servers, not one itself: no DNSSEC, no DNS over TLS or HTTPS.
package network
