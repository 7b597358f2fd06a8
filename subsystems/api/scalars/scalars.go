// Package scalars reads named JSON scalars out of bodies that pass by: the first
// bytes of a request, and the last bytes or the events of an answer. It holds no
// stream back and is bounded in memory whatever passes. It is no validator: a
// document that is malformed elsewhere still gives what can be read.
package scalars

import (
	"bytes"
	"mime"
	"strings"

	"github.com/tidwall/gjson"
)

const (
	// MaxRead is how many bytes of a request, and of the end of an answer, are read.
	MaxRead = 64 << 10
	// maxValue is the longest text of a scalar that is given.
	maxValue = 1 << 10
)

// Names are the scalars that policies ask for: paths of object keys and array
// indexes joined by dots ("usage.total_tokens", "choices.0.index"). They are
// immutable and safe for concurrent use.
type Names struct {
	names []string
	paths []string // for gjson
	keys  [][]byte // the last key of each path, quoted: a document without it has no such value
}

// Compile prepares names.
func Compile(names []string) *Names {
	n := &Names{names: names, paths: make([]string, len(names)), keys: make([][]byte, len(names))}
	for i, name := range names {
		parts := strings.Split(name, ".")
		for j, p := range parts {
			parts[j] = gjson.Escape(p)
		}
		n.paths[i] = strings.Join(parts, ".")
		last := name[strings.LastIndexByte(name, '.')+1:]
		if strings.Trim(last, "0123456789") != "" { // an index does not stand in the document
			n.keys[i] = []byte(`"` + last + `"`)
		}
	}
	return n
}

// Values are the scalars found in one body: a policy.Lookup. It is for one
// goroutine at a time.
type Values struct {
	names *Names
	texts []string
	found []bool
}

// NewValues returns Values that hold nothing yet.
func NewValues(n *Names) *Values {
	return &Values{names: n, texts: make([]string, len(n.names)), found: make([]bool, len(n.names))}
}

// Lookup returns a scalar as text: a string's content, else as it stands in the
// JSON. Objects, arrays and null are absent.
func (v *Values) Lookup(name string) (string, bool) {
	for i, n := range v.names.names {
		if n == name {
			return v.texts[i], v.found[i]
		}
	}
	return "", false
}

// Scan reads what can be read of doc, whose end may be missing. A value that is
// found replaces an earlier one; of names that are repeated in doc the first counts.
func (v *Values) Scan(doc []byte) {
	for i, path := range v.names.paths {
		if k := v.names.keys[i]; k != nil && !bytes.Contains(doc, k) {
			continue
		}
		r := gjson.GetBytes(doc, path)
		switch r.Type {
		case gjson.String, gjson.Number, gjson.True, gjson.False:
		default:
			continue
		}
		if r.Index <= 0 || r.Index+len(r.Raw) >= len(doc) {
			continue // it may be cut off
		}
		if text := r.String(); r.Type != gjson.Number && len(text) <= maxValue {
			v.set(i, text)
		} else if r.Type == gjson.Number && len(r.Raw) <= maxValue {
			v.set(i, r.Raw)
		}
	}
}

func (v *Values) set(i int, text string) {
	v.texts[i], v.found[i] = text, true
}

// Kind says how a body is read.
type Kind int

// The kinds of bodies.
const (
	Other  Kind = iota // not read
	JSON               // one document
	Events             // server-sent events whose data are documents
)

// KindOf reads a Content-Type and a Content-Encoding. What is encoded is not read.
func KindOf(contentType, encoding string) Kind {
	if encoding != "" && !strings.EqualFold(encoding, "identity") {
		return Other
	}
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil && media == "":
		return Other
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return JSON
	case media == "text/event-stream":
		return Events
	}
	return Other
}
