// Package policytest asks a policy outside of a running host. Call asks one hook about a
// request written as JSON, in dry mode, and tells what was decided and why; a Suite runs
// the cases of test files, at times that the cases set; RunBench measures what a hook
// costs.
//
// Conform holds an engine to the answers of a policy in Go, hook by hook.
//
// It knows no engine: the policy comes in opened. It is not how production asks
// (subsystems/admission).
package policytest
