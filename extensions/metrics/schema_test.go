package metrics

import (
	"slices"
	"testing"
)

func TestSchema(t *testing.T) {
	fields := []Field{{"a_total", "A.", Counter}, {"b", "B.", Gauge}}
	s := NewSchema("api", fields...)
	fields[0].Name = "changed"
	if s.Subsystem() != "api" || s.Len() != 2 || s.Field(0).Name != "a_total" || s.Field(1).Kind != Gauge {
		t.Errorf("schema = %+v", s.fields)
	}
	if i, ok := s.Index("b"); i != 1 || !ok {
		t.Errorf("Index(b) = %d, %v", i, ok)
	}
	if _, ok := s.Index("changed"); ok {
		t.Error("the schema shares the caller's fields")
	}
	if Counter.String() != "counter" || Gauge.String() != "gauge" {
		t.Error("kinds are not in Prometheus' words")
	}
}

func TestSchemaRefusesBadNames(t *testing.T) {
	wantPanic(t, `metrics: bad subsystem name "a-b"`, func() { NewSchema("a-b") })
	wantPanic(t, `metrics: bad or repeated field name "" in api`, func() { NewSchema("api", Field{}) })
	wantPanic(t, `metrics: bad or repeated field name "x" in api`, func() { NewSchema("api", Field{Name: "x"}, Field{Name: "x"}) })
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "_": true, "A_9z": true, "z0": true,
		"": false, "9": false, "a-b": false, "a b": false, "ä": false, "a\"": false, "a.b": false,
	} {
		if validName(name) != want {
			t.Errorf("validName(%q) = %v", name, !want)
		}
	}
}

func TestLayout(t *testing.T) {
	a := NewSchema("a", Field{Name: "x"}, Field{Name: "y"})
	b := NewSchema("b", Field{Name: "x"})
	if got := Names(a, b); !slices.Equal(got, []string{"a.x", "a.y", "b.x"}) {
		t.Errorf("Names = %q", got)
	}
	// 0xab03cfe is the FNV-1a hash of "a.x\na.y\nb.x\n", computed apart from this program.
	if got := Layout(a, b); got != 0xab03cfe {
		t.Errorf("Layout = %#x, want %#x", got, 0xab03cfe)
	}
	others := [][]*Schema{{b, a}, {a}, {NewSchema("a", Field{Name: "y"}, Field{Name: "x"}), b}, {NewSchema("a", Field{Name: "xy"}), b}}
	for i, o := range others {
		if Layout(o...) == Layout(a, b) {
			t.Errorf("layout %d is not told apart", i)
		}
	}
}
