package work

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Codes of problems, stable: the member `code`, and the last part of `type`.
const (
	CodeDenied      = "denied"      // a policy or a limit said no; nothing was done
	CodeBadRequest  = "bad-request" // the request cannot be understood
	CodeNoAction    = "no-action"   // there is no such action
	CodeNotReady    = "not-ready"   // gaia starts or stops
	CodeTooLarge    = "too-large"   // an input or an answer beyond its bound
	CodeConflict    = "conflict"    // the state does not allow it, or the Idempotency-Key was used otherwise
	CodeNotFound    = "not-found"   // what it is about does not exist
	CodeRefused     = "refused"     // a rule of the operator forbids it: a root, an address
	CodeUnsupported = "unsupported" // this machine or build cannot do it
	CodeTimeout     = "timeout"     // the time was over
	CodeCanceled    = "canceled"    // the caller left
	CodeFailed      = "failed"      // it was tried and failed
)

// Error is an answer that is no success.
type Error struct {
	Code   string // one of the codes
	Status int    // of HTTP; 0: the code's own
	Title  string // "" is the code's own
	Detail string
	Hint   string // how to mend it
	Err    error  // the cause, for logs and errors.Is
}

// Error says what went wrong.
func (e *Error) Error() string {
	text := e.Title
	if text == "" {
		text = titleOf(e.Code)
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// BadInput is the error of a field of the input.
func BadInput(field, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	if field != "" {
		detail = field + ": " + detail
	}
	return &Error{Code: CodeBadRequest, Title: "the input is wrong", Detail: detail}
}

// Errorf is an error of a code.
func Errorf(code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Detail: err.Error(), Err: err}
}

// codeOf describes the codes: status, exit code of a command, title.
func codeOf(code string) (status, exit int, title string) {
	switch code {
	case CodeDenied:
		return http.StatusTooManyRequests, 5, "denied"
	case CodeBadRequest:
		return http.StatusBadRequest, 2, "the request is wrong"
	case CodeNoAction:
		return http.StatusNotFound, 2, "there is no such action"
	case CodeNotReady:
		return http.StatusServiceUnavailable, 1, "gaia is not ready"
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge, 1, "too large"
	case CodeConflict:
		return http.StatusConflict, 1, "conflict"
	case CodeNotFound:
		return http.StatusNotFound, 1, "not found"
	case CodeRefused:
		return http.StatusForbidden, 5, "refused"
	case CodeUnsupported:
		return http.StatusNotImplemented, 1, "not supported here"
	case CodeTimeout:
		return http.StatusGatewayTimeout, 6, "the time is over"
	case CodeCanceled:
		return statusCanceled, 130, "the caller left"
	}
	return http.StatusBadGateway, 1, "it failed"
}

// statusCanceled is what nginx answers nobody.
const statusCanceled = 499

func titleOf(code string) string {
	_, _, title := codeOf(code)
	return title
}

// explain turns any error into an answer. done says whether something may have
// been done: nothing was for denials and bad requests.
func (s *Subsystem) explain(ctx context.Context, err error, now int64) (p control.Problem, done bool) {
	var denied *admission.DeniedError
	if errors.As(err, &denied) {
		return denialOf(&denied.Denial, now), false
	}
	var e *Error
	if !errors.As(err, &e) && s.Explain != nil {
		e = s.Explain(err)
	}
	if e == nil {
		e = generic(ctx, err)
	}
	status, exit, title := codeOf(e.Code)
	p = control.Problem{Schema: control.SchemaProblem, Type: problemType + e.Code, Code: e.Code, Title: title, Status: status, Detail: e.Detail, Hint: e.Hint, Exit: exit}
	if e.Status != 0 {
		p.Status = e.Status
	}
	if e.Title != "" {
		p.Title = e.Title
	}
	switch e.Code {
	case CodeBadRequest, CodeNoAction, CodeNotReady, CodeRefused, CodeUnsupported, CodeCanceled:
		return p, false
	}
	return p, true
}

const problemType = "urn:gaia:problem:"

func generic(ctx context.Context, err error) *Error {
	e := &Error{Code: CodeFailed, Detail: err.Error(), Err: err}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Code = CodeTimeout
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		e.Code = CodeCanceled
	}
	return e
}

// denialOf explains a denial as the gateway does.
func denialOf(d *admission.Denial, now int64) control.Problem {
	p := control.Problem{Schema: control.SchemaProblem, Type: problemType + CodeDenied, Code: CodeDenied, Title: "denied", Status: d.Status, Detail: d.Reason, Exit: 5,
		DeniedBy: d.Kind.String(), Policy: d.Policy, Generation: d.Generation, Limiter: d.Limit.Name, Key: d.Limit.Key}
	if d.Kind == admission.KindDeadline {
		p.Exit = 6
	}
	if p.Detail == "" && d.Limit.Name != "" {
		p.Detail = fmt.Sprintf("the limiter %s is spent for the key %q", d.Limit.Name, d.Limit.Key)
	} else if p.Detail == "" && d.Policy != "" {
		p.Detail = "the policy " + d.Policy + " denied it"
	}
	if d.Attempt > 1 {
		p.Attempt = d.Attempt
	}
	if d.Limit.Name != "" {
		p.Level = &control.Level{Limit: d.Limit.Limit, Remaining: max(d.Limit.Remaining, 0), ResetSeconds: d.Limit.Reset.Seconds()}
	}
	if d.RetryAfter > 0 {
		p.RetryAfterSeconds = float64((d.RetryAfter+time.Millisecond-1)/time.Millisecond) / 1000
		p.WouldPass = time.Unix(0, now).Add(d.RetryAfter).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	return p
}
