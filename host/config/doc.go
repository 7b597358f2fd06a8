// Package config is gaia's configuration: one typed struct, the way it is put
// together from defaults, a file, the environment and flags, and the watcher
// that says when a file has changed.
//
// It finds every fault of every source at once, with the position in the file
// and the key that was probably meant. It is not the place where the
// configuration takes effect: the host wires it, and merges the policies of
// the command line into it.
//
// # Sources
//
// The lowest first: the defaults ([Default]), the file (YAML, or JSON by its
// extension), GAIA_A__B variables of the environment, flags, --set. Maps merge
// by key, everything else is replaced. A variable reaches lower-case names
// only; a name with a dot or a capital needs the file or --set, where a
// segment may be quoted: policies.p.params."api.example.com"=5.
//
// # Secrets
//
// ${env:NAME} and ${file:PATH} are read in url, in the values of headers and in
// the values of params, and nowhere else; $${ stands for a plain ${. They are
// resolved last, so that a value which was overridden is never looked up.
package config
