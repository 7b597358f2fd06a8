package policy

import (
	"fmt"
	"strings"
)

// LoadError says why a policy could not be loaded, and where.
type LoadError struct {
	Policy  string
	File    string // as the user named it; "" where it is about no file
	Line    int    // from 1; 0 unknown
	Col     int    // from 1, in bytes; 0 unknown
	Message string
	Source  string // the text of the line, "" unknown
	Stack   string // guest frames, one a line
	Hint    string // how to mend it
	Err     error
}

// Error is one line: "file:line:col: message".
func (e *LoadError) Error() string { return e.Where() + e.Message }

// Where is the "file:line:col: " of the error, or its policy's name.
func (e *LoadError) Where() string {
	switch {
	case e.File == "" && e.Policy == "":
		return ""
	case e.File == "":
		return e.Policy + ": "
	case e.Line == 0:
		return e.File + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", e.File, e.Line, e.Col)
}

// Excerpt is the source line with a caret below the column, "" where it is unknown.
func (e *LoadError) Excerpt() string {
	if e.Source == "" || e.Line == 0 {
		return ""
	}
	number := fmt.Sprintf("%4d", e.Line)
	lead := []byte(e.Source[:min(max(e.Col-1, 0), len(e.Source))])
	for i, c := range lead {
		if c != '\t' {
			lead[i] = ' '
		}
	}
	return number + " | " + e.Source + "\n" + strings.Repeat(" ", len(number)) + " | " + string(lead) + "^"
}

// Unwrap returns the cause.
func (e *LoadError) Unwrap() error { return e.Err }
