package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFaults bounds what one load reports.
const maxFaults = 100

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// File is the file's name, or the source of the value: "env GAIA_LISTEN",
	// "--listen", "--set listen=x". "" for a Config that was not loaded.
	File string
	// Line and Col count from 1, Col in characters; 0 is no position.
	Line, Col int
	// Key is the dotted path of the key, "" for the file as a whole.
	Key string
	// Message says what is wrong, without the key.
	Message string
	// Source is the line of the file, "" where there is none or where it holds a secret.
	Source string
	// Suggestion is the name that was probably meant, or "".
	Suggestion string
}

// Place is where the fault is: FILE:LINE:COL, or the source of the value.
func (f Fault) Place() string {
	if f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col)
}

// Error is the fault on one line, without the line of the file.
func (f Fault) Error() string {
	text := f.detail()
	if place := f.Place(); place != "" {
		text = place + "  " + text
	}
	return text
}

func (f Fault) detail() string {
	text := f.Message
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	if f.Suggestion != "" {
		text += fmt.Sprintf(" (did you mean %q?)", f.Suggestion)
	}
	return text
}

// snippet is the line of the file and a caret under the column, or "".
func (f Fault) snippet() string {
	if f.Source == "" {
		return ""
	}
	line, col := window([]rune(f.Source), f.Col)
	pad := make([]rune, 0, col)
	for i := 0; i < col-1; i++ {
		if i < len(line) && line[i] == '\t' {
			pad = append(pad, '\t')
		} else {
			pad = append(pad, ' ')
		}
	}
	return fmt.Sprintf("%4d | %s\n     | %s^\n", f.Line, string(line), string(pad))
}

// window cuts a long line (minified JSON) around its column.
func window(line []rune, col int) ([]rune, int) {
	const before, longest = 60, 120
	if len(line) <= longest {
		return line, col
	}
	from := min(max(0, col-1-before), len(line))
	to := min(len(line), from+longest)
	return line[from:to], col - from
}

// Faults are all faults of a configuration, those of the file first, in its order.
type Faults []Fault

// Error prints every fault with its place, its line and a caret, and their number.
func (fs Faults) Error() string {
	width := 0
	for _, f := range fs {
		width = max(width, utf8.RuneCountInString(f.Place()))
	}
	var b strings.Builder
	for _, f := range fs {
		if width > 0 {
			fmt.Fprintf(&b, "%-*s  ", width, f.Place())
		}
		b.WriteString(f.detail() + "\n" + f.snippet())
	}
	if len(fs) == 1 {
		b.WriteString("1 error")
	} else {
		fmt.Fprintf(&b, "%d errors", len(fs))
	}
	return b.String()
}

// finish sorts and bounds the faults found; nil if there are none.
func (fs Faults) finish() error {
	if len(fs) == 0 {
		return nil
	}
	slices.SortStableFunc(fs, func(a, b Fault) int {
		switch {
		case (a.Line > 0) != (b.Line > 0):
			if a.Line > 0 {
				return -1
			}
			return 1
		case a.Line != b.Line:
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	if rest := len(fs) - maxFaults; rest > 0 {
		fs = append(fs[:maxFaults:maxFaults], Fault{
			File: fs[maxFaults-1].File, Message: fmt.Sprintf("%d more faults are not shown", rest),
		})
	}
	return fs
}
