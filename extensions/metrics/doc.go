// Package metrics carries numbers between the host and its policies, in both directions.
//
// A subsystem counts with atomics and describes its numbers once, as a Schema. Being a Source, it gives them to every reader without
// allocation: a pooled map for scripts (Pool, View), JSON for people (AppendJSON), a binary block for Wasm guests (AppendBlock), and, read by
// the host, Prometheus. All four name the same fields in the same order. A policy's own counters and gauges live in a Registry and outlive the
// policy's generations. Window and Histogram turn single operations into the numbers that a Source reports.
//
// The package serves no scrapes, knows no exposition format and starts no goroutine; whatever depends on time takes it as now,
// nanoseconds since the Unix epoch.
package metrics
