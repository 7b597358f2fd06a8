package js

import "strings"

// maxChain bounds how many tokens of a source may lead on from one another. Parsers
// descend once for each, and a Go program that runs out of stack dies: no error, no
// recover. 20 000 take well under the gigabyte there is.
const maxChain = 20_000

// maxOpen bounds the open brackets of a source: parsers look through all the scopes
// around a name. A list may have any length, but not one of the comma operator, which
// parsers descend along too; maxListed bounds those that may be one.
const (
	maxOpen   = 1_000
	maxListed = 20_000
)

// restarts begin a statement at the beginning of a line, and cannot be chained.
var restarts = [...]string{"const ", "let ", "var ", "function ", "return", "export ", "import "}

// chainTooLong reports a source that nests or chains deeper than maxChain. It reads
// roughly: tokens since the last comma or semicolon, summed up over the open brackets.
// Texts are passed over; comments and patterns are read as code.
func chainTooLong(s string) bool {
	levels := []int{0} // tokens of each open bracket
	commas := []int{0} // of each open bracket since the last semicolon
	brackets := []byte{'{'}
	sum, word := 0, false
	end := lineEnd{all: ';', code: ';'}
	add := func() bool {
		levels[len(levels)-1]++
		sum++
		return sum > maxChain
	}
	restart := func() {
		sum -= levels[len(levels)-1]
		levels[len(levels)-1] = 0
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if isWord(c) {
			if !word && add() {
				return true
			}
			word = true
			end.see(c, 0)
			continue
		}
		word = false
		if c != '\n' {
			end.see(c, s[min(i+1, len(s)-1)])
		}
		switch c {
		case ' ', '\t', '\r':
		case '\n':
			if !end.statement() {
				break
			}
			rest := strings.TrimLeft(s[i+1:min(i+200, len(s))], " \t")
			for _, w := range restarts {
				if strings.HasPrefix(rest, w) {
					restart()
					commas[len(commas)-1] = 0
					break
				}
			}
		case ';':
			restart()
			commas[len(commas)-1] = 0
		case ',':
			restart()
			at := len(commas) - 1
			if commas[at]++; commas[at] > maxListed && brackets[at] != '[' {
				return true
			}
		case '(', '[', '{':
			if add() || len(levels) > maxOpen {
				return true
			}
			levels, commas, brackets = append(levels, 0), append(commas, 0), append(brackets, c)
		case ')', ']', '}':
			if len(levels) > 1 {
				restart()
				levels, commas, brackets = levels[:len(levels)-1], commas[:len(commas)-1], brackets[:len(brackets)-1]
			}
		case '"', '\'':
			i = afterText(s, i, c)
			if add() {
				return true
			}
		default:
			if add() {
				return true
			}
		}
	}
	return false
}

// lineEnd knows how a line ends: with an operator, the next one belongs to the same
// statement. What may be a comment is looked at both ways.
type lineEnd struct {
	all, code   byte // the last mark, with comments and without
	line, block bool // in what may be a comment
}

func (e *lineEnd) see(c, next byte) {
	switch {
	case c == ' ', c == '\t', c == '\r':
		return
	case c == '/' && next == '/':
		e.line = true
	case c == '/' && next == '*':
		e.block = true
	case c == '*' && next == '/':
		e.block = false
	}
	if e.all = c; !e.line {
		e.code = c
	}
}

// statement reports at the end of a line whether a statement may end there.
func (e *lineEnd) statement() bool {
	e.line = false
	ends := func(c byte) bool { return isWord(c) || strings.IndexByte(";})]\"'`", c) >= 0 }
	return !e.block && ends(e.all) && ends(e.code)
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// afterText returns where the text that begins at i ends, or i where it does not end on
// its line: then it was an apostrophe.
func afterText(s string, i int, quote byte) int {
	for j := i + 1; j < len(s); j++ {
		switch s[j] {
		case quote:
			return j
		case '\\':
			j++
		case '\n':
			return i
		}
	}
	return i
}
