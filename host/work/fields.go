package work

import (
	"encoding/json"
	"reflect"
	"strings"
)

// Field describes one field of an input. It comes from the struct field: the name
// from its json tag, `doc:"..."` says what it is, `need:"yes"` that it must be
// given, `arg:"yes"` that the command takes it as an argument (in the order of the
// fields; a list takes the rest), `short:"f"` that its flag has a letter, `one:"a b c"`
// which words it may be.
type Field struct {
	Name     string   `json:"name"`
	Kind     Kind     `json:"type"`
	Doc      string   `json:"doc,omitempty"`
	Required bool     `json:"required,omitempty"`
	OneOf    []string `json:"one_of,omitempty"`
	Argument bool     `json:"-"`
	Short    string   `json:"-"` // of the command's flag, a letter; "" none
	index    []int
}

// Kind is the type of a field, as the list of actions names it.
type Kind string

// The kinds of a field.
const (
	Text     Kind = "text"
	Bool     Kind = "bool"
	Integer  Kind = "integer"
	Number   Kind = "number"
	Time     Kind = "duration"
	Bytesize Kind = "size"
	Texts    Kind = "list of texts"
	TextMap  Kind = "map of texts"
	Value    Kind = "json" // anything else
)

// fieldsOf describes the fields of a struct in their order. Those of an embedded
// struct are its own.
func fieldsOf(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, in := range fieldsOf(f.Type) {
				in.index = append([]int{i}, in.index...)
				fields = append(fields, in)
			}
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields = append(fields, Field{Name: name, Kind: kindOf(f.Type), Doc: f.Tag.Get("doc"), Required: f.Tag.Get("need") == "yes",
			OneOf: strings.Fields(f.Tag.Get("one")), Argument: f.Tag.Get("arg") == "yes", Short: f.Tag.Get("short"), index: []int{i}})
	}
	return fields
}

func kindOf(t reflect.Type) Kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return Time
	case reflect.TypeFor[Size]():
		return Bytesize
	case reflect.TypeFor[[]string]():
		return Texts
	case reflect.TypeFor[map[string]string]():
		return TextMap
	case reflect.TypeFor[json.RawMessage]():
		return Value
	}
	switch t.Kind() {
	case reflect.String:
		return Text
	case reflect.Bool:
		return Bool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return Integer
	case reflect.Float64, reflect.Float32:
		return Number
	}
	return Value
}

// namesOf lists the names of all fields, of nested structs too, for suggestions.
func namesOf(t reflect.Type, seen map[reflect.Type]bool) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return nil
	}
	seen[t] = true
	var names []string
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
		names = append(names, namesOf(t.Field(i).Type, seen)...)
	}
	return names
}
