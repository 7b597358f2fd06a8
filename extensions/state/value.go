package state

import (
	"fmt"
	"math"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds of a Value. KindNone is the zero Value: no entry.
const (
	KindNone Kind = iota
	KindNumber
	KindText
	KindBool
	KindBytes
)

// kindNames are the names of kinds in text and JSON, by Kind.
var kindNames = [...]string{KindNone: "none", KindNumber: "number", KindText: "text", KindBool: "bool", KindBytes: "bytes"}

// String gives the kind's name: none, number, text, bool or bytes.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText gives the kind's name; an unknown kind is ErrKind.
func (k Kind) MarshalText() ([]byte, error) {
	if int(k) >= len(kindNames) {
		return nil, fmt.Errorf("write kind %d: %w", uint8(k), ErrKind)
	}
	return []byte(kindNames[k]), nil
}

// UnmarshalText reads a kind's name; an unknown name is ErrKind.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if string(text) == name {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("read kind %.32q: %w", text, ErrKind)
}

// Value is one stored value. The zero Value is "none". It is immutable and may be copied and shared freely.
type Value struct {
	Kind Kind
	Num  float64 // a number; a bool as 0 or 1
	Text string  // a text, or bytes
}

// Num is a number. Only finite numbers can be stored.
func Num(f float64) Value { return Value{Kind: KindNumber, Num: f} }

// Text is a text.
func Text(s string) Value { return Value{Kind: KindText, Text: s} }

// Bytes is a copy of b.
func Bytes(b []byte) Value { return Value{Kind: KindBytes, Text: string(b)} }

// Bool is true or false.
func Bool(b bool) Value {
	v := Value{Kind: KindBool}
	if b {
		v.Num = 1
	}
	return v
}

// Equal reports whether v and w are of one kind and hold the same; fields that the kind does not use do not count.
func (v Value) Equal(w Value) bool {
	if v.Kind != w.Kind {
		return false
	}
	switch v.Kind {
	case KindNumber:
		return v.Num == w.Num
	case KindBool:
		return (v.Num != 0) == (w.Num != 0)
	case KindText, KindBytes:
		return v.Text == w.Text
	default:
		return true
	}
}

// size is what v counts for in Limits.MaxValue and Limits.MaxBytes.
func (v Value) size() int {
	switch v.Kind {
	case KindNumber:
		return 8
	case KindBool:
		return 1
	case KindText, KindBytes:
		return len(v.Text)
	default:
		return 0
	}
}

// clean checks a value that is to be stored and clears the fields that its kind does not use.
func (v Value) clean() (Value, error) {
	switch v.Kind {
	case KindNumber:
		if !finite(v.Num) {
			return Value{}, ErrNumber
		}
		return Num(v.Num), nil
	case KindBool:
		return Bool(v.Num != 0), nil
	case KindText, KindBytes:
		return Value{Kind: v.Kind, Text: v.Text}, nil
	default:
		return Value{}, fmt.Errorf("store a value of kind %v: %w", v.Kind, ErrKind)
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
