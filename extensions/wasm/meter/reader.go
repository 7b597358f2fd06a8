package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader walks b from p. The first failure sticks: from then on every read gives zero and p is at the end, so that loops over
// counts only have to look at err. Positions are offsets in the whole module because b starts where the module starts.
type reader struct {
	b   []byte
	p   int
	fn  int // function index for errors, -1 outside bodies
	err *Error
}

func (r *reader) fail(kind error, off int, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Kind: kind, Offset: off, Function: r.fn, Detail: fmt.Sprintf(format, args...)}
	}
	r.p = len(r.b)
}

func (r *reader) rest() int { return len(r.b) - r.p }

func (r *reader) byte() byte {
	if r.p < len(r.b) {
		c := r.b[r.p]
		r.p++
		return c
	}
	r.fail(ErrMalformed, len(r.b), "unexpected end")
	return 0
}

func (r *reader) take(n uint32, what string) []byte {
	if uint64(n) > uint64(r.rest()) {
		r.fail(ErrMalformed, r.p, "%s of %d bytes where %d are left", what, n, r.rest())
		return nil
	}
	s := r.b[r.p : r.p+int(n)]
	r.p += int(n)
	return s
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	if r.p < len(r.b) && r.b[r.p] < 0x80 {
		c := r.b[r.p]
		r.p++
		return uint32(c)
	}
	return r.u32Slow()
}

func (r *reader) u32Slow() uint32 {
	start := r.p
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			r.fail(ErrMalformed, start, "number longer than 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	return v
}

// skipSigned reads over a signed LEB128 number of the given width: 32 or 64 bits.
func (r *reader) skipSigned(bits int) {
	if r.p < len(r.b) && r.b[r.p] < 0x80 {
		r.p++
		return
	}
	r.signed(bits)
}

// signed reads a signed LEB128 number of the given width (32, 33 or 64 bits) and checks that the bits beyond the width of
// the last possible byte repeat the sign.
func (r *reader) signed(bits int) int64 {
	start := r.p
	var v int64
	for shift := 0; ; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if left := bits - shift; left <= 7 {
			high := int8(c<<1) >> left // arithmetic: all sign bits, or none
			if c >= 0x80 || high != 0 && high != -1 {
				r.fail(ErrMalformed, start, "number longer than %d bits", bits)
				return 0
			}
		}
		if c < 0x80 {
			if end := shift + 7; end < 64 {
				v = v << (64 - end) >> (64 - end)
			}
			return v
		}
	}
}

// count reads the length of a vector whose entries take at least size bytes each, so that a count can never make the caller
// allocate more than a small multiple of the input.
func (r *reader) count(what string, size, limit int) int {
	off := r.p
	n := r.u32()
	if int64(n)*int64(size) > int64(r.rest()) {
		r.fail(ErrMalformed, off, "%d %s in %d bytes", n, what, r.rest())
		return 0
	}
	if int64(n) > int64(limit) {
		r.fail(ErrLimit, off, "%d %s, at most %d", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) name(what string) string {
	off := r.p
	b := r.take(r.u32(), what)
	if !utf8.Valid(b) {
		r.fail(ErrMalformed, off, "%s is not UTF-8", what)
		return ""
	}
	return string(b)
}

// within runs f over the next n bytes alone and fails if f leaves some of them unread.
func (r *reader) within(n uint32, what string, f func()) {
	if uint64(n) > uint64(r.rest()) {
		r.fail(ErrMalformed, r.p, "%s of %d bytes where %d are left", what, n, r.rest())
		return
	}
	whole := r.b
	r.b = whole[:r.p+int(n)]
	f()
	if r.err == nil && r.p != len(r.b) {
		r.fail(ErrMalformed, r.p, "%d bytes too many in %s", r.rest(), what)
	}
	r.b = whole
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
