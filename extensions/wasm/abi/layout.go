package abi

// Module is the name that guests import from. It carries the major version.
const Module = "gaia_v1"

// Minor is the newest minor version that this host speaks.
const Minor = 1

// ManifestSection is the custom section that holds the manifest, a JSON object.
const ManifestSection = "gaia.manifest"

// Type is the type of a field in the shared memory, little endian.
type Type string

// The types of fields. Text is a reference: u32 offset from the start of the scratch area, u32 length in bytes.
const (
	U16  Type = "u16"
	U32  Type = "u32"
	I32  Type = "i32"
	U64  Type = "u64"
	I64  Type = "i64"
	F64  Type = "f64"
	Text Type = "text"
)

// Size returns the bytes of a value.
func (t Type) Size() int {
	switch t {
	case U16:
		return 2
	case U32, I32:
		return 4
	}
	return 8
}

// Align returns the alignment of a value.
func (t Type) Align() int {
	if t == Text {
		return 4
	}
	return t.Size()
}

// Field is one value at a fixed offset of a structure.
type Field struct {
	Name    string // snake_case
	Type    Type
	Offset  int
	Meaning string
}

// Struct is a structure without gaps. Later versions only add fields at its end.
type Struct struct {
	Name    string // snake_case
	Size    int
	Meaning string
	Fields  []Field
}

// Area is a part of the scratch area, which the guest lends the host once for each instance.
type Area struct {
	Name    string
	Offset  int
	Size    int
	Meaning string
}

// Areas returns the parts of the scratch area in order.
func Areas() []Area {
	return []Area{
		{"frame", 0, 8192, "what the hook is about; during gaia_configure the operator's parameters as a JSON object"},
		{"metrics", 8192, 4096, "the host's numbers: the metrics structure, then f64[count]"},
		{"answer", 12288, 4096, "written by the guest: u32 length, then that many bytes of records (with the EXT bit), or a message (gaia_configure)"},
	}
}

// Table returns the structures in the shared memory.
func Table() []Struct {
	return []Struct{frame(), upstream(), metrics(), peek(), value(), span()}
}

func frame() Struct {
	return Struct{"frame", 240, "header of the frame area; tables and texts follow it", []Field{
		{"length", U32, 0, "bytes of the frame: header, tables and texts"},
		{"minor", U16, 4, "minor version of the host"},
		{"flags", U16, 6, "see the flags of a frame"},
		{"hook", U32, 8, "which hook this is"},
		{"subsystem", U32, 12, "who asks: 0 api, 1 files, 2 browser, 3 process, 4 network"},
		{"attempt", U32, 16, "1 for the first"},
		{"priority", I32, 20, "0 to 9, 5 is normal"},
		{"now", I64, 24, "the clock, in ns since 1970"},
		{"deadline", I64, 32, "when the caller gives up, in ns since 1970; 0 never"},
		{"cost", I64, 40, "units of the limits, 1 unless told"},
		{"size", I64, 48, "bytes of the body, -1 unknown"},
		{"key_hash", U64, 56, "hash of key, as the import hash gives it"},
		{"tenant_hash", U64, 64, "hash of tenant"},
		{"action", Text, 72, "request, read, launch, ..."},
		{"key", Text, 80, "what limits count on"},
		{"method", Text, 88, "as in HTTP"},
		{"host", Text, 96, "lower case, with a port only where it is not the default"},
		{"tenant", Text, 104, "whom the operation is for"},
		{"path", Text, 112, "of the URL or file"},
		{"url", Text, 120, "as it will be sent, without credentials"},
		{"in_flight", I64, 128, "operations of this subsystem and key that are under way"},
		{"queued", I64, 136, "operations that wait to start"},
		{"rate", F64, 144, "ended operations per second"},
		{"error_rate", F64, 152, "share of them that failed, 0 to 1"},
		{"p50", I64, 160, "median duration in ns"},
		{"p95", I64, 168, "95th percentile of the durations in ns"},
		{"upstreams", U32, 176, "route hook: offset of upstream[upstream_count], else 0"},
		{"upstream_count", U32, 180, "route hook: how many are in the frame"},
		{"status", U32, 184, "response and done hooks: the status, 0 where there was no answer"},
		{"reserved", U32, 188, "0"},
		{"duration", I64, 192, "since the attempt started, in ns"},
		{"bytes", I64, 200, "of the answer's body, -1 while it is not known"},
		{"retry_after", I64, 208, "as the upstream asked, in ns; 0 where it did not"},
		{"sent", I64, 216, "when the attempt left, in ns since 1970"},
		{"error", Text, 224, "kind of failure, empty where there was an answer"},
		{"upstream", Text, 232, "name of the upstream that answered"},
	}}
}

func upstream() Struct {
	return Struct{"upstream", 64, "one candidate of the route hook", []Field{
		{"name", Text, 0, "what a decision names"},
		{"host", Text, 8, "its host"},
		{"weight", I32, 16, "its configured weight"},
		{"healthy", U32, 20, "1 healthy, 0 not"},
		{"in_flight", I64, 24, "operations under way"},
		{"error_rate", F64, 32, "share of operations that failed, 0 to 1"},
		{"p50", I64, 40, "median duration in ns"},
		{"p95", I64, 48, "95th percentile of the durations in ns"},
		{"remaining", I64, 56, "what its limits have left, -1 unknown"},
	}}
}

func metrics() Struct {
	return Struct{"metrics", 16, "header of the metrics area; f64[count] follow it", []Field{
		{"version", U64, 0, "changes with every block; 0: there was none yet"},
		{"count", U32, 8, "how many numbers follow"},
		{"layout", U32, 12, "hash of their names: a guest can refuse a layout it was not built for"},
	}}
}

func peek() Struct {
	return Struct{"peek", 32, "what limiter_peek writes", []Field{
		{"wait", I64, 0, "ns to wait: before acting where there is enough, until there is where not"},
		{"limit", I64, 8, "burst, maximum or learned quota; 0 unknown"},
		{"remaining", I64, 16, "whole units left, -1 unknown"},
		{"reset", I64, 24, "ns until it is full again"},
	}}
}

func value() Struct {
	return Struct{"value", 16, "what state_get writes", []Field{
		{"number", F64, 0, "a number; a bool as 0 or 1"},
		{"length", U32, 8, "full bytes of a text or of bytes, whatever the buffer took"},
		{"kind", U32, 12, "see the kinds of values"},
	}}
}

func span() Struct {
	return Struct{"span", 8, "a text in the guest's own memory: an entry of the list given to pick", []Field{
		{"pointer", U32, 0, "where it starts"},
		{"length", U32, 4, "its bytes"},
	}}
}
