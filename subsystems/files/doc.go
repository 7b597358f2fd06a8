// Package files works on files for others, under policy: named roots, each
// confined by an os.Root, with every operation admitted by subsystems/admission.
//
// A Manager reads, writes, appends, copies, moves, removes, lists, walks, parses
// and watches. A write is atomic: its bytes go into a stage folder of the root,
// and a rename puts them in place, so that a crash, a full disk or a full quota
// leaves the old file or the new one, never half of one. Durability says how much
// of it is forced to the disk. Quotas count bytes and entries of a root.
//
// Paths are relative to a root, with slashes. Nothing outside of a root can be
// reached, not through "..", a link or a race with one; what is not a regular file
// is not read or written.
//
// The package is not a file server: it knows no HTTP and no users. What other
// programs do in a root at the same time is seen, but not kept apart.
package files
