// Package report writes what an experiment found: a table for a terminal, files for
// programs, and a page for people. Nothing that it writes, but timing.txt, depends on
// the machine or on the time.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/google/renameio/v2"

	"github.com/gaia-host/gaia/host/experiment"
)

// Names of the files in a folder.
const (
	ResultFile     = "result.json"
	StrategiesFile = "strategies.csv"
	ReplicasFile   = "replicas.csv"
	SeriesFile     = "series.csv"
	PageFile       = "report.html"
	TimingFile     = "timing.txt"
)

// maxResult bounds a result that is read.
const maxResult = 256 << 20

// Source is what a result was made from.
type Source struct {
	Script string        // its text, shown in the page
	Took   time.Duration // wall time, for timing.txt
}

// Write writes every file into dir, which is made where it is missing. Each file
// appears whole or not at all; other files in dir stay as they are.
func Write(dir string, r *experiment.Result, src Source) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	parts := []struct {
		name string
		to   func(w io.Writer) error
	}{
		{ResultFile, func(w io.Writer) error { return JSON(w, r) }},
		{StrategiesFile, func(w io.Writer) error { return strategiesCSV(w, r) }},
		{ReplicasFile, func(w io.Writer) error { return replicasCSV(w, r) }},
		{SeriesFile, func(w io.Writer) error { return seriesCSV(w, r) }},
		{PageFile, func(w io.Writer) error { return HTML(w, r, src.Script) }},
		{TimingFile, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "wall time %s\n", src.Took.Round(time.Millisecond))
			return err
		}},
	}
	for _, p := range parts {
		var b bytes.Buffer
		if err := p.to(&b); err != nil {
			return fmt.Errorf("write %s: %w", p.name, err)
		}
		if err := renameio.WriteFile(filepath.Join(dir, p.name), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// JSON writes a result as result.json holds it.
func JSON(w io.Writer, r *experiment.Result) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// ErrSchema is wrapped by the error of Load for a file that is JSON and no result.
var ErrSchema = errors.New("not a result of an experiment")

// Load reads a result: a result.json, or a folder that holds one.
func Load(path string) (*experiment.Result, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, ResultFile)
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read a result: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxResult {
		return nil, fmt.Errorf("read a result: %s: want a file of at most %d MiB", path, maxResult>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a result: %w", err)
	}
	r, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Parse reads the text of a result.json.
func Parse(text []byte) (*experiment.Result, error) {
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if head.Schema != experiment.Schema {
		return nil, fmt.Errorf("%w: the schema is %q, want %q", ErrSchema, head.Schema, experiment.Schema)
	}
	r := &experiment.Result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if r.Spec == nil || len(r.Strategies) == 0 {
		return nil, fmt.Errorf("%w: it has no spec or no strategies", ErrSchema)
	}
	return r, nil
}

// Printable is text for a terminal: what would steer one is replaced.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// finite reports whether v can be shown.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
