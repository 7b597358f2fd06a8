package browser

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Errors that callers tell apart. Those of one job are wrapped in an *Error.
var (
	ErrNotInstalled = errors.New("browser: the browser is not installed")
	ErrLaunch       = errors.New("browser: the browser did not start")
	ErrCrashed      = errors.New("browser: the browser crashed")
	ErrPageCrashed  = errors.New("browser: the page crashed")
	ErrClosed       = errors.New("browser: the lease is closed")
	ErrExpired      = errors.New("browser: the lease's time is over")
	ErrNoLease      = errors.New("browser: no such lease")
	ErrBusy         = errors.New("browser: no browser came free in time")
	ErrStopped      = errors.New("browser: the pool is stopped")
	ErrURL          = errors.New("browser: want an http or https URL, about:blank or a data URL")
	ErrJob          = errors.New("browser: the job is not valid")
	ErrTooLarge     = errors.New("browser: the result is too large")
	ErrLoad         = errors.New("browser: the page did not load")
	ErrScript       = errors.New("browser: the script threw")
)

// Error is a job that started and failed.
type Error struct {
	Kind string // one of policy's kinds: timeout, refused, reset, canceled, too_large, error
	Err  error
}

// Error says the kind and the cause.
func (e *Error) Error() string { return fmt.Sprintf("browser: %s: %v", e.Kind, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether a time limit passed, as net.Error does.
func (e *Error) Timeout() bool { return e.Kind == policy.ErrorTimeout }

// loadError is what Chromium says of a page that it could not load.
type loadError struct{ text string }

func (e *loadError) Error() string { return ErrLoad.Error() + ": " + e.text }
func (e *loadError) Unwrap() error { return ErrLoad }

// kind sorts the network errors of Chromium.
func (e *loadError) kind() string {
	switch e.text {
	case "net::ERR_CONNECTION_REFUSED", "net::ERR_NAME_NOT_RESOLVED", "net::ERR_ADDRESS_UNREACHABLE", "net::ERR_CONNECTION_FAILED",
		"net::ERR_INTERNET_DISCONNECTED", "net::ERR_PROXY_CONNECTION_FAILED", "net::ERR_TUNNEL_CONNECTION_FAILED":
		return policy.ErrorRefused
	case "net::ERR_CONNECTION_RESET", "net::ERR_CONNECTION_CLOSED", "net::ERR_EMPTY_RESPONSE", "net::ERR_CONNECTION_ABORTED":
		return policy.ErrorReset
	case "net::ERR_TIMED_OUT", "net::ERR_CONNECTION_TIMED_OUT":
		return policy.ErrorTimeout
	}
	return policy.ErrorOther
}

// kindOf sorts the error of a job. ctx is the caller's, without gaia's own limits.
func kindOf(ctx context.Context, err error) string {
	var load *loadError
	switch {
	case errors.Is(err, admission.ErrDenied), errors.Is(err, ErrBusy):
		return policy.ErrorDenied
	case errors.Is(ctx.Err(), context.Canceled):
		return policy.ErrorCanceled
	case errors.As(err, &load):
		return load.kind()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrExpired):
		return policy.ErrorTimeout
	case errors.Is(err, ErrLaunch):
		return policy.ErrorRefused
	case errors.Is(err, ErrCrashed), errors.Is(err, ErrPageCrashed):
		return policy.ErrorReset
	case errors.Is(err, ErrTooLarge):
		return policy.ErrorTooLarge
	}
	return policy.ErrorOther
}

// notInstalled says which package has the engine.
func notInstalled(e Engine, program string, cause error) error {
	if errors.Is(cause, exec.ErrNotFound) || errors.Is(cause, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s was not found: install Debian's package %s, or set browser.%s to the program",
			ErrNotInstalled, program, e.debianPackage(), e.configKey())
	}
	return fmt.Errorf("%w: %w", ErrNotInstalled, cause)
}
