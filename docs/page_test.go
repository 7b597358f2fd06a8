package docs_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the folder of the repository, seen from this one.
const root = ".."

// block is one fenced block of a page. Its info string says what a test does with it:
//
//	js policy, ts policy   loads; file=NAME keeps it for the page's sessions
//	js test, json test     a test file, file=NAME, for the page's sessions
//	js experiment          runs
//	yaml config            validates; file=NAME as above
//	console                is typed into a shell, and the output compared
//	text run               further lines of the gaia that the page started
//	sh                     is not run; its make targets and flags exist
//	c                      is part of examples/wasm-c/policy.c
//	(nothing)              a drawing
type block struct {
	page string
	line int
	lang string
	kind string
	file string
	text string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// pages lists the documents, as paths from the root.
func pages(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/cookbook/*.md", "examples/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, filepath.ToSlash(name))
		}
	}
	if len(list) < 10 {
		t.Fatalf("only %d pages were found: %v", len(list), list)
	}
	return list
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the fenced blocks of a page.
func blocks(t *testing.T, page string) []block {
	t.Helper()
	var list []block
	var open *block
	sc := bufio.NewScanner(strings.NewReader(read(t, page)))
	for n := 1; sc.Scan(); n++ {
		info, fence := strings.CutPrefix(sc.Text(), "```")
		switch {
		case fence && open == nil:
			open = &block{page: page, line: n}
			for i, word := range strings.Fields(info) {
				name, isFile := strings.CutPrefix(word, "file=")
				switch {
				case i == 0:
					open.lang = word
				case isFile:
					open.file = name
				default:
					open.kind = word
				}
			}
		case fence:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += sc.Text() + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s: the block is not closed", open)
	}
	return list
}

func TestEveryBlockHasATest(t *testing.T) {
	known := map[string]bool{"js policy": true, "ts policy": true, "js test": true, "js experiment": true, "json test": true, "yaml config": true, "console": true, "text run": true, "sh": true, "c": true, "": true}
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if what := strings.TrimSpace(b.lang + " " + b.kind); !known[what] {
				t.Errorf("%s: no test runs a block of %q", b, what)
			}
			if b.lang == "c" && !strings.Contains(read(t, "examples/wasm-c/policy.c"), b.text) {
				t.Errorf("%s: it is not a part of examples/wasm-c/policy.c", b)
			}
		}
	}
}

func TestMakeTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	target := regexp.MustCompile(`(?:^|\n|` + "`" + `)make ([a-z][a-z-]*)`)
	for _, page := range pages(t) {
		for _, m := range target.FindAllStringSubmatch(read(t, page), -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s: the Makefile has no target %s", page, m[1])
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksResolve(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(withoutBlocks(read(t, page)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := page
			if target != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(page), target))
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: there is no %s", page, m[1])
				continue
			}
			if anchor != "" && !anchors(read(t, file))[anchor] {
				t.Errorf("%s: %s has no heading #%s", page, file, anchor)
			}
		}
	}
}

func TestAnchorsAreThoseOfTheHost(t *testing.T) {
	got := anchors("# One, two\n## `state_file` and what's lost\n```\n# no heading\n```\n")
	if want := "one-two"; !got[want] {
		t.Errorf("no %s in %v", want, got)
	}
	if want := "state_file-and-whats-lost"; !got[want] || len(got) != 2 {
		t.Errorf("no %s in %v", want, got)
	}
}

// anchors are the fragments of a page's headings, as code hosts make them.
func anchors(text string) map[string]bool {
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	found := map[string]bool{}
	for line := range strings.Lines(withoutBlocks(text)) {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			plain := drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			found[strings.ReplaceAll(plain, " ", "-")] = true
		}
	}
	return found
}

func withoutBlocks(text string) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			inside = !inside
			continue
		}
		if !inside {
			out.WriteString(line)
		}
	}
	return out.String()
}
