package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// errDiffers: the instances of a policy must declare the same, in the same order, for identifiers to mean the same in each.
var errDiffers = errors.New("an instance declares something else than the first one did")

// declarations are what the first instance of a policy declared; the others must repeat it. They are complete, and not
// changed any more, before a second instance is made.
type declarations struct {
	complete bool
	limiters []limiterDecl
	values   []valueDecl
}

type limiterDecl struct {
	kind         limit.Kind
	name, params string
	limiter      *natives.Limiter
}

func addLimiterFuncs(fs map[string]hostFunc) {
	fs["limiter_open"] = limiterOpen
	fs["limiter_all"] = limiterAll
	fs["limiter_admit"] = limiterAdmit
	fs["limiter_admit_costs"] = limiterAdmitCosts
	fs["limiter_take"] = limiterTake
	fs["limiter_peek"] = limiterPeek
	fs["limiter_learn"] = limiterLearn
	fs["limiter_pause"] = limiterPause
	fs["limiter_settle"] = limiterSettle
	fs["limiter_set"] = limiterSet
}

func limiterOpen(g *guest, s []uint64) {
	id, err := g.openLimiter(limit.Kind(uint8(min(uint32(s[0]), 255))), g.str(s[1], s[2]), g.str(s[3], s[4]))
	if err != nil {
		id = g.refuse(err)
	}
	s[0] = i32(id)
}

func (g *guest) openLimiter(kind limit.Kind, name, params string) (int32, error) {
	if g.call.Running() {
		return 0, fmt.Errorf("open limiter %q: %w", strings.Clone(name), natives.ErrHook)
	}
	name, params = strings.Clone(name), strings.Clone(params)
	d := &g.policy.declared
	if d.complete {
		if g.limiters >= len(d.limiters) {
			return 0, errDiffers
		}
		l := &d.limiters[g.limiters]
		if l.kind != kind || l.name != name || l.params != params {
			return 0, errDiffers
		}
		g.limiters++
		return int32(g.limiters - 1), nil
	}
	p, err := parseParams(kind, params)
	if err != nil {
		return 0, fmt.Errorf("open limiter %q: %w", name, err)
	}
	l, err := g.call.Limiter(kind, name, p)
	if err != nil {
		return 0, fmt.Errorf("open limiter %q: %w", name, err)
	}
	d.limiters = append(d.limiters, limiterDecl{kind, name, params, l})
	g.limiters++
	return int32(g.limiters - 1), nil
}

// limiterAll makes one limiter of several that were opened before.
func limiterAll(g *guest, s []uint64) {
	count := uint32(s[1])
	if count > maxCosts {
		s[0] = i32(g.refuse(errRange))
		return
	}
	id, err := g.openAll(g.bytes(s[0], uint64(count)*4))
	if err != nil {
		id = g.refuse(err)
	}
	s[0] = i32(id)
}

func (g *guest) openAll(ids []byte) (int32, error) {
	if g.call.Running() {
		return 0, natives.ErrHook
	}
	d, what := &g.policy.declared, string(ids)
	if d.complete {
		if g.limiters >= len(d.limiters) || d.limiters[g.limiters].kind != 0 || d.limiters[g.limiters].params != what {
			return 0, errDiffers
		}
		g.limiters++
		return int32(g.limiters - 1), nil
	}
	var parts []*natives.Limiter
	for ; len(ids) > 0; ids = ids[4:] {
		id := binary.LittleEndian.Uint32(ids)
		if uint64(id) >= uint64(len(d.limiters)) {
			return 0, errID
		}
		parts = append(parts, d.limiters[id].limiter)
	}
	l, err := g.call.All(parts)
	if err != nil {
		return 0, err
	}
	d.limiters = append(d.limiters, limiterDecl{0, "all", what, l})
	g.limiters++
	return int32(g.limiters - 1), nil
}

// limiter returns an opened limiter, or an error: an unknown identifier, or no hook runs.
func (g *guest) limiter(id uint64) (*natives.Limiter, error) {
	ls := g.policy.declared.limiters
	switch {
	case !g.call.Running():
		return nil, errLoading
	case uint64(uint32(id)) >= uint64(len(ls)):
		return nil, errID
	}
	return ls[uint32(id)].limiter, nil
}

// limiterArg reads the identifier and key that most functions begin with, into a zero a; a key of length -1 is the request's.
func (g *guest) limiterArg(s []uint64, a *natives.Arg) (*natives.Limiter, error) {
	l, err := g.limiter(s[0])
	switch n := uint32(s[2]); {
	case err != nil:
		return nil, err
	case int32(n) == -1:
		return l, nil
	case n > maxKey:
		return nil, fmt.Errorf("a key of %d bytes: %w", n, errRange)
	default:
		a.Key, a.HasKey = g.str(s[1], s[2]), true
		return l, nil
	}
}

func setCost(a *natives.Arg, cost uint64) {
	if int64(cost) >= 0 {
		a.Cost, a.HasCost = int64(cost), true
	}
}

func limiterAdmit(g *guest, s []uint64) {
	var a natives.Arg
	l, err := g.limiterArg(s, &a)
	if err != nil {
		s[0] = uint64(int64(g.refuse(err)))
		return
	}
	setCost(&a, s[3])
	admit(g, s, l, a, int64(s[4]))
}

// maxCosts bounds a list of costs, and of limiters that are made one.
const maxCosts = 8

// limiterAdmitCosts is limiterAdmit with a cost of its own for each limiter of several.
func limiterAdmitCosts(g *guest, s []uint64) {
	var a natives.Arg
	var costs [maxCosts]int64
	l, err := g.limiterArg(s, &a)
	count := uint32(s[4])
	if err == nil && (count == 0 || count > maxCosts) {
		err = errRange
	}
	if err != nil {
		s[0] = uint64(int64(g.refuse(err)))
		return
	}
	list := g.bytes(s[3], uint64(count)*8)
	for i := range costs[:count] {
		costs[i] = int64(binary.LittleEndian.Uint64(list[8*i:]))
	}
	a.Costs = costs[:count]
	admit(g, s, l, a, int64(s[5]))
}

func admit(g *guest, s []uint64, l *natives.Limiter, a natives.Arg, w int64) {
	if w >= 0 {
		a.MaxWait, a.HasWait = time.Duration(w), true
	}
	if len(g.handles) < cap(g.handles) {
		g.handles = g.handles[:len(g.handles)+1]
	} else {
		g.handles = append(g.handles, admitted{})
	}
	n := len(g.handles)
	h := &g.handles[n-1]
	if err := g.call.Admit(l, a, &h.decision); err != nil {
		g.handles = g.handles[:n-1]
		s[0] = uint64(int64(g.refuse(err)))
		return
	}
	switch {
	case g.call.Request() == nil: // a tick decides nothing, and the key is a view of the guest's memory
		s[0] = pack(&h.decision, 0)
		h.decision = policy.Decision{}
	case n > handleMask:
		s[0] = pack(&h.decision, 0)
	default:
		h.word = pack(&h.decision, n)
		s[0] = h.word
	}
}

func limiterTake(g *guest, s []uint64) {
	var a natives.Arg
	l, err := g.limiterArg(s, &a)
	taken := false
	if err == nil {
		setCost(&a, s[3])
		taken, err = g.call.Take(l, a)
	}
	if err != nil {
		s[0] = i32(g.refuse(err))
		return
	}
	s[0] = i32Bool(taken)
}

func limiterPeek(g *guest, s []uint64) {
	out := g.bytes(s[4], abi.PeekSizeOf)
	var a natives.Arg
	l, err := g.limiterArg(s, &a)
	var r limit.Result
	if err == nil {
		setCost(&a, s[3])
		r, err = g.call.Peek(l, a)
	}
	if err != nil {
		s[0] = i32(g.refuse(err))
		return
	}
	putI64(out, abi.PeekWait, uint64(r.Wait))
	putI64(out, abi.PeekLimit, uint64(r.Limit))
	putI64(out, abi.PeekRemaining, uint64(r.Remaining))
	putI64(out, abi.PeekReset, uint64(r.Reset))
	s[0] = i32Bool(r.OK)
}

func limiterLearn(g *guest, s []uint64) {
	var a natives.Arg
	l, err := g.limiterArg(s, &a)
	if err == nil {
		err = g.call.Learn(l, a)
	}
	g.done(s, err)
}

func limiterPause(g *guest, s []uint64) {
	var a natives.Arg
	l, err := g.limiterArg(s, &a)
	if err == nil {
		err = g.call.Pause(l, a, time.Duration(max(int64(s[3]), 0)))
	}
	g.done(s, err)
}

func limiterSettle(g *guest, s []uint64) {
	var a natives.Arg
	l, err := g.limiterArg(s, &a)
	if err == nil {
		setCost(&a, s[3])
		err = g.call.Settle(l, a)
	}
	switch {
	case errors.Is(err, natives.ErrNotTaken):
		s[0] = 0
	case err != nil:
		s[0] = i32(g.refuse(err))
	default:
		s[0] = 1
	}
}

func limiterSet(g *guest, s []uint64) {
	l, err := g.limiter(s[0])
	var p limit.Params
	if err == nil {
		p, err = parseParams(l.Kind(), g.str(s[1], s[2]))
	}
	if err == nil {
		err = g.call.Set(l, p)
	}
	g.done(s, err)
}

// done is the result of a function that only succeeds or fails.
func (g *guest) done(s []uint64, err error) {
	s[0] = 0
	if err != nil {
		s[0] = i32(g.refuse(err))
	}
}
