package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api"
)

// setRateLimit sets RateLimit and RateLimit-Policy as far as they are known.
func setRateLimit(h http.Header, l *policy.LimitInfo) {
	eachRateLimit(nil, l, func(name string, value []byte) { h[name] = []string{string(value)} })
}

// answer sends a problem.
func (x *exchange) answer(p *problem) {
	x.drainBody()
	lent := x.s.memory.get(smallBuffer)
	body := p.append((*lent)[:0])
	x.w.Set("Content-Type", "application/problem+json")
	if d := p.denial; d != nil {
		if d.RetryAfter > 0 {
			x.w.SetBytes("Retry-After", strconv.AppendInt(x.room[:0], int64(roundUp(d.RetryAfter, time.Second)), 10))
		}
		eachRateLimit(x.room[:], &d.Limit, x.w.SetBytes)
	}
	if w := waitField(x.call.Result.Waited); w != "" {
		x.w.Set("Gaia-Wait", w)
	}
	x.closeUnread(x.w.Header())
	x.w.SetLength(len(body))
	x.w.WriteHeader(p.status)
	_, _ = x.w.Write(body) // a client that has left is nobody to tell
	x.s.memory.put(lent)
}

// fail answers a call that brought no answer. It panics with http.ErrAbortHandler
// where the client has left.
func (x *exchange) fail(err error) {
	switch x.bodyState() {
	case bodyLarge:
		x.answer(x.tooLarge())
		return
	case bodyBad:
		x.answer(badBody())
		return
	}
	if d := api.IsDenied(err); d != nil {
		x.answer(x.denied(&d.Denial))
		return
	}
	var e *api.Error
	kind := policy.ErrorOther
	switch {
	case errors.As(err, &e):
		kind = e.Kind
	case errors.Is(err, context.DeadlineExceeded):
		kind = policy.ErrorTimeout
	case errors.Is(err, context.Canceled):
		kind = policy.ErrorCanceled
	}
	if kind == policy.ErrorCanceled && x.r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	x.answer(x.upstreamFailed(kind, err))
}

// denied is the answer to a request that was not let go.
func (x *exchange) denied(d *admission.Denial) *problem {
	p := &x.denial
	*p = problem{status: d.Status, kind: problemDenied, title: "denied", detail: d.Reason, denial: d, now: x.s.clock()}
	switch {
	case p.detail != "":
	case d.Limit.Name != "":
		p.detail = "the limiter " + d.Limit.Name + " is spent for the key " + quoted(d.Limit.Key)
	case d.Policy != "":
		p.detail = "the policy " + d.Policy + " denied the request"
	default:
		p.detail = "the request was denied"
	}
	return p
}

// maxCause bounds what an answer quotes of a failure: an upstream wrote part of it.
const maxCause = 200

// upstreamFailed is the answer to a request that went and failed.
func (x *exchange) upstreamFailed(kind string, err error) *problem {
	p := &problem{status: http.StatusBadGateway, kind: problemUpstream, title: "the upstream failed", cause: kind}
	who := x.call.Key
	if x.call.Result.Upstream != "" && x.call.Result.Upstream != who {
		who += ": upstream " + x.call.Result.Upstream
	}
	switch kind {
	case policy.ErrorTimeout:
		p.status, p.kind, p.title = http.StatusGatewayTimeout, problemTimeout, "the upstream is late"
	case policy.ErrorRefused:
		p.title = "the upstream cannot be reached"
	case policy.ErrorDenied: // by the network, where no denial explains it
		p.status, p.kind, p.title = http.StatusForbidden, problemRefused, "the target is refused"
	case policy.ErrorTooLarge:
		p.title = "the upstream's answer is too large"
	}
	if cause := causeOf(err); cause != "" {
		p.detail = who + ": " + cause
	} else {
		p.detail = who
	}
	return p
}

// causeOf is the text of the innermost error that says something by itself. No error
// of a transport quotes a URL or a field's value.
func causeOf(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	text := err.Error()
	if len(text) > maxCause {
		text = text[:maxCause] + "..."
	}
	return text
}

func badBody() *problem {
	return &problem{status: http.StatusBadRequest, kind: problemBadRequest, title: "the request body could not be read",
		detail: "the body is malformed, or ended before its announced length"}
}

func (x *exchange) tooLarge() *problem {
	return &problem{status: http.StatusRequestEntityTooLarge, kind: problemTooLarge, title: "the request body is too large",
		detail: "the bound is " + strconv.FormatInt(x.set.maxBody, 10) + " bytes", hint: "raise gateway.max_request_body"}
}
