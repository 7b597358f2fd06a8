package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Errors of operations. They come wrapped in an *Error; what the system said
// (fs.ErrNotExist, fs.ErrExist, fs.ErrPermission) comes along too.
var (
	// ErrRoot: there is no root of that name.
	ErrRoot = errors.New("there is no such root")
	// ErrPath: the path is absolute, leaves its root, or is no path.
	ErrPath = errors.New("the path is not one within the root")
	// ErrNotRegular: a folder, a pipe, a socket or a device where a file is wanted.
	ErrNotRegular = errors.New("not a regular file")
	// ErrReadOnly: the root may not be written.
	ErrReadOnly = errors.New("the root is read-only")
	// ErrQuota: the root would hold more than its quota.
	ErrQuota = errors.New("the quota of the root is full")
	// ErrTooLarge: the file, or what was asked of it, is larger than its bound.
	ErrTooLarge = errors.New("too large")
	// ErrSyntax: the file is not the JSON or XML it should be.
	ErrSyntax = errors.New("syntax error")
	// ErrWatchLimit: no more folders can be watched.
	ErrWatchLimit = errors.New("the limit of watches is reached")
	// ErrAction: a batch names an action that it cannot do.
	ErrAction = errors.New("not an action of a batch")
)

// Error is an operation that failed.
type Error struct {
	Action, Root, Path string
	Err                error
}

// Error says what failed, where and why.
func (e *Error) Error() string {
	cause := e.Err
	if pe, ok := cause.(*fs.PathError); ok { //nolint:errorlint // only where it is not wrapped does it repeat the path
		cause = pe.Err
	}
	return fmt.Sprintf("files: %s %s:%s: %v", e.Action, e.Root, e.Path, cause)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Status says how an operation ended in the terms of HTTP, which is how policies
// see it: 200 for nil, 400 a bad path, 403 not allowed, 404 absent, 409 in the way, 413 too
// large, 422 syntax, 503 out of file descriptors or watches, 507 no room, 500 anything else.
func Status(err error) int {
	switch {
	case err == nil:
		return 200
	case errors.Is(err, ErrPath), errors.Is(err, ErrAction):
		return 400
	case errors.Is(err, ErrReadOnly), errors.Is(err, ErrNotRegular), errors.Is(err, fs.ErrPermission):
		return 403
	case errors.Is(err, ErrRoot), errors.Is(err, fs.ErrNotExist):
		return 404
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return 409
	case errors.Is(err, ErrTooLarge):
		return 413
	case errors.Is(err, ErrSyntax):
		return 422
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, ErrWatchLimit):
		return 503
	case errors.Is(err, ErrQuota), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return 507
	}
	return 500
}

// IsDenied returns the denial in err, nil where it is something else.
func IsDenied(err error) *admission.DeniedError {
	var d *admission.DeniedError
	if errors.As(err, &d) {
		return d
	}
	return nil
}

// response describes the end of an attempt to policies.
func response(res *policy.Response, n int64, err error) {
	res.Bytes = n
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errCut):
		res.Error = policy.ErrorCanceled
	case errors.Is(err, context.DeadlineExceeded):
		res.Error = policy.ErrorTimeout
	default:
		res.Status = Status(err)
	}
}

var errLeadsOut = fmt.Errorf("%w: it leads out of it", ErrPath)

// errCut ends operations under way when a stop may not wait any longer.
var errCut = errors.New("gaia is stopping")

// mend gives an error of the system its name here.
func mend(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENXIO): // a pipe without reader, a device without driver
		return fmt.Errorf("%w: %w", ErrNotRegular, err)
	case strings.HasSuffix(err.Error(), "path escapes from parent"): // os has no name for it
		return errLeadsOut
	case errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("another file system is mounted there; make it a root of its own: %w", err)
	}
	return err
}
