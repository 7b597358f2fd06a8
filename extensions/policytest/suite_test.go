package policytest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/natives"
)

// reference opens the Go policy of the conformance suite, whatever file is named.
func reference(_ context.Context, _ string, s Setup, tx *natives.Tx) (Opened, error) {
	p, err := NewReference(tx.Scope(natives.ScopeConfig{Policy: "conform", Local: true, Params: s.Params}))
	return Opened{Policy: p}, err
}

func runCases(t *testing.T, text string) ([]Result, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.test.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Suite{Open: reference, Clock: time.Now}
	return s.RunFile(t.Context(), file)
}

func TestCasesInJSON(t *testing.T) {
	got, err := runCases(t, `{"policy": "x.js", "cases": [
{"name": "good", "steps": [
  {"onRequest": {"method": "deny", "host": "h"}, "want": {"action": "deny"}},
  {"onTick": {}}, {"advance": "2s", "want": 946684802000}, {"state": "nothing", "want": null}]},
{"name": "bad", "steps": [
  {"onRequest": {"method": "deny", "host": "h"}, "want": {"action": "allow"}},
  {"onRequest": {"method": "fail", "host": "h"}},
  {"level": "none", "want": {}},
  {"advance": "20000h", "want_error": "nothing"}, {"advance": "200000h"}]},
{"name": "later", "skip": true}]}`)
	if err != nil || len(got) != 3 || !got[0].Passed() || got[0].Checks != 3 || !got[2].Skipped {
		t.Fatalf("%+v, %v", got, err)
	}
	var lines []int
	for _, f := range got[1].Failures {
		lines = append(lines, f.At.Line)
	}
	if len(lines) != 5 || lines[0] != 6 || lines[1] != 7 || lines[2] != 8 || lines[4] != 9 {
		t.Errorf("lines %v: %+v", lines, got[1].Failures)
	}
}

func TestCasesAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		``:                             "EOF",
		`{}`:                           "no cases",
		`{"cases": [{"name": "a"}]} x`: "more after",
		`{"cases": [{"steps": []}]}`:   "has no name",
		`{"cases": [{"name": "a", "steps": [{}]}]}`:                                           "want one of",
		`{"cases": [{"name": "a", "steps": [{"advance": 1, "state": "x"}]}]}`:                 "want one of",
		`{"cases": [{"name": "a", "steps": [{"advance": 1, "times": 9999999}]}]}`:             "times",
		`{"cases": [{"name": "a", "steps": [{"advance": 1, "want": 1, "want_error": "x"}]}]}`: "one of them",
		`{"cases": [{"name": "a", "stops": []}]}`:                                             `unknown field "stops"`,
	} {
		if _, err := runCases(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestReportsCanBeRead(t *testing.T) {
	r := &Report{}
	r.Add([]Result{{File: "a", Name: "<\x00&>", Failures: []Failure{{At: Place{"a", 3}, Message: "no\x01", Decision: json.RawMessage(`{"action":"deny","ledger":[{"name":"l","ok":false,"cost":2}]}`)}}},
		{File: "a", Name: "ok", Checks: 1}, {File: "a", Name: "s", Skipped: true}}, time.Second)
	r.Finish()
	if r.OK || r.Passed != 1 || r.Failed != 1 || r.Skipped != 1 {
		t.Errorf("%+v", r)
	}
	var text, js, junit bytes.Buffer
	if err := r.WriteText(&text, false); err != nil || !strings.Contains(text.String(), "a:3: no") || !strings.Contains(text.String(), "l refused 2") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := r.WriteJSON(&js); err != nil || !json.Valid(js.Bytes()) {
		t.Errorf("%v\n%s", err, js.String())
	}
	var back junitSuite
	if err := r.WriteJUnit(&junit); err != nil || xml.Unmarshal(junit.Bytes(), &back) != nil || back.Tests != 3 || len(back.Cases) != 3 {
		t.Errorf("%v\n%s", err, junit.String())
	}
	empty := &Report{}
	if empty.Finish(); empty.OK {
		t.Error("nothing was tested, and that is well")
	}
}

func FuzzParseCases(f *testing.F) {
	f.Add([]byte(`{"policy": "p.js", "cases": [{"name": "a", "steps": [{"onRequest": {}, "want": {"action": "allow"}}, {"advance": "1s"}]}]}`))
	f.Add([]byte(`{"cases": [{"name": "a", "steps": [{}, {}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, steps, err := parseCases("f", data)
		if err != nil {
			return
		}
		if len(file.Cases) != len(steps) {
			t.Fatal("a case without its steps")
		}
		for _, list := range steps {
			for _, s := range list {
				if s.at.Line < 1 || s.at.Line > bytes.Count(data, []byte("\n"))+1 {
					t.Fatalf("line %d", s.at.Line)
				}
			}
		}
	})
}
