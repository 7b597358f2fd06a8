package wasm

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"strings"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// maxName bounds the names of fields, parameters and variables, in bytes; a longer one is absent.
const maxName = 256

// maxList bounds the list given to pick.
const maxList = 4096

func addTextFuncs(fs map[string]hostFunc) {
	fs["hash"] = func(g *guest, s []uint64) { s[0] = natives.Hash(g.str(s[0], s[1])) }
	fs["pick"] = pick
	fs["metric_get"] = metricGet
	fs["log"] = func(g *guest, s []uint64) { g.log(slog.Level(int32(s[0])), g.bytes(s[1], s[2])) }
	fs["fail"] = fail
	fs["request_text"] = requestText
	lookup := func(name string, find func(*guest, string) (string, bool)) {
		fs[name] = func(g *guest, s []uint64) {
			key := ""
			if uint32(s[1]) <= maxName {
				key = g.str(s[0], s[1])
			}
			text, ok := find(g, key)
			if !ok || key == "" {
				s[0] = i32(abi.ErrorIsAbsent)
				return
			}
			s[0] = g.give(text, s[2], s[3])
		}
	}
	lookup("param", func(g *guest, name string) (string, bool) { v, ok := g.policy.params[name]; return v, ok })
	lookup("env", func(g *guest, name string) (string, bool) { return g.policy.scope.Env(name) })
	lookup("request_header", func(g *guest, name string) (string, bool) { return g.call.RequestHeader(name) })
	lookup("request_body", ofRequest((*policy.Request).BodyValue))
	lookup("response_header", func(g *guest, name string) (string, bool) { return g.call.ResponseHeader(name) })
	lookup("response_body", ofResponse((*policy.Response).BodyValue))
}

func ofRequest(read func(*policy.Request, string) (string, bool)) func(*guest, string) (string, bool) {
	return func(g *guest, name string) (string, bool) {
		if r := g.call.Request(); r != nil {
			return read(r, name)
		}
		return "", false
	}
}

func ofResponse(read func(*policy.Response, string) (string, bool)) func(*guest, string) (string, bool) {
	return func(g *guest, name string) (string, bool) {
		if r := g.call.Response(); r != nil {
			return read(r, name)
		}
		return "", false
	}
}

func requestText(g *guest, s []uint64) {
	r := g.call.Request()
	if r == nil {
		s[0] = i32(abi.ErrorIsContext)
		return
	}
	var text string
	switch uint32(s[0]) {
	case abi.TextIsAction:
		text = r.Action
	case abi.TextIsKey:
		text = r.Key
	case abi.TextIsMethod:
		text = r.Method
	case abi.TextIsHost:
		text = r.Host
	case abi.TextIsTenant:
		text = r.Tenant
	case abi.TextIsPath:
		text = r.Path
	case abi.TextIsURL:
		text = r.URL
	default:
		s[0] = i32(abi.ErrorIsArgument)
		return
	}
	s[0] = g.give(text, s[1], s[2])
}

func pick(g *guest, s []uint64) {
	n := uint64(uint32(s[3]))
	if n > maxList {
		s[0] = i32(abi.ErrorIsArgument)
		return
	}
	g.charge(n)
	list := g.bytes(s[2], n*abi.SpanSizeOf)
	s[0] = i32(int32(natives.Pick(g.str(s[0], s[1]), int(n), func(i int) string {
		at := list[i*abi.SpanSizeOf:]
		return g.str(uint64(binary.LittleEndian.Uint32(at[abi.SpanPointer:])), uint64(binary.LittleEndian.Uint32(at[abi.SpanLength:])))
	})))
}

// metricGet reads through a pooled map, so that a guest sees the number of this moment.
func metricGet(g *guest, s []uint64) {
	v := math.NaN()
	if all := policy.Subsystems(); uint32(s[0]) < uint32(len(all)) {
		if view := g.call.Numbers(all[uint32(s[0])]); view != nil {
			if n, ok := view.Get(g.str(s[1], s[2])); ok {
				v = n
			}
			view.Release()
		}
	}
	s[0] = math.Float64bits(v)
}

func fail(g *guest, s []uint64) {
	text := strings.ToValidUTF8(string(g.bytes(s[0], min(uint64(uint32(s[1])), policy.MaxReason))), "\uFFFD")
	if text == "" {
		text = "the guest gave up"
	}
	g.trapKind, g.trapped = policy.FaultException, errors.New(text)
	panic(g.trapped)
}

// log writes at most what is left of the hook's bytes. Handlers may keep what they are given, so the text is copied.
func (g *guest) log(level slog.Level, text []byte) {
	text = text[:min(len(text), g.logLeft)]
	if len(text) == 0 {
		return
	}
	g.logLeft -= len(text)
	g.call.Log(min(max(level, slog.LevelDebug), slog.LevelError), string(text))
}
