package metrics

import (
	"fmt"
	"math"
	"sync"
)

// FieldKind says how a number moves.
type FieldKind uint8

// The kinds of a field.
const (
	Counter FieldKind = iota // only grows, from 0 at the start of the process
	Gauge                    // goes up and down
)

// String gives counter or gauge, the words of Prometheus.
func (k FieldKind) String() string {
	if k == Counter {
		return "counter"
	}
	return "gauge"
}

// Field describes one number. A counter's name ends in _total by convention; units are in the name (_seconds, _bytes).
type Field struct {
	Name string // [a-zA-Z_][a-zA-Z0-9_]*, unique in its schema
	Help string // one sentence
	Kind FieldKind
}

// Schema is the ordered, immutable list of the fields of one subsystem. A field's index is its identity: it is the same in every carrier. It is
// safe for concurrent use.
type Schema struct {
	subsystem string
	fields    []Field
	names     []string // of the fields
	index     map[string]int
	open      string   // JSON: "subsystem":{
	labels    []string // JSON: "name": with a comma before all but the first
	scratch   sync.Pool
}

// NewSchema makes the schema of a subsystem, whose name obeys the rule of field names. It panics on a bad or repeated
// name: a schema is written in the program, not read from outside.
func NewSchema(subsystem string, fields ...Field) *Schema {
	if !validName(subsystem) {
		panic(fmt.Sprintf("metrics: bad subsystem name %q", subsystem))
	}
	s := &Schema{
		subsystem: subsystem,
		fields:    append([]Field(nil), fields...),
		index:     make(map[string]int, len(fields)),
		open:      `"` + subsystem + `":{`,
		labels:    make([]string, len(fields)),
	}
	for i, f := range s.fields {
		if _, twice := s.index[f.Name]; twice || !validName(f.Name) {
			panic(fmt.Sprintf("metrics: bad or repeated field name %q in %s", f.Name, subsystem))
		}
		s.index[f.Name] = i
		s.names = append(s.names, f.Name)
		s.labels[i] = `"` + f.Name + `":`
		if i > 0 {
			s.labels[i] = "," + s.labels[i]
		}
	}
	s.scratch.New = func() any {
		values := make([]float64, 0, len(s.fields))
		return &values
	}
	return s
}

// Subsystem is the name of what the numbers are about.
func (s *Schema) Subsystem() string { return s.subsystem }

// Len is the number of fields.
func (s *Schema) Len() int { return len(s.fields) }

// Field gives the field at index i, 0 <= i < Len().
func (s *Schema) Field(i int) Field { return s.fields[i] }

// Index gives the index of the field called name, and false if there is none.
func (s *Schema) Index(name string) (int, bool) {
	i, ok := s.index[name]
	return i, ok
}

// Source offers the numbers of one subsystem. Read appends one value for each field of Schema, in its order, to dst[:0] and returns the
// result; it does not allocate if dst has room, and is safe for concurrent use. The values are read one by one: together they are no snapshot.
type Source interface {
	Schema() *Schema
	Read(dst []float64) []float64
}

// read gives src's values in a buffer that is the caller's until it hands it to s.scratch, s being src's schema.
func (s *Schema) read(src Source) *[]float64 {
	buf := s.scratch.Get().(*[]float64)
	*buf = src.Read((*buf)[:0])
	s.checkLen(*buf)
	return buf
}

// checkLen panics if a Source of s broke its contract.
func (s *Schema) checkLen(values []float64) {
	if len(values) != len(s.fields) {
		panic(fmt.Sprintf("metrics: %s gives %d values for %d fields", s.subsystem, len(values), len(s.fields)))
	}
}

// Names lists "subsystem.field" of all fields in the order in which AppendBlock writes sources of these schemas.
func Names(schemas ...*Schema) []string {
	var names []string
	for _, s := range schemas {
		for _, f := range s.fields {
			names = append(names, s.subsystem+"."+f.Name)
		}
	}
	return names
}

// Layout identifies the order and names of what AppendBlock writes for sources of these schemas: the 32-bit FNV-1a hash of Names, each name followed by
// a newline. A guest that knows the layout it was built for can refuse another.
func Layout(schemas ...*Schema) uint32 {
	l := newLayout()
	for _, s := range schemas {
		l = l.add(s)
	}
	return uint32(l)
}

// layout is a layout hash in the making.
type layout uint32

// FNV-1a, 32 bits: offset basis and prime. hash/fnv would allocate for every block.
const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

func newLayout() layout { return fnvOffset }

// add goes on with the fields of s.
func (l layout) add(s *Schema) layout {
	for i := range s.fields {
		l = l.text(s.subsystem).text(".").text(s.fields[i].Name).text("\n")
	}
	return l
}

func (l layout) text(s string) layout {
	for i := range len(s) {
		l = (l ^ layout(s[i])) * fnvPrime
	}
	return l
}

// validName reports whether name is [a-zA-Z_][a-zA-Z0-9_]*.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
