package gatewaytest

import (
	"crypto/sha256"
	"io"
)

// pattern is an endless sequence of bytes in which no piece stands for another,
// so that bytes lost, repeated or out of place change a sum.
type pattern struct{ x uint64 }

func newPattern() *pattern { return &pattern{x: 0x9e3779b97f4a7c15} }

// Read fills p with xorshift64, eight bytes a step.
func (s *pattern) Read(p []byte) (int, error) {
	n := len(p) &^ 7
	if n == 0 && len(p) > 0 {
		n = len(p)
	}
	for i := 0; i < n; i += 8 {
		s.x ^= s.x << 13
		s.x ^= s.x >> 7
		s.x ^= s.x << 17
		for j := i; j < min(i+8, n); j++ {
			p[j] = byte(s.x >> (8 * (j - i)))
		}
	}
	return n, nil
}

// patternSum is the sum of the first size bytes, a multiple of 8.
func patternSum(size int64) [sha256.Size]byte {
	h := sha256.New()
	_, _ = io.CopyN(h, newPattern(), size)
	return [sha256.Size]byte(h.Sum(nil))
}
