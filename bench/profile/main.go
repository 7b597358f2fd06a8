// Command profile sums up the profiles of one run in a page of text: where the
// processor time went and whether the run was bound by it, what allocated, what
// waited, and whose goroutines there were.
//
//	cd bench && go run ./profile DIR
//
// DIR holds cpu.prof, mem.prof, block.prof, mutex.prof and goroutine.prof as runtime/pprof writes
// them; one that is missing is left out and said so. The exit code is 0, 1 where a file
// cannot be read, 2 for wrong usage.
//
// It draws no graphs: `go tool pprof` does, of the same files.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/pprof/profile"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: profile DIR")
		os.Exit(2)
	}
	if err := summarise(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

// section is one file and what is said of it.
type section struct {
	file string
	tell func(io.Writer, *profile.Profile)
}

func sections() []section {
	return []section{
		{"cpu.prof", tellCPU},
		{"mem.prof", tellAllocations},
		{"goroutine.prof", tellGoroutines},
		{"block.prof", tellWaits("blocked on channels, locks and conditions")},
		{"mutex.prof", tellWaits("waited for by others at locks")},
	}
}

// summarise writes what the profiles in dir say.
func summarise(w io.Writer, dir string) error {
	found := false
	for _, s := range sections() {
		p, err := read(filepath.Join(dir, s.file))
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(w, "%s: none\n\n", s.file)
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", s.file, err)
		}
		found = true
		s.tell(w, p)
		fmt.Fprintln(w)
	}
	if !found {
		return fmt.Errorf("no profile in %s", dir)
	}
	return nil
}

func read(path string) (*profile.Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return profile.Parse(f)
}
