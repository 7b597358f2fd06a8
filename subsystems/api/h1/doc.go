// Package h1 is an HTTP/1.1 client for the API pool: one exchange on one connection,
// from the caller's own goroutine.
//
// Transport.RoundTrip takes a kept connection or dials one, writes the head, and reads
// the answer as far as its fields; the body reads on from the connection, which goes
// back when the body has ended. No goroutine belongs to a connection. One is started
// for a request body that has to be sent while the answer is read already.
//
// What it accepts of a server is never more than net/http's client accepts, and less
// where the two ends of a gateway could differ about where a message ends: both
// Content-Length and Transfer-Encoding, bare line feeds, folded fields.
//
// It knows no proxy, no redirect, no cookie, no compression and no HTTP/2.
package h1
