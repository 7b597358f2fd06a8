// Package policytest calls the hooks of a policy outside of a running host: it reads
// a request written as JSON, asks one hook in dry mode and tells what was decided
// and why.
//
// Conform holds an engine to the answers of a policy in Go, hook by hook.
//
// It knows no engine: the policy comes in opened. It is not how production asks
// (subsystems/admission).
package policytest
