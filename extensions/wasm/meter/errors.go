package meter

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is in the chain of every error about bytes that are no WebAssembly module.
	ErrMalformed = errors.New("meter: malformed module")
	// ErrUnsupported is in the chain of every error about a feature beyond WebAssembly core 2.0.
	ErrUnsupported = errors.New("meter: unsupported")
	// ErrLimit is in the chain of every error about a module that is larger than a limit.
	ErrLimit = errors.New("meter: limit exceeded")
	// ErrReserved is in the chain of the error about a module that imports or exports a name the rewriter adds.
	ErrReserved = errors.New("meter: reserved name")
)

// Error says what was refused, and where. It wraps one of the sentinels.
type Error struct {
	Kind     error  // ErrMalformed, ErrUnsupported, ErrLimit or ErrReserved
	Offset   int    // byte offset in the module
	Function int    // index of the function, imports counted; -1 outside a body
	Detail   string // what was found
}

func (e *Error) Error() string {
	if e.Function >= 0 {
		return fmt.Sprintf("%v: %s in function %d at byte %#x", e.Kind, e.Detail, e.Function, e.Offset)
	}
	return fmt.Sprintf("%v: %s at byte %#x", e.Kind, e.Detail, e.Offset)
}

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Kind }
