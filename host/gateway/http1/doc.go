// Package http1 is a small and strict HTTP/1.1 server for one handler.
//
// It gives its handler what net/http would (a *http.Request, a http.ResponseWriter
// that can Flush and Hijack) and makes less of it: one goroutine serves a connection
// and what a request was made of is used again, nobody reads ahead to learn whether a
// client is still there, and a short answer is one write. It speaks neither TLS nor
// HTTP/2, guesses no Content-Type and has no mux.
//
// What it accepts, net/http accepts and reads alike; it refuses more: bare line feeds,
// folded fields, a Transfer-Encoding beside a Content-Length or from an HTTP/1.0
// client, versions other than 1.0 and 1.1.
//
// # What a handler may rely on
//
// A request with a body is full duplex: the answer may begin before the body has
// ended. One that was not read to its end by the time the answer's head is sent ends
// the connection. The context of a request ends when the handler returns, when
// [Server.Cancel] is called, when a read or write fails, and within about two ticks
// (see tick) after the client has left, provided that the request's body was read;
// more of the next request in the buffer than it holds hides that. It has no values.
//
// The ResponseWriter belongs to the handler's goroutine, or to one at a time. Its
// fields are taken when the head is sent: with WriteHeader where a length is known or
// there is no body, else with the first flush. See [ResponseWriter] for what it can do
// besides.
package http1
