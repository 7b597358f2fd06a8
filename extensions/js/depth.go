package js

import "strings"

// maxChain bounds how many tokens of a source may lead on from one another. Parsers
// descend once for each, and a Go program that runs out of stack dies: no error, no
// recover. 20 000 take well under the gigabyte there is.
const maxChain = 20_000

// restarts begin a statement at the beginning of a line, and cannot be chained.
var restarts = [...]string{"const ", "let ", "var ", "function ", "return", "export ", "import "}

// chainTooLong reports a source that nests or chains deeper than maxChain. It reads
// roughly: tokens since the last comma or semicolon, summed up over the open brackets.
// Texts are passed over; comments and patterns are read as code.
func chainTooLong(s string) bool {
	levels := []int{0} // tokens of each open bracket
	sum, word := 0, false
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
			continue
		}
		word = false
		switch c {
		case ' ', '\t', '\r':
		case '\n':
			rest := strings.TrimLeft(s[i+1:min(i+200, len(s))], " \t")
			for _, w := range restarts {
				if strings.HasPrefix(rest, w) {
					restart()
					break
				}
			}
		case ',', ';':
			restart()
		case '(', '[', '{':
			if add() {
				return true
			}
			levels = append(levels, 0)
		case ')', ']', '}':
			if len(levels) > 1 {
				restart()
				levels = levels[:len(levels)-1]
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
