package shadow

import (
	"net/textproto"

	"github.com/gaia-host/gaia/extensions/policy"
)

// Bounds of what is copied of one message.
const (
	maxFields = 64
	maxBytes  = 16 << 10
)

// fields are header fields that outlive the message, by canonical name.
type fields map[string]string

// Lookup implements policy.Lookup.
func (f fields) Lookup(name string) (string, bool) {
	v, ok := f[name]
	if !ok {
		v, ok = f[textproto.CanonicalMIMEHeaderKey(name)]
	}
	return v, ok
}

// AnyName implements policy.Names.
func (f fields) AnyName(match func(name string) bool) bool {
	for name := range f {
		if match(name) {
			return true
		}
	}
	return false
}

// scalars are values of a body that outlive it.
type scalars map[string]string

// Lookup implements policy.Lookup.
func (s scalars) Lookup(name string) (string, bool) {
	v, ok := s[name]
	return v, ok
}

// copyFields copies what can be listed, up to its bounds.
func copyFields(h policy.Lookup) policy.Lookup {
	names, ok := h.(policy.Names)
	if !ok {
		return nil
	}
	f, room := fields{}, maxBytes
	var list []string
	names.AnyName(func(name string) bool {
		list = append(list, name)
		return len(list) == maxFields
	})
	for _, name := range list {
		if v, ok := h.Lookup(name); ok && len(name)+len(v) <= room {
			f[name] = v
			room -= len(name) + len(v)
		}
	}
	return f
}

func copyScalars(b policy.Lookup, names []string) policy.Lookup {
	if b == nil || len(names) == 0 {
		return nil
	}
	s := scalars{}
	for _, name := range names {
		if v, ok := b.Lookup(name); ok {
			s[name] = v
		}
	}
	return s
}

// copyOf is an answer to n that outlives the call.
func copyOf(n *Note, res *policy.Response) *policy.Response {
	out := *res
	out.Header, out.Body = copyFields(res.Header), copyScalars(res.Body, n.names)
	return &out
}
