package config

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Redacted returns the configuration as maps, lists and plain values with the
// keys of the file, secrets shown as "***". Keys that were left unset are left out.
func (c *Config) Redacted() any { return redact(reflect.ValueOf(c).Elem()) }

// MarshalJSON encodes Redacted.
func (c *Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.Redacted()) }

// JSON returns Redacted as indented JSON.
func (c *Config) JSON() ([]byte, error) { return json.MarshalIndent(c.Redacted(), "", "  ") }

func redact(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return redact(v.Elem())
	case reflect.Struct, reflect.Int64:
		if s, ok := v.Interface().(fmt.Stringer); ok { // Secret, URL, Duration, ByteSize
			return s.String()
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			field := v.Field(i)
			if !isUnset(field) {
				m[v.Type().Field(i).Tag.Get("koanf")] = redact(field)
			}
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for _, key := range v.MapKeys() {
			m[key.String()] = redact(v.MapIndex(key))
		}
		return m
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = redact(v.Index(i))
		}
		return list
	}
	return v.Interface()
}

// isUnset reports a field that says nothing: nil, or a URL that is not there.
func isUnset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return v.IsNil()
	case reflect.Struct:
		u, ok := v.Interface().(URL)
		return ok && u.IsZero()
	}
	return false
}
