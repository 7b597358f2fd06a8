package config

import (
	"strings"
	"unicode"
)

// Suggest returns the known name nearest to a misspelt one, "" if none is near.
func Suggest(got string, known []string) string {
	const longest = 64 // no key is longer, and the distance is quadratic
	if len(got) > longest {
		return ""
	}
	snake := snakeCase(got)
	best, bestDistance := "", 1+min(3, max(1, len(snake)/3))
	for _, name := range known {
		if d := distance(snake, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best == got {
		return ""
	}
	return best
}

// snakeCase turns maxWait, MaxWait, MAX_WAIT and max-wait into max_wait.
func snakeCase(name string) string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		switch {
		case r == '-' || r == ' ':
			r = '_'
		case unicode.IsUpper(r):
			if lower {
				b.WriteByte('_')
			}
		}
		lower = unicode.IsLower(r) || unicode.IsDigit(r)
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// distance is the Damerau-Levenshtein distance in its restricted form (optimal
// string alignment): insertions, deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
