package main

import (
	"strings"

	"github.com/google/pprof/profile"
)

const module = "github.com/gaia-host/gaia"

// frame is one call of a stack.
type frame struct{ function, file string }

// stackOf is a sample's stack, the leaf first, with the calls that were inlined.
func stackOf(s *profile.Sample) []frame {
	var out []frame
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function != nil {
				out = append(out, frame{line.Function.Name, line.Function.Filename})
			}
		}
	}
	return out
}

func leaf(s []frame) frame {
	if len(s) == 0 {
		return frame{function: "unknown"}
	}
	return s[0]
}

// What code is.
const (
	kindSyscall = "system calls"
	kindRuntime = "Go runtime (scheduler, memory, poller)"
	kindGaia    = "gaia"
	kindTest    = "the test around it"
	kindEngine  = "policy engines (goja, wazero, compiled guests)"
	kindOther   = "standard library and other modules"
)

// prefixes tell kinds apart; the first that fits counts.
var prefixes = []struct{ prefix, kind string }{
	{"syscall.", kindSyscall}, {"internal/runtime/syscall", kindSyscall}, {"runtime/internal/syscall", kindSyscall}, {"golang.org/x/sys/unix.", kindSyscall},
	{"runtime.", kindRuntime}, {"runtime/", kindRuntime}, {"internal/runtime/", kindRuntime}, {"internal/poll.", kindRuntime}, {"gcWriteBarrier", kindRuntime}, {"aeshashbody", kindRuntime}, {"memeqbody", kindRuntime},
	{"github.com/dop251/goja", kindEngine}, {"github.com/tetratelabs/wazero", kindEngine},
}

func kindOf(f frame) string {
	if strings.HasPrefix(f.function, module) {
		if isTest(f) {
			return kindTest
		}
		return kindGaia
	}
	for _, p := range prefixes {
		if strings.HasPrefix(f.function, p.prefix) {
			return p.kind
		}
	}
	return kindOther
}

func isTest(f frame) bool { return strings.HasSuffix(f.file, "_test.go") }

// owner is the package of gaia nearest to the leaf: on whose behalf the leaf ran.
func owner(s []frame) string {
	for _, f := range s {
		if !strings.HasPrefix(f.function, module) {
			continue
		}
		if isTest(f) {
			return kindTest
		}
		return packageOf(f.function)
	}
	if len(s) == 0 {
		return "unknown"
	}
	return "not gaia: " + packageOf(s[len(s)-1].function)
}

// packageOf is the package of a function, that of gaia without the module's path.
func packageOf(function string) string {
	head, tail := "", strings.TrimPrefix(function, module+"/")
	if i := strings.LastIndex(tail, "/"); i >= 0 {
		head, tail = tail[:i+1], tail[i+1:]
	}
	name, _, _ := strings.Cut(tail, ".")
	return head + name
}

// starter names what a goroutine runs: gaia's function nearest to where it started,
// with what it is of where that is only a wrapper of sync.WaitGroup.
func starter(s []frame) string {
	for i := len(s) - 1; i >= 0; i-- {
		f := s[i]
		if strings.HasPrefix(f.function, module) {
			return strings.TrimPrefix(f.function, module+"/")
		}
	}
	for i := len(s) - 1; i >= 0; i-- {
		if k := kindOf(s[i]); k != kindRuntime {
			return s[i].function
		}
	}
	return leaf(s).function
}
