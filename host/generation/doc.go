// Package generation keeps the set of policies in force: it compiles, tests and
// warms a new set off the path, swaps it in by one atomic store, and keeps exactly
// one earlier good set open for rollback.
//
// A set that fails at any step changes nothing. It knows policies only through
// extensions/bundle, and nothing of configuration files or of HTTP.
package generation
