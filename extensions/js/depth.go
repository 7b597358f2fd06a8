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
	c := chain{open: []bracket{{kind: '{'}}}
	word, end := false, lineEnd{all: ';', code: ';'}
	for i := 0; i < len(s) && !c.long; i++ {
		b := s[i]
		if isWord(b) {
			if !word {
				c.add()
			}
			word = true
			end.see(b, 0)
			continue
		}
		word = false
		switch b {
		case '\n':
			if end.statement() && restartsAt(s[i+1:min(i+200, len(s))]) {
				c.semicolon()
			}
			continue
		case '"', '\'':
			i = afterText(s, i, b)
		}
		end.see(b, s[min(i+1, len(s)-1)])
		c.mark(b)
	}
	return c.long
}

func restartsAt(line string) bool {
	line = strings.TrimLeft(line, " \t")
	for _, w := range restarts {
		if strings.HasPrefix(line, w) {
			return true
		}
	}
	return false
}

// bracket is an open one: its tokens since the last comma, and its commas since the last
// semicolon.
type bracket struct {
	kind           byte
	tokens, commas int
}

// chain counts what leads on from one another.
type chain struct {
	open []bracket
	sum  int  // tokens of all open brackets
	long bool // beyond a bound
}

func (c *chain) top() *bracket { return &c.open[len(c.open)-1] }

func (c *chain) add() {
	c.top().tokens++
	if c.sum++; c.sum > maxChain {
		c.long = true
	}
}

func (c *chain) restart() {
	c.sum -= c.top().tokens
	c.top().tokens = 0
}

func (c *chain) semicolon() {
	c.restart()
	c.top().commas = 0
}

func (c *chain) mark(b byte) {
	switch b {
	case ' ', '\t', '\r':
	case ';':
		c.semicolon()
	case ',':
		c.restart()
		if top := c.top(); top.kind != '[' {
			if top.commas++; top.commas > maxListed {
				c.long = true
			}
		}
	case '(', '[', '{':
		if c.add(); len(c.open) > maxOpen {
			c.long = true
		}
		c.open = append(c.open, bracket{kind: b})
	case ')', ']', '}':
		if len(c.open) > 1 {
			c.restart()
			c.open = c.open[:len(c.open)-1]
		}
	default:
		c.add()
	}
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
