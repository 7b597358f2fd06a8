// Package host is the daemon: it wires the subsystems, the policies, the gateway
// and the control plane together, runs them, reloads them and stops them.
//
// New allocates, Start opens, Stop drains. Configuration is read by host/config,
// policies are kept by host/generation, traffic is served by host/gateway, and the
// control plane by host/control; this package only joins them.
package host
