// Package natives holds the functions that the host gives to guests, once for
// both engines: named limiters, state, metrics, hashing, parameters, granted
// environment and logs.
//
// A Host outlives generations: limiters and state live in it and survive a swap
// of policies. A Tx prepares one generation; a Scope is one policy of it, with its
// names and grants; a Call is one guest's window on the host during a hook.
//
// A call is live, or dry: then it reads real levels and writes an Overlay, so that
// a self-test, an explanation or a shadow run changes nothing.
//
// It knows no engine: extensions/js and extensions/wasm bind Table to their own
// calling conventions. It decides nothing: extensions/limit counts, and policies
// choose.
package natives
