package shadow

import (
	"github.com/gaia-host/gaia/extensions/policy"
)

// Bounds of what is copied of one message.
const (
	maxFields = 64
	maxBytes  = 16 << 10
)

// copyFields copies what can be listed, up to its bounds.
func copyFields(h policy.Lookup) policy.Lookup {
	names, ok := h.(policy.Names)
	if !ok {
		return nil
	}
	f, room := policy.Fields{}, maxBytes
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
	s := policy.Scalars{}
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
