package meter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/gaia-host/gaia/internal/testkit"
)

// specDir finds the official WebAssembly core tests, which travel with wazero's module.
func specDir(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "v2/testdata"))
	}
	if err != nil {
		testkit.Missing(t, "the core tests are missing: %v", err)
	}
	return dir
}

// specFile is a test of the suite as wast2json writes it.
type specFile struct {
	Commands []struct {
		Type, Filename, Name, As, Module string
		Line                             int
		Action                           specAction
	}
}

type specAction struct {
	Type, Field, Module string
	Args                []struct {
		Type     string
		LaneType string `json:"lane_type"`
		Value    any
	}
}

// words are the arguments as the engine takes them; false where one cannot be made.
func (a *specAction) words() ([]uint64, bool) {
	var words []uint64
	for _, arg := range a.Args {
		if lanes, ok := arg.Value.([]any); ok {
			low, high, ok := vector(arg.LaneType, lanes)
			if !ok {
				return nil, false
			}
			words = append(words, low, high)
			continue
		}
		text, _ := arg.Value.(string)
		n, err := strconv.ParseUint(text, 10, 64)
		switch {
		case text == "null":
		case err != nil:
			return nil, false
		case arg.Type == "externref":
			n++ // 0 is null
		}
		words = append(words, n)
	}
	return words, true
}

func vector(kind string, lanes []any) (low, high uint64, ok bool) {
	bits := 128 / len(lanes)
	for i, l := range lanes {
		text, _ := l.(string)
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, 0, false
		}
		if at := i * bits; at < 64 {
			low |= n << at
		} else {
			high |= n << (at - 64)
		}
	}
	return low, high, kind != ""
}

// specSide is the suite run with the modules as they are, or rewritten.
type specSide struct {
	t       *testing.T
	runtime wazero.Runtime
	rewrite bool
	last    api.Module
	named   map[string]api.Module
	all     []api.Module
	spent   int64
}

func newSpecSide(t *testing.T, spectest []byte, rewrite bool) *specSide {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	if _, err := r.InstantiateWithConfig(t.Context(), spectest, wazero.NewModuleConfig()); err != nil {
		t.Fatal(err)
	}
	return &specSide{t: t, runtime: r, rewrite: rewrite, named: map[string]api.Module{}}
}

const specFuel, specDepth = int64(1) << 40, int32(1000)

// module instantiates a module and keeps it under its names.
func (s *specSide) module(code []byte, name string) error {
	if s.rewrite {
		res, err := Rewrite(code, Options{InitialFuel: specFuel, InitialDepth: specDepth, MaxTableElements: 1 << 30})
		if err != nil {
			return err
		}
		code = res.Module
	}
	m, err := s.runtime.InstantiateWithConfig(s.t.Context(), code, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	if s.last = m; err != nil {
		s.last = nil
		return err
	}
	s.named[name], s.all = m, append(s.all, m)
	return nil
}

// call invokes an export and tells its results, or that it trapped.
func (s *specSide) call(a *specAction, args []uint64) (res []uint64, trapped, ok bool) {
	m := s.last
	if a.Module != "" {
		m = s.named[strings.TrimPrefix(a.Module, "$")]
	}
	if m == nil {
		return nil, false, false
	}
	f := m.ExportedFunction(a.Field)
	if f == nil {
		return nil, false, false
	}
	if !s.rewrite {
		res, err := f.Call(s.t.Context(), args...)
		return res, err != nil, true
	}
	for _, m := range s.all {
		g := newGuest(s.t, m)
		g.fuel.Set(uint64(specFuel))
		g.depth.Set(api.EncodeI32(specDepth))
	}
	res, err := f.Call(s.t.Context(), args...)
	for _, m := range s.all {
		g := newGuest(s.t, m)
		s.spent += specFuel - int64(g.fuel.Get())
		if left := api.DecodeI32(g.depth.Get()); err == nil && left != specDepth {
			s.t.Errorf("%s: depth %d is left, want %d", a.Field, left, specDepth)
		}
	}
	return res, err != nil, true
}

// The official core tests: a rewritten module is accepted, returns and traps as the original does, and spends the same fuel
// whenever it runs. Those for SIMD are the most and run in the long form.
func TestCoreSpecification(t *testing.T) {
	dir := specDir(t)
	spectest, err := os.ReadFile(filepath.Join(dir, "testdata/spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "v2/testdata/*.json"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	calls, modules := 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if long := os.Getenv("GAIA_ACCEPTANCE") != ""; !long && strings.HasPrefix(name, "simd_") && name != "simd_const" && name != "simd_bitwise" {
			continue
		}
		n, m, spent := specOnce(t, file, name, spectest)
		if _, _, again := specOnce(t, file, name, spectest); again != spent {
			t.Errorf("%s: spent %d, then %d", name, spent, again)
		}
		calls, modules = calls+n, modules+m
	}
	if calls < 10_000 || modules < 500 {
		t.Errorf("only %d calls of %d modules were compared", calls, modules)
	}
	t.Logf("%d calls of %d modules", calls, modules)
}

func specOnce(t *testing.T, file, name string, spectest []byte) (calls, modules int, spent int64) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spec specFile
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	plain, metered := newSpecSide(t, spectest, false), newSpecSide(t, spectest, true)
	defer func() { _ = plain.runtime.Close(t.Context()); _ = metered.runtime.Close(t.Context()) }()
	for _, c := range spec.Commands {
		where := fmt.Sprintf("%s:%d", name, c.Line)
		switch c.Type {
		case "module", "assert_invalid", "assert_malformed", "assert_unlinkable", "assert_uninstantiable":
			if !strings.HasSuffix(c.Filename, ".wasm") {
				continue
			}
			code, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			id := strings.TrimPrefix(c.Name, "$")
			a, b := plain.module(code, id), metered.module(code, id)
			if (a == nil) != (b == nil) && !tooLarge(b) {
				t.Errorf("%s: instantiated as it is: %v; rewritten: %v", where, a, b)
			}
			modules++
		case "register":
			// The engine has no second name for an instance; what needs one is refused on both sides.
		case "action", "assert_return", "assert_trap":
			args, ok := c.Action.words()
			if c.Action.Type != "invoke" || !ok {
				continue
			}
			want, trapA, okA := plain.call(&c.Action, args)
			got, trapB, okB := metered.call(&c.Action, args)
			if okA != okB && metered.last == nil {
				continue // refused above
			}
			if okA != okB || trapA != trapB || !reflect.DeepEqual(want, got) && !slices.Equal(want, got) {
				t.Errorf("%s: %s%v = %v, trapped %v; rewritten %v, trapped %v", where, c.Action.Field, args, want, trapA, got, trapB)
			}
			calls++
		}
	}
	return calls, modules, metered.spent
}

// tooLarge reports that the rewriter, and not the engine, said no: by its limits.
func tooLarge(err error) bool { return errors.Is(err, ErrLimit) }
