// Package work is the work API: what callers may ask of the five subsystems by
// `POST /v1/SUBSYSTEM/ACTION`, and what `gaia SUBSYSTEM ACTION` asks.
//
// An action is declared once, by JSON, Lines or Bytes: its name, what it takes (a
// struct), what it gives, and a line that says what it does. From that come the HTTP
// handler, the list of GET /v1/SUBSYSTEM and the command of the client. There is one
// file for each subsystem (api.go, files.go, ...), and Catalog lists them.
//
// The package speaks HTTP and decides nothing: an action calls its subsystem, which
// asks the policies. Who may call is the control plane's business (host/control).
package work
