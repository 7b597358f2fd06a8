package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// parseJSON reads one JSON document, with positions. A nil node is an empty one.
func parseJSON(data []byte) (*node, []*syntaxFault) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	if at := invalidUTF8(data); at.line > 0 {
		return nil, []*syntaxFault{syntaxErrorf(at, "not UTF-8 text")}
	}
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	// Only Unmarshal gives the offset of an error in the whole text.
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return nil, []*syntaxFault{r.syntax(err)}
	}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err != nil {
		var bounds *syntaxFault
		if !errors.As(err, &bounds) {
			bounds = syntaxErrorf(r.next(), "%s", firstLine(err.Error()))
		}
		return nil, append(r.faults, bounds)
	}
	return root, r.faults
}

// jsonReader walks the tokens of a document.
type jsonReader struct {
	data   []byte
	dec    *json.Decoder
	nodes  int
	faults []*syntaxFault
	// counted is how far line and col have been counted.
	counted int
	at      position
}

func (r *jsonReader) syntax(err error) *syntaxFault {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return syntaxErrorf(position{1, 1}, "%s", firstLine(err.Error()))
	}
	return syntaxErrorf(r.position(int(syntax.Offset)-1), "%s", syntax.Error())
}

// position counts lines and columns up to an offset, on from the last one.
func (r *jsonReader) position(offset int) position {
	offset = min(max(offset, 0), len(r.data))
	if r.at.line == 0 || offset < r.counted {
		r.counted, r.at = 0, position{1, 1}
	}
	for part := r.data[r.counted:offset]; len(part) > 0; {
		nl := bytes.IndexByte(part, '\n')
		if nl < 0 {
			r.at.col += utf8.RuneCount(part)
			break
		}
		r.at = position{r.at.line + 1, 1}
		part = part[nl+1:]
	}
	r.counted = offset
	return r.at
}

// next is the place of the token that comes next.
func (r *jsonReader) next() position {
	offset := int(r.dec.InputOffset())
	for offset < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[offset]) >= 0 {
		offset++
	}
	return r.position(offset)
}

func (r *jsonReader) value(depth int) (*node, error) {
	at := r.next()
	if r.nodes++; r.nodes > maxNodes {
		return nil, syntaxErrorf(at, "more than %d values", maxNodes)
	}
	if depth > maxDepth {
		return nil, syntaxErrorf(at, "nested too deeply")
	}
	tk, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := tk.(type) {
	case json.Delim:
		if v == '{' {
			return r.object(at, depth)
		}
		return r.array(at, depth)
	case string:
		return &node{kind: scalarKind, at: at, value: v, text: v}, nil
	case bool:
		return &node{kind: scalarKind, at: at, value: v, text: strconv.FormatBool(v)}, nil
	case json.Number:
		leaf := &node{kind: scalarKind, at: at, text: v.String()}
		if i, err := v.Int64(); err == nil {
			leaf.value = i
		} else if f, err := v.Float64(); err == nil {
			leaf.value = f
		} else {
			return nil, syntaxErrorf(at, "number %s is out of range", quote(leaf.text))
		}
		return leaf, nil
	}
	return &node{kind: nullKind, at: at}, nil
}

func (r *jsonReader) object(at position, depth int) (*node, error) {
	m := &node{kind: mappingKind, at: at}
	seen := map[string]position{}
	for r.dec.More() {
		keyAt := r.next()
		tk, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := tk.(string)
		if !ok {
			return nil, syntaxErrorf(keyAt, "want a name as the key")
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if first, ok := seen[name]; ok {
			r.faults = append(r.faults, syntaxErrorf(keyAt, "duplicate key %s, first in line %d", quote(name), first.line))
			continue
		}
		seen[name] = keyAt
		m.entries = append(m.entries, entry{name: name, at: keyAt, value: value})
	}
	_, err := r.dec.Token()
	return m, err
}

func (r *jsonReader) array(at position, depth int) (*node, error) {
	list := &node{kind: listKind, at: at}
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list.items = append(list.items, item)
	}
	_, err := r.dec.Token()
	return list, err
}
