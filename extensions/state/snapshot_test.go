package state

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"time"
)

// export gives the entries of s as JSON lines' values.
func export(t testing.TB, s *Store, now int64) [][]byte {
	t.Helper()
	var lines [][]byte
	s.Export(now, func(e Entry) bool {
		line, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("marshal %+v: %v", e, err)
		}
		lines = append(lines, line)
		return true
	})
	return lines
}

func TestExportImportRoundTrip(t *testing.T) {
	s := New(Limits{})
	mustSet(t, s, 0, "", Num(-0.25), 0)
	mustSet(t, s, 0, "text", Text("grün\x00\n"), 100)
	mustSet(t, s, 0, "latin1 \xfc", Text("\xff not UTF-8"), 0)
	mustSet(t, s, 0, "bytes", Bytes([]byte{0, 1, 0xfe}), 0)
	mustSet(t, s, 0, "no bytes", Bytes(nil), 0)
	mustSet(t, s, 0, "yes", Bool(true), 0)
	mustSet(t, s, 0, "no", Bool(false), 0)
	mustSet(t, s, 0, "gone", Num(1), 5)
	lines := export(t, s, 50)
	if len(lines) != 7 {
		t.Errorf("%d entries exported, want 7", len(lines))
	}
	back := New(Limits{})
	for _, line := range lines {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("unmarshal %s: %v", line, err)
		}
		if err := back.Import(60, e); err != nil {
			t.Fatalf("import %s: %v", line, err)
		}
	}
	for _, now := range []int64{60, 99, 100} {
		if got, want := contents(back, now), contents(s, now); !maps.Equal(got, want) {
			t.Errorf("at %d: %v, want %v", now, got, want)
		}
	}
	wantUsage(t, back, 7, back.Bytes())

	late := New(Limits{})
	if err := late.Import(100, Entry{Key: "text", Kind: KindText, Expires: 100}); err != nil {
		t.Errorf("import of what expired: %v", err)
	}
	wantUsage(t, late, 0, 0)
}

func TestEntryJSON(t *testing.T) {
	tests := []struct {
		e    Entry
		want string
	}{
		{Entry{Key: "p/n", Kind: KindNumber, Num: 1.5, Expires: 7}, `{"key":"p/n","kind":"number","num":1.5,"expires":7}`},
		{Entry{Key: "k", Kind: KindText, Text: "ü"}, `{"key":"k","kind":"text","text":"ü"}`},
		{Entry{Key: "k", Kind: KindBytes, Text: "\x00\x01"}, `{"key":"k","kind":"bytes","text_base64":"AAE="}`},
		{Entry{Key: "\xff", Kind: KindBool, Num: 1}, `{"key_base64":"/w==","kind":"bool","num":1}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.e)
		if err != nil || string(got) != tt.want {
			t.Errorf("%+v: %s, %v; want %s", tt.e, got, err, tt.want)
		}
		var back Entry
		if err := json.Unmarshal(got, &back); err != nil || back != tt.e {
			t.Errorf("%s: %+v, %v", got, back, err)
		}
	}
	for in, want := range map[string]error{
		`{"key":"k","kind":"float"}`:                            ErrKind,
		`{"key":"k","key_base64":"aw==","kind":"bool"}`:         ErrEntry,
		`{"key":"k","kind":"text","text":"a","text_base64":""}`: ErrEntry,
	} {
		var e Entry
		if err := json.Unmarshal([]byte(in), &e); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
	}
	if _, err := json.Marshal(Entry{Kind: 99}); !errors.Is(err, ErrKind) {
		t.Errorf("marshal of an unknown kind: %v", err)
	}
}

func TestImportRefuses(t *testing.T) {
	s := New(Limits{MaxKey: 10, MaxValue: 10})
	for name, tt := range map[string]struct {
		e    Entry
		want error
	}{
		"no kind":        {Entry{Key: "k"}, ErrKind},
		"unknown kind":   {Entry{Key: "k", Kind: 200}, ErrKind},
		"NaN":            {Entry{Key: "k", Kind: KindNumber, Num: math.NaN()}, ErrNumber},
		"a long key":     {Entry{Key: strings.Repeat("k", 11), Kind: KindBool}, ErrTooLarge},
		"a long text":    {Entry{Key: "k", Kind: KindText, Text: strings.Repeat("v", 11)}, ErrTooLarge},
		"expired, wrong": {Entry{Key: "k", Kind: 200, Expires: -1}, ErrKind},
	} {
		if err := s.Import(0, tt.e); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	wantUsage(t, s, 0, 0)
}

func FuzzImport(f *testing.F) {
	s := New(Limits{})
	mustSet(f, s, 0, "n", Num(1), time.Hour)
	mustSet(f, s, 0, "\xfft", Text("\xff"), 0)
	mustSet(f, s, 0, "b", Bytes([]byte{1, 2}), 0)
	mustSet(f, s, 0, "y", Bool(true), 0)
	for _, line := range export(f, s, 0) {
		f.Add(line)
	}
	f.Add([]byte(`{"key":"k","kind":"bool","num":1e308,"text":"x","expires":-9223372036854775808}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Entry
		if json.Unmarshal(line, &e) != nil {
			return
		}
		limits := Limits{MaxEntries: 1, MaxKey: 16, MaxValue: 16, MaxBytes: 24}
		s := New(limits)
		if err := s.Import(1000, e); err != nil {
			wantUsage(t, s, 0, 0)
			return
		}
		if s.Len() > 1 || s.Bytes() > 24 {
			t.Fatalf("limits broken by %+v", e)
		}
		// What was taken in comes out again, and goes in again.
		for _, line := range export(t, s, 1000) {
			var back Entry
			if err := json.Unmarshal(line, &back); err != nil {
				t.Fatalf("unmarshal %s: %v", line, err)
			}
			again := New(limits)
			if err := again.Import(1000, back); err != nil {
				t.Fatalf("import %s: %v", line, err)
			}
			if !maps.Equal(contents(s, 1000), contents(again, 1000)) {
				t.Fatalf("%v came back as %v", contents(s, 1000), contents(again, 1000))
			}
		}
	})
}
