package gatewaytest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
)

func TestReference(t *testing.T) { Run(t, startReference) }

// TestVerdicts holds the table's verdicts to what net/http says, exactly: the
// suite itself compares only whether a request is served or refused.
func TestVerdicts(t *testing.T) {
	for _, m := range malformedTable() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, startReference)
			rec := f.recorder()
			addr := f.gateway(Config{MaxHeaderBytes: 1 << 20, Routes: upRoute("http://" + rec.addr)})
			if got := f.verdict(addr, m); got != m.verdict {
				t.Errorf("net/http answers %d, the table says %d", got, m.verdict)
			}
		})
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	all := groups()
	for _, g := range all {
		for _, b := range g.behaviours {
			name := g.name + "/" + b.name
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
			if !known(all, name) || !known(all, g.name) {
				t.Errorf("%s cannot be skipped", name)
			}
		}
	}
	if known(all, "plain/no-such") {
		t.Errorf("a behaviour that is not there is known")
	}
}

func TestAmbiguous(t *testing.T) {
	const line = "GET / HTTP/1.1\r\nHost: a\r\n"
	for head, want := range map[string]string{
		line + "\r\n":                               "",
		line + "Content-Length: 5\r\n\r\n":          "",
		line + "transfer-encoding: Chunked\r\n\r\n": "",
		line:                                  "a head without an end",
		line + "X: a\nb\r\n\r\n":              "a bare CR or LF or a NUL",
		"GET / x HTTP/1.1\r\nHost: a\r\n\r\n": "a bad request line",
		line + "X : a\r\n\r\n":                "a bad field line",
		"GET / HTTP/1.1\r\n\r\n":              "not one Host",
		line + "Host: b\r\n\r\n":              "not one Host",
		line + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n":          "more than one framing",
		line + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n": "more than one framing",
		line + "Content-Length: +5\r\n\r\n":                              "a bad Content-Length",
		line + "Transfer-Encoding: identity\r\n\r\n":                     "a bad Transfer-Encoding",
	} {
		if got := ambiguous(head); got != want {
			t.Errorf("%q: got %q, want %q", head, got, want)
		}
	}
}

func TestPattern(t *testing.T) {
	whole := make([]byte, 4096)
	_, _ = io.ReadFull(newPattern(), whole)
	var parts []byte
	for src := newPattern(); len(parts) < len(whole); {
		piece := make([]byte, 24) // not a divisor of the whole
		n, _ := src.Read(piece)
		parts = append(parts, piece[:n]...)
	}
	if !bytes.Equal(whole, parts[:len(whole)]) {
		t.Error("the bytes depend on how they are read")
	}
	if patternSum(4096) != sha256.Sum256(whole) {
		t.Error("the sum is not that of the bytes")
	}
}
