// Package control is the control plane: status, reload, health, metrics and
// profiles over a unix socket and loopback HTTP, and the client of it.
//
// The socket is open to its owner (mode 0600). Over TCP anyone who can reach the
// loopback address may read status, health and metrics; whatever changes, executes
// or profiles needs the bearer token. Requests are checked for a Host that is ours
// and against cross-site origins.
//
// It carries no traffic of users (host/gateway) and is never counted as work.
package control
