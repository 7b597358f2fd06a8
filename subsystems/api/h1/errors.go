package h1

import (
	"errors"
	"fmt"
	"io"
	"net"
)

var (
	// ErrUnsendable is wrapped by the error of a request that says what HTTP cannot
	// say: nothing of it was sent.
	ErrUnsendable = errors.New("h1: the request cannot be sent")
	// ErrMalformed is wrapped by the error of an answer that is not HTTP/1.1, or not
	// surely.
	ErrMalformed = errors.New("h1: malformed answer")
	// ErrHeadTooLarge is the error of an answer whose head is longer than its bound.
	ErrHeadTooLarge = fmt.Errorf("%w: the head is too large", ErrMalformed)
	// ErrNoAnswer is the error of a connection that ended before an answer began.
	ErrNoAnswer = fmt.Errorf("h1: the server closed the connection without an answer: %w", io.EOF)
	// ErrClosed is the error of a Transport that was closed.
	ErrClosed = fmt.Errorf("h1: the transport is closed: %w", net.ErrClosed)
	// ErrBodyLength is the error of a request body that is not as long as announced.
	ErrBodyLength = errors.New("h1: the request body is not as long as its Content-Length")
	// ErrHeaderTimeout is the error of an answer that did not begin in time. It is a
	// timeout in the sense of net.Error.
	ErrHeaderTimeout error = timeoutError{}
)

type timeoutError struct{}

func (timeoutError) Error() string   { return "h1: no answer within the header timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

func unsendable(what string) error { return fmt.Errorf("%w: %s", ErrUnsendable, what) }
