package policytest

import (
	"context"
	_ "embed" // the module "gaia/test"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Module is the name of the module that tests import from.
const Module = "gaia/test"

//go:embed module.js
var module string

// ModuleText is the JavaScript of Module. It asks its host by __gaia("host").
func ModuleText() string { return module }

// Bounds of a suite.
const (
	DefaultTimeout = 10 * time.Second // of one case
	maxFiles       = 10_000           // that a folder is searched for
	maxFailures    = 100              // that one case keeps
)

// Place is a line of a test file; the zero Place is unknown.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// String is "file:line", or what is known of it.
func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Failure is an expectation that was not met, or an error. All of a case are kept, up to a bound.
type Failure struct {
	At       Place           `json:"at"`
	Message  string          `json:"message"`
	Want     string          `json:"want,omitempty"`
	Got      string          `json:"got,omitempty"`
	Stack    string          `json:"stack,omitempty"`
	Decision json.RawMessage `json:"decision,omitempty"` // with its ledger
}

// Result is what became of a case.
type Result struct {
	File     string        `json:"file"`
	Name     string        `json:"name"`
	Took     time.Duration `json:"-"`
	Seconds  float64       `json:"seconds"`
	Checks   int           `json:"checks"`
	Skipped  bool          `json:"skipped,omitempty"`
	Failures []Failure     `json:"failures,omitempty"`
}

// Passed reports a case that ran and failed nothing.
func (r *Result) Passed() bool { return !r.Skipped && len(r.Failures) == 0 }

// Script is a test file of cases in a language that an engine runs.
type Script interface {
	Cases() []ScriptCase
	// Run runs a case, for so long at most. The error is a *policy.Fault where the script failed.
	Run(i int, budget time.Duration) error
	Close()
}

// ScriptCase is one case of a script.
type ScriptCase struct {
	Name string
	At   Place
}

// Host answers what a script asks, with its answer as JSON; see js.ScriptConfig.
type Host func(op string, value []byte, at func() Place) ([]byte, error)

// Suite runs test files. Open is required, Script where there are files other than JSON.
type Suite struct {
	Open    OpenPolicy
	Script  func(ctx context.Context, path string, host Host, clock func() int64) (Script, error)
	Whole   OpenWhole      // nil: cases cannot have one
	Run     *regexp.Regexp // cases whose name it matches; nil: all
	Timeout time.Duration  // of one case; 0 is DefaultTimeout
	Clock   func() time.Time
}

// isTest reports the name of a test file.
func isTest(name string) bool {
	return regexp.MustCompile(`\.test\.(js|mjs|ts|mts|json)$`).MatchString(name)
}

// Find lists the test files that path means: itself, or all below it, but not in hidden folders and node_modules.
func Find(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !isTest(path) {
			return nil, fmt.Errorf("%s is no test file: want NAME.test.js, .ts or .json", path)
		}
		return []string{path}, nil
	}
	var files []string
	seen := 0
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if seen++; err != nil || seen > maxFiles*10 {
			return errors.Join(err, fs.SkipAll)
		}
		base := d.Name()
		if d.IsDir() && name != path && (strings.HasPrefix(base, ".") || base == "node_modules") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && isTest(base) && len(files) < maxFiles {
			files = append(files, name)
		}
		return nil
	})
	sort.Strings(files)
	return files, err
}

// PolicyOf is the policy that a test file is about where it names none: the one of its own name, or the only one of the
// folder.
func PolicyOf(test string) (string, error) {
	dir, base := filepath.Split(test)
	stem, _, _ := strings.Cut(base, ".test.")
	var others []string
	for _, ext := range []string{".js", ".ts", ".mjs", ".mts", ".wasm"} {
		if info, err := os.Stat(dir + stem + ext); err == nil && info.Mode().IsRegular() {
			return dir + stem + ext, nil
		}
		found, err := filepath.Glob(escapeGlob(dir) + "*" + ext)
		if err != nil {
			return "", err
		}
		for _, f := range found {
			if !isTest(f) && !strings.HasSuffix(f, ".d.ts") {
				others = append(others, f)
			}
		}
	}
	if len(others) == 1 {
		return others[0], nil
	}
	return "", fmt.Errorf("which policy? %s has no %s.js, .ts or .wasm beside it, and %d others: name one, policy(\"./FILE\")", base, stem, len(others))
}

func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// RunFile runs the cases of one file that Run names, in their order. A file that cannot be read or loaded is the error.
func (s *Suite) RunFile(ctx context.Context, path string) ([]Result, error) {
	if strings.HasSuffix(path, ".json") {
		return s.runJSON(ctx, path)
	}
	run := &scriptRun{suite: s, path: path}
	script, err := s.Script(ctx, path, run.answer, run.clock)
	if err != nil {
		return nil, err
	}
	defer script.Close()
	var results []Result
	for _, name := range run.skipped {
		if s.wants(name) {
			results = append(results, Result{File: path, Name: name, Skipped: true})
		}
	}
	for i, c := range script.Cases() {
		if !s.wants(c.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return results, err
		}
		results = append(results, s.measured(ctx, path, c.Name, c.At, func(ctx context.Context, r *Result) error {
			run.world, run.result = newWorld(ctx, s, path), r
			err := script.Run(i, s.timeout())
			return errors.Join(err, run.end())
		}))
	}
	return results, nil
}

func (s *Suite) wants(name string) bool { return s.Run == nil || s.Run.MatchString(name) }

func (s *Suite) timeout() time.Duration {
	if s.Timeout > 0 {
		return s.Timeout
	}
	return DefaultTimeout
}

// measured runs one case.
func (s *Suite) measured(ctx context.Context, path, name string, at Place, run func(context.Context, *Result) error) Result {
	r := Result{File: path, Name: name}
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	began := s.Clock()
	if err := run(ctx, &r); err != nil {
		r.fail(failureOf(err, at))
	} else if r.Checks == 0 {
		r.fail(Failure{At: at, Message: "the case expects nothing"})
	}
	r.Took = s.Clock().Sub(began)
	r.Seconds = r.Took.Seconds()
	return r
}

func (r *Result) fail(f Failure) {
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, f)
	}
}

// failureOf is the failure that an error is, at its own place where it has one.
func failureOf(err error, at Place) Failure {
	f := Failure{At: at, Message: err.Error()}
	var fault *policy.Fault
	if errors.As(err, &fault) {
		f.Message = fault.Err.Error()
		if strings.Count(fault.Stack, "\n") > 1 { // one frame is the place
			f.Stack = fault.Stack
		}
		if fault.Kind != policy.FaultException {
			f.Message = fault.Kind.String() + ": " + f.Message
		}
		if own, ok := parsePlace(fault.Where); ok {
			f.At = own
		}
	}
	return f
}

func parsePlace(where string) (Place, bool) {
	m := regexp.MustCompile(`^(.*?):(\d+)(:\d+)?$`).FindStringSubmatch(where)
	if m == nil {
		return Place{}, false
	}
	var p Place
	p.File = m[1]
	_, err := fmt.Sscan(m[2], &p.Line)
	return p, err == nil
}
