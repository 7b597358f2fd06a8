package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/work"
)

// member is one member of a JSON object, in the order that it was sent in.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf reads an object and keeps its order; nil for anything else.
func membersOf(data []byte) []member {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var list []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		if text, _ := name.(string); text != "schema" {
			list = append(list, member{text, value})
		}
	}
	return list
}

// cell is a JSON value as a table shows it.
func cell(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// printAnswer prints a JSON object for people: a line for each member, and lists of
// objects as tables.
func printAnswer(w io.Writer, data []byte) error {
	members := membersOf(data)
	if members == nil {
		_, err := fmt.Fprintln(w, strings.TrimSpace(string(data)))
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, m := range members {
		if rows := rowsOf(m.value); rows == nil {
			fmt.Fprintf(t, "%s\t%s\n", m.name, cell(m.value))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range members {
		if rows := rowsOf(m.value); rows != nil {
			printRows(w, rows)
		}
	}
	return nil
}

// rowsOf is a list of objects; nil for anything else.
func rowsOf(value json.RawMessage) [][]member {
	var items []json.RawMessage
	if json.Unmarshal(value, &items) != nil || len(items) == 0 {
		return nil
	}
	var rows [][]member
	for _, item := range items {
		row := membersOf(item)
		if row == nil {
			return nil
		}
		rows = append(rows, row)
	}
	return rows
}

// printRows prints a table whose columns are the members of all rows.
func printRows(w io.Writer, rows [][]member) {
	var columns []string
	place := map[string]int{}
	for _, row := range rows {
		for _, m := range row {
			if _, ok := place[m.name]; !ok {
				place[m.name] = len(columns)
				columns = append(columns, m.name)
			}
		}
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.ReplaceAll(strings.Join(columns, "\t"), "_", " ")))
	for _, row := range rows {
		cells := make([]string, len(columns))
		for _, m := range row {
			cells[place[m.name]] = cell(m.value)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush()
}

// maxLine bounds one line of a streamed answer.
const maxLine = 32 << 20

// showLines prints JSON lines as they come. A line with a problem ends it with that
// error; one with progress is drawn.
func showLines(w io.Writer, r io.Reader, format string, p *progress) error {
	return eachLine(r, p, func(line []byte) error {
		if format == "json" {
			_, err := fmt.Fprintf(w, "%s\n", line)
			return err
		}
		var cells []string
		for _, m := range membersOf(line) {
			cells = append(cells, cell(m.value))
		}
		_, err := fmt.Fprintln(w, strings.Join(cells, "  "))
		return err
	})
}

// eachLine gives fn the lines of a streamed answer, but for progress, which is drawn,
// and a problem, which is the error.
func eachLine(r io.Reader, p *progress, fn func(line []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var special struct {
			Problem  *control.Problem `json:"problem"`
			Progress *work.Progress   `json:"progress"`
		}
		if json.Unmarshal(lines.Bytes(), &special) == nil {
			switch {
			case special.Problem != nil:
				return &control.AnswerError{Problem: *special.Problem}
			case special.Progress != nil:
				p.show(special.Progress.Done, special.Progress.Total, special.Progress.Unit)
				continue
			}
		}
		p.clear()
		if err := fn(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return err
		}
		return cut(err)
	}
	return nil
}

// progress draws on a terminal what takes long; elsewhere it draws nothing. It is
// safe for concurrent use.
type progress struct {
	w     io.Writer // nil: nothing is drawn
	began time.Time

	mu    sync.Mutex // guards what follows
	drawn bool
	last  time.Time
	ticks *time.Timer
	ended bool
}

// drawEvery is how often a line is drawn anew; the first comes after that time too,
// so that what is quick draws nothing.
const drawEvery = 250 * time.Millisecond

func newProgress(w io.Writer) *progress {
	p := &progress{began: time.Now()}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

// waiting draws what is waited for and for how long, until something else is drawn.
func (p *progress) waiting(what string) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ticks = time.AfterFunc(drawEvery, func() { p.tick(what) })
}

func (p *progress) tick(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.ticks == nil {
		return
	}
	p.drawLocked(fmt.Sprintf("%s  %s", what, time.Since(p.began).Round(time.Second/10)))
	p.ticks.Reset(drawEvery)
}

func (p *progress) drawLocked(line string) {
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	p.drawn, p.last = true, time.Now()
}

// show draws how far it is, with the time that is probably left.
func (p *progress) show(done, total int64, unit string) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if total > 0 {
		p.partLocked(float64(done)/float64(total), fmt.Sprintf("%d of %d %s", done, total, unit))
	} else if p.dueLocked(false) {
		p.drawLocked(fmt.Sprintf("%d %s", done, unit))
	}
}

// part is show for what is known as a share, 0 to 1, with words to it.
func (p *progress) part(share float64, words string) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partLocked(share, words)
}

func (p *progress) partLocked(share float64, words string) {
	if !p.dueLocked(share >= 1) {
		return
	}
	line := fmt.Sprintf("%3d %%  %s", int(share*100+1e-9), words)
	if share > 0 && share < 1 {
		left := float64(time.Since(p.began)) * (1 - share) / share
		line += "  " + time.Duration(min(left, float64(longestLeft))).Round(time.Second).String() + " left"
	}
	p.drawLocked(line)
}

// longestLeft bounds the time that is said to be left: the first moments say little.
const longestLeft = 1000 * time.Hour

// dueLocked reports whether it is time to draw: the last time always is, after something
// was drawn or could have been.
func (p *progress) dueLocked(last bool) bool {
	p.ticks = nil
	return !p.ended && (last || time.Since(p.last) >= drawEvery) && time.Since(p.began) >= drawEvery
}

// clear takes the line away before something else is printed.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ticks = nil
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// end draws nothing from now on. It may be called again.
func (p *progress) end() {
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// counting draws how many bytes passed to w; total is -1 where it is not known.
func (p *progress) counting(w io.Writer, total int64) io.Writer {
	return &counter{w: w, p: p, total: max(total, 0)}
}

type counter struct {
	w           io.Writer
	p           *progress
	done, total int64
}

// Write passes p on.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.done += int64(n)
	c.p.show(c.done, c.total, "bytes")
	return n, err
}
