package wasm

import (
	"encoding/binary"
	"log/slog"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
)

// wasiModule is the module of the functions that Go's runtime and wasi-libc link.
const wasiModule = "wasi_snapshot_preview1"

// Error numbers of WASI.
const (
	wasiOK    = 0
	wasiBadF  = 8
	wasiInval = 28
)

// Sizes of WASI's structures in bytes, and the most subscriptions of one poll.
const (
	wasiFdstat       = 24
	wasiSubscription = 48
	wasiEvent        = 32
	maxSubscriptions = 16
	maxVectors       = 64
	maxRandom        = 4096
	charDevice       = 2
)

// wasiDefs are stubs: no arguments, no environment, no files; standard output and error are logged; the clock is the hook's (and
// never 0, which Go's runtime takes for a broken one); sleeping returns at once; randomness is the same fixed sequence in each
// instance, so that a run can be repeated: it is no secret.
func wasiDefs() map[string]hostDef {
	badF := func(_ *guest, s []uint64) { s[0] = wasiBadF }
	std := func(_ *guest, s []uint64) {
		fd := uint32(s[0])
		if s[0] = wasiOK; fd > 2 {
			s[0] = wasiBadF
		}
	}
	defs := map[string]hostDef{}
	add := func(name string, fn hostFunc, params ...string) {
		defs[name] = hostDef{fn: fn, params: valueTypes(params...), results: valueTypes("i32"), signature: "(" + strings.Join(params, ", ") + ") -> i32"}
	}
	add("args_get", func(_ *guest, s []uint64) { s[0] = wasiOK }, "i32", "i32")
	add("args_sizes_get", wasiSizes, "i32", "i32")
	add("environ_get", func(_ *guest, s []uint64) { s[0] = wasiOK }, "i32", "i32")
	add("environ_sizes_get", wasiSizes, "i32", "i32")
	add("clock_time_get", func(g *guest, s []uint64) { g.wasiTime(s, 2, uint64(max(g.call.Now(), 1))) }, "i32", "i64", "i32")
	add("clock_res_get", func(g *guest, s []uint64) { g.wasiTime(s, 1, 1) }, "i32", "i32")
	add("random_get", wasiRandom, "i32", "i32")
	add("sched_yield", func(_ *guest, s []uint64) { s[0] = wasiOK })
	add("poll_oneoff", wasiPoll, "i32", "i32", "i32", "i32")
	add("fd_write", wasiWrite, "i32", "i32", "i32", "i32")
	add("fd_read", badF, "i32", "i32", "i32", "i32")
	add("fd_seek", badF, "i32", "i64", "i32", "i32")
	add("fd_close", std, "i32")
	add("fd_fdstat_get", wasiFdstatGet, "i32", "i32")
	add("fd_fdstat_set_flags", std, "i32", "i32")
	add("fd_prestat_get", badF, "i32", "i32")
	add("fd_prestat_dir_name", badF, "i32", "i32", "i32")
	exit := hostDef{params: valueTypes("i32"), signature: "(i32) -> ()",
		fn: func(g *guest, s []uint64) { g.trap(policy.FaultTrap, "the guest exited with status %d", uint32(s[0])) }}
	defs["proc_exit"] = exit
	return defs
}

func wasiSizes(g *guest, s []uint64) {
	clear(g.bytes(s[0], 4))
	clear(g.bytes(s[1], 4))
	s[0] = wasiOK
}

// wasiTime writes a time to the pointer in parameter at.
func (g *guest) wasiTime(s []uint64, at int, v uint64) {
	binary.LittleEndian.PutUint64(g.bytes(s[at], 8), v)
	s[0] = wasiOK
}

// wasiRandom fills a buffer by splitmix64 (Steele, Lea and Flood, 2014).
func wasiRandom(g *guest, s []uint64) {
	if uint32(s[1]) > maxRandom {
		s[0] = wasiInval
		return
	}
	b := g.bytes(s[0], s[1])
	for i := range b {
		if i%8 == 0 {
			g.random += 0x9e3779b97f4a7c15
		}
		z := g.random
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		b[i] = byte((z ^ z>>31) >> (i % 8 * 8))
	}
	s[0] = wasiOK
}

// wasiPoll reports every subscription as fulfilled.
func wasiPoll(g *guest, s []uint64) {
	n := uint64(uint32(s[2]))
	if n == 0 || n > maxSubscriptions {
		s[0] = wasiInval
		return
	}
	in, out := g.bytes(s[0], n*wasiSubscription), g.bytes(s[1], n*wasiEvent)
	for i := range int(n) {
		var event [wasiEvent]byte
		copy(event[:8], in[i*wasiSubscription:]) // what the subscriber knows it by
		event[10] = in[i*wasiSubscription+8]     // what it waits for
		copy(out[i*wasiEvent:], event[:])
	}
	binary.LittleEndian.PutUint32(g.bytes(s[3], 4), uint32(n))
	s[0] = wasiOK
}

func wasiWrite(g *guest, s []uint64) {
	fd, n := uint32(s[0]), uint64(uint32(s[2]))
	if fd != 1 && fd != 2 {
		s[0] = wasiBadF
		return
	}
	if n > maxVectors {
		s[0] = wasiInval
		return
	}
	level, written := slog.LevelInfo, uint32(0)
	if fd == 2 {
		level = slog.LevelWarn
	}
	vectors := g.bytes(s[1], n*8)
	for i := range int(n) {
		b := g.bytes(uint64(binary.LittleEndian.Uint32(vectors[i*8:])), uint64(binary.LittleEndian.Uint32(vectors[i*8+4:])))
		written += uint32(len(b))
		g.log(level, []byte(strings.TrimRight(string(b[:min(len(b), maxLogBytes)]), "\n")))
	}
	binary.LittleEndian.PutUint32(g.bytes(s[3], 4), written)
	s[0] = wasiOK
}

func wasiFdstatGet(g *guest, s []uint64) {
	if uint32(s[0]) > 2 {
		s[0] = wasiBadF
		return
	}
	b := g.bytes(s[1], wasiFdstat)
	clear(b)
	b[0] = charDevice
	s[0] = wasiOK
}
