package wasm

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/gaia-host/gaia/extensions/state"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

func addStateFuncs(fs map[string]hostFunc) {
	fs["state_get"] = stateGet
	fs["state_set"] = stateSet
	fs["state_delete"] = stateDelete
	fs["state_incr"] = stateIncr
	fs["state_compare_and_set"] = stateCompareAndSet
	fs["state_set_if_absent"] = stateSetIfAbsent
}

// store returns the store and key for a state function. A key that is too long for any store is refused by the store itself.
func (g *guest) store(ptr, n uint64, write bool) (*state.Store, string, error) {
	return g.call.StateFor(g.str(ptr, n), write)
}

// value reads {kind i32, num f64, text}; its text is a view of the guest's memory, which stores copy.
func (g *guest) value(s []uint64) (state.Value, error) {
	switch kind := state.Kind(min(uint32(s[0]), 255)); kind {
	case state.KindNone:
		return state.Value{}, nil
	case state.KindNumber, state.KindBool:
		return state.Value{Kind: kind, Num: math.Float64frombits(s[1])}, nil
	case state.KindText, state.KindBytes:
		return state.Value{Kind: kind, Text: g.str(s[2], s[3])}, nil
	default:
		return state.Value{}, fmt.Errorf("a value of kind %d: %w", uint32(s[0]), state.ErrKind)
	}
}

func stateGet(g *guest, s []uint64) {
	out := g.bytes(s[2], abi.ValueSizeOf)
	st, key, err := g.store(s[0], s[1], false)
	if err != nil {
		s[0] = i32(g.refuse(err))
		return
	}
	v, _ := st.Get(g.call.Now(), key)
	length := g.give(v.Text, s[3], s[4])
	binary.LittleEndian.PutUint64(out[abi.ValueNumber:], math.Float64bits(v.Num))
	binary.LittleEndian.PutUint32(out[abi.ValueLength:], uint32(length))
	binary.LittleEndian.PutUint32(out[abi.ValueKind:], uint32(v.Kind))
	s[0] = i32(int32(v.Kind))
}

func stateSet(g *guest, s []uint64) {
	st, key, err := g.store(s[0], s[1], true)
	if err == nil {
		var v state.Value
		if v, err = g.value(s[2:6]); err == nil {
			err = st.Set(g.call.Now(), key, v, time.Duration(s[6]))
		}
	}
	g.done(s, err)
}

func stateDelete(g *guest, s []uint64) {
	st, key, err := g.store(s[0], s[1], true)
	if err != nil {
		s[0] = i32(g.refuse(err))
		return
	}
	s[0] = i32Bool(st.Delete(g.call.Now(), key))
}

func stateIncr(g *guest, s []uint64) {
	sum := math.NaN()
	st, key, err := g.store(s[0], s[1], true)
	if err == nil {
		sum, err = st.Incr(g.call.Now(), key, math.Float64frombits(s[2]), time.Duration(s[3]))
	}
	if err != nil {
		g.refuse(err)
		sum = math.NaN()
	}
	s[0] = math.Float64bits(sum)
}

func stateCompareAndSet(g *guest, s []uint64) {
	written := false
	st, key, err := g.store(s[0], s[1], true)
	if err == nil {
		var expect, next state.Value
		if expect, err = g.value(s[2:6]); err == nil {
			next, err = g.value(s[6:10])
		}
		if err == nil {
			written, err = st.CompareAndSet(g.call.Now(), key, expect, next, time.Duration(s[10]))
		}
	}
	g.wrote(s, written, err)
}

func stateSetIfAbsent(g *guest, s []uint64) {
	written := false
	st, key, err := g.store(s[0], s[1], true)
	if err == nil {
		var v state.Value
		if v, err = g.value(s[2:6]); err == nil {
			written, err = st.SetIfAbsent(g.call.Now(), key, v, time.Duration(s[6]))
		}
	}
	g.wrote(s, written, err)
}

func (g *guest) wrote(s []uint64, written bool, err error) {
	if err != nil {
		s[0] = i32(g.refuse(err))
		return
	}
	s[0] = i32Bool(written)
}
