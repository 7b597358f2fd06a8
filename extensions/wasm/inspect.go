package wasm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
	"github.com/gaia-host/gaia/extensions/wasm/meter"
)

// Info is what a module says about itself.
type Info struct {
	Size     int    // bytes
	Digest   string // "sha256:" and hexadecimal digits
	Manifest Manifest
	// ManifestText is the manifest as it stands in the module; nil where there is none.
	ManifestText []byte `json:"-"`
	Imports      []meter.Import
	Exports      []meter.Export
	Memory       meter.Memory
	Functions    int
	Languages    []string
	// Hooks is the set of hooks, if HooksKnown: gaia_hooks may compute it.
	Hooks      policy.Hooks
	HooksKnown bool
	// Problem says why the module cannot be a policy; nil if nothing is known that speaks against it.
	Problem error
}

// Inspect reads a module without compiling or running it. The error says that it is no module at all, or that its manifest is
// malformed; Info.Problem what keeps a sound module from being a policy.
func Inspect(code []byte) (Info, error) {
	m, err := meter.Inspect(code)
	if err != nil {
		return Info{}, err
	}
	info := Info{Size: len(code), Digest: digest(code), Imports: m.Imports, Exports: m.Exports, Memory: m.Memory,
		Functions: m.Functions, Languages: m.Languages}
	if info.Manifest, err = readManifest(&m); err != nil {
		return info, err
	}
	info.ManifestText, _ = m.Custom(abi.ManifestSection)
	info.Problem = checkInterface(&m)
	if n, ok := constantResult(code, &m, "gaia_hooks"); ok && checkHooks(n) == nil {
		info.Hooks, info.HooksKnown = policy.Hooks(n), true
	}
	return info, nil
}

func digest(code []byte) string {
	sum := sha256.Sum256(code)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// constantResult returns what an exported function without parameters returns, where its body only computes with constants: what
// compilers and linkers leave of a set of hooks. code was read by meter.Inspect before: its sections are sound.
func constantResult(code []byte, m *meter.Info, name string) (int32, bool) {
	at := -1
	for _, e := range m.Exports {
		if e.Name == name && e.Kind == "func" && e.Signature == "() -> i32" {
			at = e.Index
		}
	}
	for _, imp := range m.Imports {
		if imp.Kind == "func" {
			at--
		}
	}
	if at < 0 {
		return 0, false
	}
	body, ok := functionBody(code, at)
	if !ok || len(body) == 0 || body[0] != 0 { // no locals
		return 0, false
	}
	return evaluate(body[1:])
}

// Bytes of the binary format.
const (
	headerSize  = 8
	sectionCode = 10
	opEnd       = 0x0b
	opI32Const  = 0x41
	opI32Eqz    = 0x45
	opI32Ne     = 0x47
	opI32And    = 0x71
	opI32Or     = 0x72
	opI32Shl    = 0x74
)

// evaluate runs straight code of the few instructions above, and gives up at any other.
func evaluate(b []byte) (int32, bool) {
	var stack []int32
	for len(b) > 0 {
		op := b[0]
		b = b[1:]
		n := len(stack)
		switch {
		case op == opI32Const:
			v, size := signed(b)
			if size == 0 {
				return 0, false
			}
			stack, b = append(stack, int32(v)), b[size:]
		case op == opEnd:
			if n != 1 || len(b) > 0 {
				return 0, false
			}
			return stack[0], true
		case op == opI32Eqz && n > 0:
			stack[n-1] = int32(i32Bool(stack[n-1] == 0))
		case n > 1:
			v, ok := binary32(op, stack[n-2], stack[n-1])
			if !ok {
				return 0, false
			}
			stack = append(stack[:n-2], v)
		default:
			return 0, false
		}
	}
	return 0, false
}

func binary32(op byte, x, y int32) (int32, bool) {
	switch op {
	case opI32Ne:
		return int32(i32Bool(x != y)), true
	case opI32And:
		return x & y, true
	case opI32Or:
		return x | y, true
	case opI32Shl:
		return x << (uint32(y) & 31), true
	}
	return 0, false
}

// functionBody returns the bytes of the i-th function with a body: its locals and code.
func functionBody(code []byte, i int) ([]byte, bool) {
	for b := code[headerSize:]; len(b) > 0; {
		id := b[0]
		section, rest, ok := sized(b[1:])
		if !ok {
			return nil, false
		}
		if b = rest; id != sectionCode {
			continue
		}
		count, n := binary.Uvarint(section)
		if n <= 0 || uint64(i) >= count {
			return nil, false
		}
		section = section[n:]
		for ; i > 0; i-- {
			if _, section, ok = sized(section); !ok {
				return nil, false
			}
		}
		body, _, ok := sized(section)
		return body, ok
	}
	return nil, false
}

// sized cuts a length and that many bytes off b.
func sized(b []byte) (head, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	return b[n : n+int(size)], b[n+int(size):], true
}

// appendSized appends the length of data and data.
func appendSized(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}

// signed reads a signed LEB128 number of at most 5 bytes and returns how many it took.
func signed(b []byte) (v int64, n int) {
	for shift := 0; n < len(b) && n < 5; {
		c := b[n]
		n++
		v |= int64(c&0x7f) << shift
		shift += 7
		if c&0x80 == 0 {
			return v << (64 - shift) >> (64 - shift), n
		}
	}
	return 0, 0
}
