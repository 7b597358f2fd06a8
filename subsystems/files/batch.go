package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
)

const (
	// MaxBatch bounds the steps of a batch.
	MaxBatch     = 10_000
	defaultBatch = 8 // steps at once
)

// Step is one operation of a batch.
type Step struct {
	Action string // read, write, append, copy, move, remove, mkdir, stat, json, xml
	Ref    Ref
	To     Ref    // of copy and move
	Data   []byte // of write and append
	// Options of the step; those that say for whom and how long count for the batch alone.
	Options Options
}

// StepResult is how a step ended.
type StepResult struct {
	Entry Entry  // of the file that was written, moved or described
	Data  []byte // of read and json
	XML   *Node
	Err   error
}

// Batch does the steps, so many at once (0: 8), in no order, each as an operation of its own: one
// that fails does not keep the others from being done. The results are in the order of the steps;
// the error joins theirs, and is nil only if every step was done.
func (m *Manager) Batch(ctx context.Context, steps []Step, atOnce int, o Options) ([]StepResult, error) {
	if len(steps) > MaxBatch {
		return nil, fmt.Errorf("files: %w: a batch has at most %d steps, got %d", ErrTooLarge, MaxBatch, len(steps))
	}
	if atOnce <= 0 {
		atOnce = defaultBatch
	}
	results := make([]StepResult, len(steps))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(atOnce, len(steps), max(int(m.live.Load().MaxConcurrent), 1)) {
		wg.Go(func() {
			for i := range next {
				s := steps[i]
				s.Options.Tenant, s.Options.Header, s.Options.Timeout = o.Tenant, o.Header, o.Timeout
				s.Options.Priority, s.Options.HasPriority, s.Options.Cost = o.Priority, o.HasPriority, o.Cost
				results[i] = m.doStep(ctx, &s)
			}
		})
	}
	for i := range steps {
		next <- i
	}
	close(next)
	wg.Wait()
	errs := make([]error, 0, len(results))
	for i := range results {
		errs = append(errs, results[i].Err)
	}
	return results, errors.Join(errs...)
}

func (m *Manager) doStep(ctx context.Context, s *Step) (r StepResult) {
	if err := ctx.Err(); err != nil {
		return StepResult{Err: err}
	}
	switch s.Action {
	case "read":
		r.Data, r.Err = m.Read(ctx, s.Ref, s.Options)
	case "write":
		r.Entry, r.Err = m.WriteBytes(ctx, s.Ref, s.Data, s.Options)
	case "append":
		r.Entry, r.Err = m.Append(ctx, s.Ref, bytes.NewReader(s.Data), s.Options)
	case "copy":
		r.Entry, r.Err = m.Copy(ctx, s.Ref, s.To, s.Options)
	case "move":
		r.Entry, r.Err = m.Move(ctx, s.Ref, s.To, s.Options)
	case "remove":
		r.Err = m.Remove(ctx, s.Ref, s.Options)
	case "mkdir":
		r.Err = m.Mkdir(ctx, s.Ref, s.Options)
	case "stat":
		r.Entry, r.Err = m.Stat(ctx, s.Ref, s.Options)
	case "json":
		r.Data, r.Err = m.JSON(ctx, s.Ref, nil, s.Options)
	case "xml":
		r.XML, r.Err = m.XML(ctx, s.Ref, s.Options)
	default:
		r.Err = &Error{s.Action, s.Ref.Root, s.Ref.Path, ErrAction}
	}
	return r
}
