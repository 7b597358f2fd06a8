// Package route chooses among the upstreams of a route, as a function of the
// clock and of numbers that the caller hands in.
//
// A Group is an immutable list of upstreams with live numbers beside it: what is
// in flight and how recent attempts went. Those belong to an upstream's name and
// URL and pass from one Group to the next, so that a reload forgets nothing.
//
// The package opens no connection, reads no clock and starts no goroutine. It
// knows nothing of limits: who is full is for the caller to say.
package route
