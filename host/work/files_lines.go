package work

import (
	"context"
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/gaia-host/gaia/subsystems/files"
)

type folderInput struct {
	File  string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH of the folder; ROOT: is the root"`
	Limit int    `json:"limit" doc:"how many at most"`
}

// moreLine is the last line of a listing that is not whole.
type moreLine struct {
	More bool `json:"more"`
}

// lines gives entries as lines.
func lines(out *Out, entries []files.Entry, more bool) error {
	for _, e := range entries {
		if err := out.Line(entryOf(e)); err != nil {
			return err
		}
	}
	if more {
		return out.Line(moreLine{true})
	}
	return out.Start()
}

func (w fileWork) list(ctx context.Context, c *Call, in *folderInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	o.Limit = in.Limit
	entries, more, err := w.m.List(ctx, ref, o)
	held(c, &o)
	if err != nil {
		return err
	}
	return lines(out, entries, more)
}

func (w fileWork) walk(ctx context.Context, c *Call, in *folderInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	o.Limit = in.Limit
	more, err := w.m.Walk(ctx, ref, o, func(e files.Entry) error { return out.Line(entryOf(e)) })
	if err != nil {
		return err
	}
	return lines(out, nil, more)
}

type globInput struct {
	File    string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH of the folder; ROOT: is the root"`
	Pattern string `json:"pattern" arg:"yes" need:"yes" doc:"with * ** ? {a,b} [a-z]"`
	Limit   int    `json:"limit" doc:"how many at most"`
}

func (w fileWork) glob(ctx context.Context, c *Call, in *globInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	o.Limit = in.Limit
	entries, more, err := w.m.Glob(ctx, ref, in.Pattern, o)
	held(c, &o)
	if err != nil {
		return err
	}
	return lines(out, entries, more)
}

type batchInput struct {
	Steps  []stepInput `json:"steps" arg:"yes" need:"yes" doc:"a list of {action, file, to, data, parents, exclusive, recursive, durability}"`
	AtOnce int         `json:"at_once" doc:"how many at once; 8 unless told"`
}

// stepInput is one step of a batch.
type stepInput struct {
	Action     string `json:"action"`
	File       string `json:"file"`
	To         string `json:"to"`
	Data       string `json:"data"`
	Durability string `json:"durability"`
	Exclusive  bool   `json:"exclusive"`
	Parents    bool   `json:"parents"`
	Recursive  bool   `json:"recursive"`
}

// stepAnswer is how a step ended.
type stepAnswer struct {
	Step   int         `json:"step"` // from 0
	Action string      `json:"action"`
	File   string      `json:"file"`
	Status int         `json:"status"`
	Error  string      `json:"error,omitempty"`
	Entry  *entry      `json:"entry,omitempty"`
	Data   string      `json:"data,omitempty"`
	Base64 string      `json:"data_base64,omitempty"` // instead of data, where it is not UTF-8
	XML    *files.Node `json:"xml,omitempty"`
}

func (w fileWork) batch(ctx context.Context, c *Call, in *batchInput, out *Out) error {
	steps := make([]files.Step, 0, len(in.Steps))
	for _, s := range in.Steps {
		ref, err := refOf("steps.file", s.File)
		if err != nil {
			return err
		}
		step := files.Step{Action: s.Action, Ref: ref, Data: []byte(s.Data)}
		if s.To != "" {
			if step.To, err = refOf("steps.to", s.To); err != nil {
				return err
			}
		}
		if step.Options, err = writeOptions(c, s.Durability, s.Exclusive, s.Parents); err != nil {
			return err
		}
		step.Options.Recursive = s.Recursive
		steps = append(steps, step)
	}
	results, err := w.m.Batch(ctx, steps, in.AtOnce, options(c))
	if results == nil {
		return err
	}
	failed := 0
	for i, r := range results {
		a := stepAnswer{Step: i, Action: steps[i].Action, File: in.Steps[i].File, Status: files.Status(r.Err), XML: r.XML}
		if r.Err != nil {
			failed++
			a.Error = r.Err.Error()
			if d := files.IsDenied(r.Err); d != nil {
				a.Status = d.Status
			}
		} else if r.Entry.Kind != "" {
			e := entryOf(r.Entry)
			a.Entry = &e
		}
		if utf8.Valid(r.Data) {
			a.Data = string(r.Data)
		} else {
			a.Base64 = base64.StdEncoding.EncodeToString(r.Data)
		}
		if err := out.Line(a); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &Error{Code: CodeFailed, Title: "not every step was done", Detail: fmt.Sprintf("%d of %d failed", failed, len(results)), Err: err}
	}
	return out.Start()
}

type watchInput struct {
	File      string `json:"file" arg:"yes" need:"yes" doc:"ROOT:PATH of the folder; ROOT: is the root"`
	Recursive bool   `json:"recursive" doc:"all below it too"`
	Count     int    `json:"count" doc:"end after so many events"`
}

// eventLine is a change.
type eventLine struct {
	Kind string `json:"kind"`
	Path string `json:"path"`
}

func (w fileWork) watch(ctx context.Context, c *Call, in *watchInput, out *Out) error {
	ref, err := refOf("file", in.File)
	if err != nil {
		return err
	}
	o := options(c)
	o.Recursive, o.Timeout = in.Recursive, 0 // the time is that of the whole watch
	watch, err := w.m.Watch(ctx, ref, o)
	held(c, &o)
	if err != nil {
		return err
	}
	defer watch.Close()
	if err := out.Start(); err != nil {
		return err
	}
	n := 0
	for e := range watch.Events() {
		if err := out.Line(eventLine{e.Kind, e.Path}); err != nil {
			return err
		}
		if n++; n == in.Count {
			return nil
		}
	}
	return ctx.Err()
}
