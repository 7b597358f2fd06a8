package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/valyala/bytebufferpool"
)

// AppendJSON appends one JSON object with one member for each source: {"api":{"requests_total":1,...},...}, fields in schema order. A whole
// number below 2^53 has no fraction or exponent; NaN and infinities, which JSON has not, are null.
func AppendJSON(dst *bytebufferpool.ByteBuffer, srcs ...Source) {
	dst.B = append(dst.B, '{')
	for i, src := range srcs {
		if i > 0 {
			dst.B = append(dst.B, ',')
		}
		s := src.Schema()
		dst.B = append(dst.B, s.open...)
		dst.B = s.appendMembers(dst.B, src)
	}
	dst.B = append(dst.B, '}')
}

// AppendJSONOne appends the bare object of one source: {"requests_total":1,...}.
func AppendJSONOne(dst *bytebufferpool.ByteBuffer, src Source) {
	dst.B = append(dst.B, '{')
	dst.B = src.Schema().appendMembers(dst.B, src)
}

// appendMembers appends src's members and the closing brace.
func (s *Schema) appendMembers(b []byte, src Source) []byte {
	values := s.read(src)
	for i, v := range *values {
		b = append(b, s.labels[i]...)
		b = appendNumber(b, v)
	}
	s.scratch.Put(values)
	return append(b, '}')
}

// appendNumber appends v as JSON.
func appendNumber(b []byte, v float64) []byte {
	switch {
	case !finite(v):
		return append(b, "null"...)
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(b, int64(v), 10)
	default:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	}
}

// BlockHeader is the size in bytes of what precedes the values of a block.
const BlockHeader = 16

// ErrBlock is returned for bytes that are not a metrics block.
var ErrBlock = errors.New("metrics: malformed block")

// AppendBlock appends the block that a Wasm guest reads, little endian: u64 version, u32 count, u32 layout (see Layout), f64[count]
// in the order of srcs and their schemas. The version is the caller's: it changes it with every block, so that a guest that has the same one need not be
// written to.
func AppendBlock(dst *bytebufferpool.ByteBuffer, version uint64, srcs ...Source) {
	start := len(dst.B)
	b := binary.LittleEndian.AppendUint64(dst.B, version)
	b = binary.LittleEndian.AppendUint64(b, 0) // count and layout follow
	count, layout := 0, newLayout()
	for _, src := range srcs {
		s := src.Schema()
		values := s.read(src)
		for _, v := range *values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		count += len(*values)
		layout = layout.add(s)
		s.scratch.Put(values)
	}
	binary.LittleEndian.PutUint32(b[start+8:], uint32(count))
	binary.LittleEndian.PutUint32(b[start+12:], uint32(layout))
	dst.B = b
}

// DecodeBlock reads what AppendBlock wrote; b must be the block and nothing else, or the error is ErrBlock. Any bit pattern is a value.
func DecodeBlock(b []byte) (version uint64, layout uint32, values []float64, err error) {
	if len(b) < BlockHeader {
		return 0, 0, nil, fmt.Errorf("read %d bytes, a header has %d: %w", len(b), BlockHeader, ErrBlock)
	}
	version = binary.LittleEndian.Uint64(b)
	count := binary.LittleEndian.Uint32(b[8:])
	layout = binary.LittleEndian.Uint32(b[12:])
	b = b[BlockHeader:]
	if uint64(len(b)) != 8*uint64(count) {
		return 0, 0, nil, fmt.Errorf("read %d values from %d bytes: %w", count, len(b), ErrBlock)
	}
	values = make([]float64, count)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return version, layout, values, nil
}
