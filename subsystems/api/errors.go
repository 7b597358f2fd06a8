package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api/h1"
)

// ErrTooLarge is the error of an answer longer than its bound.
var ErrTooLarge = errors.New("api: the answer is too large")

// Error is a call that went out and failed.
type Error struct {
	Kind string // one of policy's kinds: timeout, refused, reset, canceled, too_large, error
	Err  error
}

// Error says the kind and the cause.
func (e *Error) Error() string { return fmt.Sprintf("api: %s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether a time limit passed, as net.Error does.
func (e *Error) Timeout() bool { return e.Kind == policy.ErrorTimeout }

// kindOf sorts an error of a transport. ctx is the caller's.
func kindOf(ctx context.Context, err error) string {
	var timeout interface{ Timeout() bool }
	var dial dialError
	var op *net.OpError
	switch {
	case errors.Is(err, admission.ErrDenied):
		return policy.ErrorDenied
	case errors.Is(ctx.Err(), context.Canceled):
		return policy.ErrorCanceled
	case errors.Is(err, ErrTooLarge):
		return policy.ErrorTooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return policy.ErrorTimeout
	case errors.As(err, &dial):
		return policy.ErrorRefused
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, h1.ErrMalformed), isBroken(err):
		return policy.ErrorReset
	}
	return policy.ErrorOther
}

// isBroken recognises what net/http says, without a type, of a connection that
// broke before or within an answer, and an HTTP/2 stream that was reset.
func isBroken(err error) bool {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return true
	}
	text := err.Error()
	for _, s := range [...]string{"server closed idle connection", "server closed connection", "connection broken", "stream error", "GOAWAY", "connection lost"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// isUnsendable recognises what a transport says of a request that it refuses to send.
func isUnsendable(err error) bool {
	if errors.Is(err, h1.ErrUnsendable) {
		return true
	}
	text := err.Error()
	return strings.HasPrefix(text, "net/http: invalid") || strings.HasPrefix(text, "http: invalid") || strings.HasPrefix(text, "unsupported protocol")
}
