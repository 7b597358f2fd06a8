package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

// Masks of the packed decision.
const (
	actionMask   = 0xf
	reasonMask   = 0xff
	statusMask   = 0x3ff
	handleMask   = 0x3f
	reservedMask = 3 << 60
	extBit       = 1 << abi.WordIsExtBit
	errorBit     = 1 << abi.WordIsErrorBit
)

// Bounds of texts that guests hand over.
const (
	maxKey      = 512 // bytes
	maxUpstream = 256
	maxInterned = 64 // texts kept by a guest, so that naming the same upstream again costs no allocation
)

var errAnswer = errors.New("malformed decision")

// admitted is what a limiter_admit of this hook answered, in full: the packed word holds less.
type admitted struct {
	word     uint64
	decision policy.Decision
}

// pack returns the word that stands for d, whose handle is h: 0 where none was left.
func pack(d *policy.Decision, h int) uint64 {
	wait := d.Delay
	if d.Action == policy.ActionDeny {
		wait = d.RetryAfter
	}
	ms := uint64(max(wait, 0)+time.Millisecond-1) / uint64(time.Millisecond)
	return uint64(d.Action)<<abi.WordIsActionShift | uint64(h)<<abi.WordIsHandleShift | min(ms, math.MaxUint32)
}

// decode reads a packed decision and what belongs to it into d, which is zero. With an error comes what kind of fault it is.
func (g *guest) decode(hook policy.Hook, word uint64, d *policy.Decision) (kind policy.FaultKind, err error) {
	if word == 0 {
		return 0, nil
	}
	if word&errorBit != 0 {
		return policy.FaultException, g.failure(word)
	}
	handle := int(word >> abi.WordIsHandleShift & handleMask)
	if handle > len(g.handles) {
		return policy.FaultBadDecision, fmt.Errorf("%w: no limiter_admit of this hook has number %d", errAnswer, handle)
	}
	if handle > 0 && g.handles[handle-1].word == word {
		headers := d.Headers
		*d = g.handles[handle-1].decision
		d.Headers = headers[:0]
		return g.suits(hook, d)
	}
	if kind, err := g.unpack(hook, word, d); err != nil {
		return kind, err
	}
	if handle > 0 {
		d.Limit = g.handles[handle-1].decision.Limit
	}
	if word&extBit != 0 {
		if err := g.records(g.view(), d); err != nil {
			return policy.FaultBadDecision, err
		}
	}
	return g.suits(hook, d)
}

// failure says what a guest failed for that returned a negative number.
func (g *guest) failure(word uint64) error {
	if g.lastErr != nil {
		return g.lastErr
	}
	return fmt.Errorf("the guest returned the error %d", int64(word))
}

// unpack reads the fields of the word itself.
func (g *guest) unpack(hook policy.Hook, word uint64, d *policy.Decision) (policy.FaultKind, error) {
	bad := func(format string, args ...any) (policy.FaultKind, error) {
		return policy.FaultBadDecision, fmt.Errorf("%w: %s", errAnswer, fmt.Sprintf(format, args...))
	}
	if word&reservedMask != 0 {
		return bad("reserved bits are set in %#x", word)
	}
	action := policy.Action(word >> abi.WordIsActionShift & actionMask)
	if action > policy.ActionRetry {
		return bad("unknown action %d", action)
	}
	arg := uint32(word)
	wait := min(time.Duration(arg)*time.Millisecond, policy.MaxDelay)
	d.Action = action
	switch action {
	case policy.ActionDeny:
		d.RetryAfter = wait
	case policy.ActionDelay, policy.ActionRetry:
		d.Delay = wait
	case policy.ActionRoute:
		if hook != policy.HookRoute {
			break
		}
		if word&extBit == 0 {
			if int64(arg) >= int64(len(g.upstreams)) {
				return policy.FaultUpstream, fmt.Errorf("there are %d upstreams, none with index %d", len(g.upstreams), arg)
			}
			d.Upstream = g.upstreams[arg].Name
		}
		arg = 0
	}
	if arg != 0 && (action == policy.ActionNone || action == policy.ActionAllow || action == policy.ActionRoute) {
		return bad("%s has a time, %d ms", action, arg)
	}
	if status := int(word >> abi.WordIsStatusShift & statusMask); status != 0 {
		if action != policy.ActionDeny || status < policy.MinStatus || status > policy.MaxStatus {
			return bad("%s with status %d", action, status)
		}
		d.Status = status
	}
	if n := int(word >> abi.WordIsReasonShift & reasonMask); n != 0 {
		if n > len(g.policy.manifest.Reasons) {
			return bad("reason %d of %d", n, len(g.policy.manifest.Reasons))
		}
		d.Reason = g.policy.manifest.Reasons[n-1]
	}
	return 0, nil
}

// suits checks that the hook may answer so.
func (g *guest) suits(hook policy.Hook, d *policy.Decision) (policy.FaultKind, error) {
	ok := d.Action <= policy.ActionAllow
	switch hook {
	case policy.HookRequest:
		ok = d.Action != policy.ActionRetry
	case policy.HookRoute:
		ok = ok || d.Action == policy.ActionRoute || d.Action == policy.ActionDeny
	case policy.HookResponse:
		ok = ok || d.Action == policy.ActionRetry
	}
	if !ok {
		return policy.FaultBadDecision, fmt.Errorf("%w: %s cannot answer %s", errAnswer, hook, d.Action)
	}
	if d.Action == policy.ActionRoute && d.Upstream == "" {
		return policy.FaultBadDecision, fmt.Errorf("%w: route names no upstream", errAnswer)
	}
	return 0, nil
}

// records reads the answer area: u32 length, then {u16 tag, u16 length, value}.
func (g *guest) records(f *scratch, d *policy.Decision) error {
	area := f[abi.AnswerAt : abi.AnswerAt+abi.AnswerArea]
	n := binary.LittleEndian.Uint32(area)
	if n > abi.AnswerArea-4 {
		return fmt.Errorf("%w: records of %d bytes, the area holds %d", errAnswer, n, abi.AnswerArea-4)
	}
	seen := 0
	for b := area[4 : 4+n]; len(b) > 0; {
		if len(b) < 4 {
			return fmt.Errorf("%w: %d bytes after the last record", errAnswer, len(b))
		}
		tag, size := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		if size > len(b)-4 {
			return fmt.Errorf("%w: record %d of %d bytes, %d are left", errAnswer, tag, size, len(b)-4)
		}
		if tag < 64 && seen>>tag&1 != 0 && tag != abi.RecordIsHeader {
			return fmt.Errorf("%w: record %d comes twice", errAnswer, tag)
		}
		seen |= 1 << (tag & 63)
		if err := g.record(tag, b[4:4+size], d); err != nil {
			return fmt.Errorf("%w: record %d: %w", errAnswer, tag, err)
		}
		b = b[4+size:]
	}
	return nil
}

func (g *guest) record(tag int, value []byte, d *policy.Decision) (err error) {
	switch tag {
	case abi.RecordIsUpstream:
		d.Upstream, err = g.text(value, maxUpstream)
	case abi.RecordIsKey:
		d.Key, err = g.text(value, maxKey)
	case abi.RecordIsReason:
		d.Reason, err = g.text(value[:min(len(value), cut(value, policy.MaxReason))], policy.MaxReason)
	case abi.RecordIsHeader:
		return g.header(value, d)
	case abi.RecordIsPriority:
		if len(value) != 4 {
			return fmt.Errorf("%d bytes, want 4", len(value))
		}
		p := int32(binary.LittleEndian.Uint32(value))
		if p < 0 || p > policy.MaxPriority {
			return fmt.Errorf("priority %d, want 0 to %d", p, policy.MaxPriority)
		}
		d.Priority, d.HasPriority = int(p), true
	case abi.RecordIsTimeout, abi.RecordIsCost, abi.RecordIsDelay:
		if len(value) != 8 {
			return fmt.Errorf("%d bytes, want 8", len(value))
		}
		return number(tag, int64(binary.LittleEndian.Uint64(value)), d)
	default:
		return errors.New("unknown")
	}
	return err
}

func number(tag int, v int64, d *policy.Decision) error {
	if v < 0 || v == 0 && tag == abi.RecordIsTimeout {
		return fmt.Errorf("%d is out of range", v)
	}
	switch tag {
	case abi.RecordIsTimeout:
		d.Timeout = min(time.Duration(v), policy.MaxDelay)
	case abi.RecordIsCost:
		d.Cost, d.HasCost = min(v, policy.MaxCost), true
	case abi.RecordIsDelay:
		switch wait := min(time.Duration(v), policy.MaxDelay); d.Action {
		case policy.ActionDeny:
			d.RetryAfter = wait
		case policy.ActionDelay, policy.ActionRetry:
			d.Delay = wait
		default:
			return fmt.Errorf("%s has no time", d.Action)
		}
	}
	return nil
}

// header reads a field that the policy sets: u16 length of the name, name, value.
func (g *guest) header(b []byte, d *policy.Decision) error {
	if len(b) < 2 {
		return errors.New("no name")
	}
	n := int(binary.LittleEndian.Uint16(b))
	if b = b[2:]; n == 0 || n > len(b) || len(b) > policy.MaxHeaderText {
		return fmt.Errorf("a name of %d bytes in %d", n, len(b))
	}
	if len(d.Headers) == policy.MaxHeaders {
		return fmt.Errorf("more than %d header fields", policy.MaxHeaders)
	}
	name, value := b[:n], b[n:]
	for _, c := range name {
		if !isToken(c) {
			return fmt.Errorf("header name %q", name)
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("value of header %s has control characters", name)
		}
	}
	d.Headers = append(d.Headers, policy.Header{Name: g.intern(name), Value: g.intern(value)})
	return nil
}

// isToken reports whether c may stand in the name of a header field (RFC 9110, 5.6.2).
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	for _, t := range []byte("!#$%&'*+-.^_`|~") {
		if c == t {
			return true
		}
	}
	return false
}

// cut returns how many bytes of b, at most limit, are whole characters.
func cut(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	for limit > 0 && !utf8.RuneStart(b[limit]) {
		limit--
	}
	return limit
}

// text copies a text out of the guest's memory. An empty one says nothing, as in JavaScript.
func (g *guest) text(b []byte, limit int) (string, error) {
	switch {
	case len(b) > limit:
		return "", fmt.Errorf("a text of %d bytes, at most %d", len(b), limit)
	case !utf8.Valid(b):
		return "", errors.New("a text that is not UTF-8")
	}
	return g.intern(b), nil
}

// intern returns a copy of b, the same for the same text as long as there is room to remember it.
func (g *guest) intern(b []byte) string {
	if s, ok := g.texts[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(g.texts) < maxInterned && len(s) <= maxUpstream {
		if g.texts == nil {
			g.texts = map[string]string{}
		}
		g.texts[s] = s
	}
	return s
}
