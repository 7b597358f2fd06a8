package files

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// JSON reads the file, which must be one JSON value, into v as encoding/json does.
// A nil v only checks it. Values may be max_depth within each other. Errors: ErrSyntax with line and
// column, and those of Read.
func (m *Manager) JSON(ctx context.Context, ref Ref, v any, o Options) ([]byte, error) {
	data, err := m.read(ctx, "json", ref, &o)
	if err != nil {
		return nil, err
	}
	if err := m.parseJSON(data, v); err != nil {
		return nil, &Error{"json", ref.Root, ref.Path, err}
	}
	return data, nil
}

func (m *Manager) parseJSON(data []byte, v any) error {
	if err := checkDepth(data, m.live.Load().MaxDepth); err != nil {
		return err
	}
	if v == nil {
		v = new(json.RawMessage)
	}
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%w: %s: %w", ErrSyntax, position(data, syntax.Offset), err)
	case errors.As(err, &kind):
		return fmt.Errorf("%w: %s: %w", ErrSyntax, position(data, kind.Offset), err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return nil
}

// checkDepth refuses JSON that nests deeper than most, 0 for any depth. What is no
// JSON is left for the parser to say.
func checkDepth(data []byte, most int) error {
	if most == 0 {
		return nil
	}
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return fmt.Errorf("%w: %s: more than %d values within each other", ErrSyntax, position(data, int64(i+1)), most)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// position is line:column of the byte before offset.
func position(data []byte, offset int64) string {
	before := data[:max(min(offset, int64(len(data)))-1, 0)]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("%d:%d", line, column)
}

// Node is an element of an XML document.
type Node struct {
	Name     string            `json:"name"`
	Space    string            `json:"space,omitempty"` // its namespace
	Attrs    map[string]string `json:"attrs,omitempty"`
	Text     string            `json:"text,omitempty"` // all character data right in it, without space around
	Children []*Node           `json:"children,omitempty"`
}

// maxNodes bounds the elements of a document: each costs far more memory than bytes.
const maxNodes = 1 << 20

// XML reads the file, which must be one XML document in UTF-8, as a tree. Entities
// of a document's own are not known. Elements may be max_depth within each other.
// Errors: ErrSyntax with line and column, and those of Read.
func (m *Manager) XML(ctx context.Context, ref Ref, o Options) (*Node, error) {
	data, err := m.read(ctx, "xml", ref, &o)
	if err != nil {
		return nil, err
	}
	n, err := parseXML(data, m.live.Load().MaxDepth)
	if err != nil {
		return nil, &Error{"xml", ref.Root, ref.Path, err}
	}
	return n, nil
}

func parseXML(data []byte, depth int) (*Node, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	t := tree{most: depth}
	for {
		token, err := d.Token()
		end := errors.Is(err, io.EOF)
		if end && t.top != nil && len(t.open) == 0 {
			return t.top, nil
		} else if end {
			err = errors.New("no element")
		}
		if err == nil {
			err = t.add(token)
		}
		if err != nil {
			line, column := d.InputPos()
			return nil, fmt.Errorf("%w: %d:%d: %w", ErrSyntax, line, column, err)
		}
	}
}

// tree is a document in the making.
type tree struct {
	top   *Node
	open  []*Node
	text  []strings.Builder // of open
	nodes int
	most  int
}

func (t *tree) add(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return t.start(token)
	case xml.EndElement:
		last := len(t.open) - 1
		t.open[last].Text = strings.TrimSpace(t.text[last].String())
		t.open, t.text = t.open[:last], t.text[:last]
	case xml.CharData:
		if last := len(t.open) - 1; last >= 0 {
			t.text[last].Write(token)
		} else if len(bytes.TrimSpace(token)) > 0 {
			return errors.New("text outside of the element")
		}
	}
	return nil
}

func (t *tree) start(e xml.StartElement) error {
	if t.nodes++; t.nodes > maxNodes {
		return fmt.Errorf("more than %d elements", maxNodes)
	}
	if t.most > 0 && len(t.open) >= t.most {
		return fmt.Errorf("more than %d elements within each other", t.most)
	}
	n := &Node{Name: e.Name.Local, Space: e.Name.Space}
	for _, a := range e.Attr {
		if n.Attrs == nil {
			n.Attrs = map[string]string{}
		}
		name := a.Name.Local
		if a.Name.Space != "" {
			name = a.Name.Space + ":" + name
		}
		n.Attrs[name] = a.Value
	}
	if last := len(t.open) - 1; last >= 0 {
		t.open[last].Children = append(t.open[last].Children, n)
	} else if t.top != nil {
		return errors.New("a second element at the top")
	} else {
		t.top = n
	}
	t.open = append(t.open, n)
	t.text = append(t.text, strings.Builder{})
	return nil
}
