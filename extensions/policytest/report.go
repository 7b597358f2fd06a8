package policytest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// SchemaTest names the JSON form of a Report.
const SchemaTest = "gaia.test/v1"

// Report is what became of a run of test files.
type Report struct {
	Schema   string         `json:"schema"`
	OK       bool           `json:"ok"`
	Files    int            `json:"files"`
	Passed   int            `json:"passed"`
	Failed   int            `json:"failed"`
	Skipped  int            `json:"skipped"`
	Seconds  float64        `json:"seconds"`
	Cases    []Result       `json:"cases"`
	Errors   []string       `json:"errors"` // what is wrong beside the cases
	Coverage *CoverageTotal `json:"coverage,omitempty"`
}

// CoverageTotal says how many statements of JavaScript policies ran.
type CoverageTotal struct {
	Percent    float64        `json:"percent"`
	Statements int            `json:"statements"`
	Ran        int            `json:"ran"`
	Files      []CoverageFile `json:"files"`
}

// CoverageFile is the coverage of one file.
type CoverageFile struct {
	File       string  `json:"file"`
	Percent    float64 `json:"percent"`
	Statements int     `json:"statements"`
	Ran        int     `json:"ran"`
	Missed     []int   `json:"missed"` // lines
}

// Percent is a share of all, 100 where there is nothing.
func Percent(part, all int) float64 {
	if all == 0 {
		return 100
	}
	return 100 * float64(part) / float64(all)
}

// Add counts the cases of one file.
func (r *Report) Add(results []Result, took time.Duration) {
	r.Files++
	r.Seconds += took.Seconds()
	for i := range results {
		switch {
		case results[i].Skipped:
			r.Skipped++
		case results[i].Passed():
			r.Passed++
		default:
			r.Failed++
		}
	}
	r.Cases = append(r.Cases, results...)
}

// Finish settles whether all is well: a run without a single case is not.
func (r *Report) Finish() {
	r.Schema = SchemaTest
	if r.Passed+r.Failed == 0 && len(r.Errors) == 0 {
		r.Errors = append(r.Errors, "no case matched: nothing was tested")
	}
	r.OK = r.Failed == 0 && len(r.Errors) == 0
	if r.Cases == nil {
		r.Cases = []Result{}
	}
	if r.Errors == nil {
		r.Errors = []string{}
	}
}

// WriteText writes the report for people. Passing cases are named when verbose.
func (r *Report) WriteText(w io.Writer, verbose bool) error {
	var b strings.Builder
	for i := range r.Cases {
		c := &r.Cases[i]
		switch {
		case c.Skipped:
			fmt.Fprintf(&b, "skip  %s: %s\n", c.File, c.Name)
		case c.Passed() && verbose:
			fmt.Fprintf(&b, "ok    %s: %s\n", c.File, c.Name)
		case !c.Passed():
			fmt.Fprintf(&b, "FAIL  %s: %s\n", c.File, c.Name)
			for _, f := range c.Failures {
				f.writeText(&b)
			}
		}
	}
	if c := r.Coverage; c != nil {
		fmt.Fprintf(&b, "coverage  %.1f%% of %d statements\n", c.Percent, c.Statements)
		for _, f := range c.Files {
			fmt.Fprintf(&b, "  %5.1f%%  %s", f.Percent, f.File)
			if len(f.Missed) > 0 {
				fmt.Fprintf(&b, "  not run: lines %s", ranges(f.Missed))
			}
			b.WriteByte('\n')
		}
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "FAIL  %s\n", e)
	}
	files := "files"
	if r.Files == 1 {
		files = "file"
	}
	word := "ok   "
	if !r.OK {
		word = "FAIL "
	}
	fmt.Fprintf(&b, "%s %d passed, %d failed, %d skipped in %d %s\n", word, r.Passed, r.Failed, r.Skipped, r.Files, files)
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *Failure) writeText(b *strings.Builder) {
	const margin = "      "
	if at := f.At.String(); at != "" {
		fmt.Fprintf(b, "%s%s: ", margin, at)
	} else {
		b.WriteString(margin)
	}
	b.WriteString(strings.ReplaceAll(f.Message, "\n", "\n"+margin) + "\n")
	if f.Stack != "" {
		b.WriteString(margin + "  " + strings.ReplaceAll(strings.TrimSpace(f.Stack), "\n", "\n"+margin+"  ") + "\n")
	}
	if f.Decision == nil {
		return
	}
	var d map[string]json.RawMessage
	if json.Unmarshal(f.Decision, &d) != nil {
		return
	}
	ledger := d["ledger"]
	var explain struct{ Ledger json.RawMessage }
	if ledger == nil && json.Unmarshal(d["explain"], &explain) == nil {
		ledger = explain.Ledger
	}
	delete(d, "ledger")
	delete(d, "explain")
	if text, err := json.Marshal(d); err == nil {
		fmt.Fprintf(b, "%s  decision %s\n", margin, text)
	}
	var entries []Taken
	if json.Unmarshal(ledger, &entries) != nil {
		return
	}
	for _, e := range entries {
		verb := "took"
		if !e.OK {
			verb = "refused"
		}
		fmt.Fprintf(b, "%s  ledger   %s %s %d of key %q, wait %v ms, remaining %d of %d\n", margin, e.Name, verb, e.Cost, e.Key, e.Wait, e.Remaining, e.Limit)
	}
}

// ranges writes 3, 5-7.
func ranges(lines []int) string {
	var parts []string
	for i := 0; i < len(lines); {
		j := i
		for j+1 < len(lines) && lines[j+1] == lines[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(lines[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", lines[i], lines[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// WriteJSON writes the report as SchemaTest.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class    string        `xml:"classname,attr"`
	Name     string        `xml:"name,attr"`
	Time     string        `xml:"time,attr"`
	Skipped  *struct{}     `xml:"skipped"`
	Failures []junitDetail `xml:"failure"`
	Error    *junitDetail  `xml:"error"`
}

type junitDetail struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report as most build servers read it.
func (r *Report) WriteJUnit(w io.Writer) error {
	s := junitSuite{Name: "gaia policy test", Tests: len(r.Cases) + len(r.Errors), Failures: r.Failed, Errors: len(r.Errors), Skipped: r.Skipped, Time: fmt.Sprintf("%.3f", r.Seconds)}
	for i := range r.Cases {
		c := &r.Cases[i]
		j := junitCase{Class: printable(c.File), Name: printable(c.Name), Time: fmt.Sprintf("%.3f", c.Seconds)}
		if c.Skipped {
			j.Skipped = &struct{}{}
		}
		for _, f := range c.Failures {
			var b strings.Builder
			f.writeText(&b)
			j.Failures = append(j.Failures, junitDetail{printable(f.Message), printable(b.String())})
		}
		s.Cases = append(s.Cases, j)
	}
	for _, e := range r.Errors {
		s.Cases = append(s.Cases, junitCase{Class: "gaia", Name: "run", Time: "0", Error: &junitDetail{Message: printable(e)}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// printable drops what XML cannot hold.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
