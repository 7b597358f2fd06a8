package scalars

import (
	"fmt"
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	for in, want := range map[[2]string]Kind{
		{"application/json", ""}:                             JSON,
		{"application/json; charset=utf-8", "identity"}:      JSON,
		{"application/problem+json", ""}:                     JSON,
		{"text/event-stream", ""}:                            Events,
		{"Text/Event-Stream; x", ""}:                         Events,
		{"application/json", "gzip"}:                         Other,
		{"text/html", ""}:                                    Other,
		{"", ""}:                                             Other,
		{"application/json\x00", ""}:                         Other,
		{strings.Repeat("a", 1<<16) + "/json; charset=", ""}: Other,
	} {
		if got := KindOf(in[0], in[1]); got != want {
			t.Errorf("KindOf(%.40q, %q) = %v, want %v", in[0], in[1], got, want)
		}
	}
}

func TestScanReadsTheBeginningOfADocument(t *testing.T) {
	n := Compile([]string{"model", "max_tokens", "a.b.0.c", "stream", "user", "a*"})
	for _, c := range []struct {
		doc  string
		want map[string]string
	}{
		{`{"model":"gpt \"4\"","max_tokens":500,"stream":true,"user":null}` + "\n", map[string]string{"model": `gpt "4"`, "max_tokens": "500", "stream": "true"}},
		{`{"messages":[{"max_tokens":1}],"max_tokens":2,"a":{"b":[{"c":1e3}]},"a*":7}` + "\n", map[string]string{"max_tokens": "2", "a.b.0.c": "1e3", "a*": "7"}},
		{`{"max_tokens":12`, nil},
		{`{"model":"gp`, nil},
		{`{"model":{"max_tokens":3},"max_tokens":[4]}` + "\n", nil},
		{`{"max_tokens":5,"messages":[{"content":"and so`, map[string]string{"max_tokens": "5"}},
		{`[{"max_tokens":1}]` + "\n", nil},
		{`{"model":"` + strings.Repeat("x", 2000) + `"}` + "\n", nil},
		{``, nil}, {`nonsense "max_tokens"`, nil}, {strings.Repeat(`{"a":`, 20000) + `"max_tokens"`, nil},
	} {
		v := NewValues(n)
		v.Scan([]byte(c.doc))
		for _, name := range n.names {
			got, ok := v.Lookup(name)
			if want, should := c.want[name]; ok != should || got != want && ok {
				t.Errorf("%.60s: %s = %q, %v; want %q, %v", c.doc, name, got, ok, want, should)
			}
		}
	}
}

// pass writes a body in pieces and returns what its end says of the name.
func pass(name string, k Kind, piece int, body string) (string, bool) {
	tap := NewTap(Compile([]string{name}), k)
	for len(body) > 0 {
		n := min(piece, len(body))
		tap.Write([]byte(body[:n]))
		body = body[n:]
	}
	v := tap.End()
	if tap.End() != nil {
		panic("ended twice")
	}
	return v.Lookup(name)
}

func TestTapReadsTheLastMembersOfALongAnswer(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":3,"total_tokens":1234}`
	long := func(n int, fill string) string { return strings.Repeat(fill, n/len(fill)+1)[:n] }
	for name, body := range map[string]string{
		"short":            `{"id":"x",` + usage + `}`,
		"long":             `{"choices":[{"content":"` + long(300_000, "ab c") + `"}],` + usage + `,"z":[1,{"a":"}"}]}` + "\r\n",
		"escapes":          `{"content":"` + long(200_000, `\\\"},{\"usage\":{\"total_tokens\":9},`) + `",` + usage + `}`,
		"arrays":           `{"data":[` + long(200_000, `{"a":[1,2]},`) + `0],` + usage + `}`,
		"first in a value": `{"data":{"x":` + `"` + long(64_000, "y") + `"},` + usage + `}`,
	} {
		for _, piece := range []int{1000, 4096, 100_000, 1 << 20} {
			if got, ok := pass("usage.total_tokens", JSON, piece, body); !ok || got != "1234" {
				t.Errorf("%s by %d: %q, %v", name, piece, got, ok)
			}
		}
	}
	for name, body := range map[string]string{
		"too early":        `{` + usage + `,"content":"` + long(200_000, "x") + `"}`,
		"not an object":    long(200_000, "x") + usage,
		"an open string":   `{` + usage + long(200_000, "x") + `"}`,
		"only backslashes": `{"a":"` + long(200_000, `\`) + `"}`,
		"nested":           `{"content":[` + long(200_000, "1,") + `1],"more":{` + usage + `}}`,
	} {
		if got, ok := pass("usage.total_tokens", JSON, 4096, body); ok {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTapReadsEvents(t *testing.T) {
	stream := "event: start\ndata: {\"usage\":{\"total_tokens\":1}}\n\n: comment\n\ndata: {\"delta\":\"text \\\"total_tokens\\\"\"}\n\n" +
		"data:{\"usage\":{\"total_tokens\":77}}\r\n\r\ndata: {\"usage\":null}\n\ndata: [DONE]\n\n"
	for piece := 1; piece < len(stream); piece++ {
		if got, ok := pass("usage.total_tokens", Events, piece, stream); !ok || got != "77" {
			t.Fatalf("by %d: %q, %v", piece, got, ok)
		}
	}
	tooLong := "data: {\"a\":\"" + strings.Repeat("x", MaxRead) + "\",\"usage\":{\"total_tokens\":5}}\n\n"
	if got, ok := pass("usage.total_tokens", Events, 4096, tooLong); ok {
		t.Errorf("an event over the bound gave %q", got)
	}
	if got, ok := pass("usage.total_tokens", Events, 4096, tooLong+stream); !ok || got != "77" {
		t.Errorf("after an event over the bound: %q, %v", got, ok)
	}
	if got, ok := pass("usage.total_tokens", Events, 4096, "data: {\"usage\":{\"total_tokens\":6}}"); !ok || got != "6" {
		t.Errorf("a last line without its end: %q, %v", got, ok)
	}
}

// FuzzTap holds that no body breaks a tap, that how it is cut does not matter, and
// that a value found in the end of a long document is the document's.
func FuzzTap(f *testing.F) {
	f.Add(`{"a":{"b":1},"c":"x"}`, 3, true)
	f.Add("data: {\"a\":{\"b\":2}}\n\n", 1, false)
	f.Add(`{"a":"\\\"},{`, 2, true)
	f.Fuzz(func(t *testing.T, body string, piece int, document bool) {
		piece = max(1, piece%(1<<17))
		k := Events
		if document {
			k = JSON
		}
		got, ok := pass("a.b", k, piece, body)
		again, ok2 := pass("a.b", k, len(body)+1, body)
		if got != again || ok != ok2 {
			t.Fatalf("%q cut by %d: %q, %v; whole: %q, %v", body, piece, got, ok, again, ok2)
		}
		pad := fmt.Sprintf(`{"pad":%q,"a":{"b":42},"last":%q}`, strings.Repeat("p", MaxRead), body)
		if len(pad) < 2*MaxRead {
			if got, ok := pass("a.b", JSON, piece, pad); len(body) < MaxRead/8 && (!ok || got != "42") {
				t.Fatalf("%q: %q, %v", body, got, ok)
			}
		}
	})
}
