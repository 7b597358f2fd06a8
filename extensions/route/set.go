package route

import "math/bits"

// Set holds indexes of upstreams. The zero Set is empty.
type Set [MaxUpstreams / 64]uint64

// Add puts i into the set.
func (s *Set) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Has reports whether i is in the set.
func (s *Set) Has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// Within reports whether all of s is in o.
func (s *Set) Within(o *Set) bool {
	for i := range s {
		if s[i]&^o[i] != 0 {
			return false
		}
	}
	return true
}

// Union is what is in s or in o.
func (s *Set) Union(o *Set) Set {
	var u Set
	for i := range s {
		u[i] = s[i] | o[i]
	}
	return u
}

// Len is how many are in the set.
func (s *Set) Len() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}
