package files

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestJSONAndXMLAreReallyParsed(t *testing.T) {
	m, dir := newManager(t, func(c *Config) { c.MaxDepth = 5 })
	write := func(text string) Ref {
		mustWrite(t, filepath.Join(dir, "f"), text)
		return data("f")
	}
	var v struct{ A []int }
	if _, err := m.JSON(t.Context(), write(`{"a":[1,2]}`), &v, Options{}); err != nil || !slices.Equal(v.A, []int{1, 2}) {
		t.Error(v, err)
	}
	for text, where := range map[string]string{
		"{\"a\":\n  }": "2:3", `{"a":1} x`: "1:9", `[[[[[[1]]]]]]`: "1:6", ``: "", `{"a":"x"}`: "1:8",
	} {
		if _, err := m.JSON(t.Context(), write(text), &v, Options{}); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), where) || Status(err) != 422 {
			t.Errorf("%q: %v, want it at %s", text, err, where)
		}
	}
	n, err := m.XML(t.Context(), write(`<?xml version="1.0"?><a x="1" xmlns:n="u"><n:b>one</n:b> two <b/></a>`), Options{})
	if err != nil || n.Name != "a" || n.Attrs["x"] != "1" || n.Text != "two" || len(n.Children) != 2 || n.Children[0].Space != "u" || n.Children[0].Text != "one" {
		t.Errorf("%+v, %v", n, err)
	}
	for _, text := range []string{"", "text", "<a>", "<a></b>", "<a/><b/>", "<a/>x", "<a><a><a><a><a><a/></a></a></a></a></a>",
		`<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>`, "<a>\xff</a>"} {
		if _, err := m.XML(t.Context(), write(text), Options{}); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
