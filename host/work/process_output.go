package work

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/gaia-host/gaia/subsystems/process"
)

// allOfARing asks for all the output that is kept of a stream, in bytes.
const allOfARing = 64 << 20

func (c ProcessConfig) logs(ctx context.Context, _ *Call, in *logsInput, out *Out) error {
	p, err := c.get(in.ID)
	if err != nil {
		return err
	}
	if in.Lines != nil && *in.Lines < 0 {
		return BadInput("lines", "want 0 or more")
	}
	from := []process.Stream{process.Stdout, process.Stderr}
	switch in.Stream {
	case "stdout":
		from = from[:1]
	case "stderr":
		from = from[1:]
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out.Header().Set("X-Content-Type-Options", "nosniff")
	if err := out.Start(); err != nil {
		return err
	}
	if !in.Follow {
		for _, s := range from {
			if _, err := out.Write(lastLines(p.Tail(s, allOfARing), in.Lines)); err != nil {
				return err
			}
		}
		return nil
	}
	err = followed(ctx, p, from, in.Lines, func(_ process.Stream, b []byte) error {
		_, err := out.Write(b)
		return err
	})
	if ctx.Err() != nil {
		return nil // a follower that leaves, or a gaia that stops, cuts nothing short
	}
	return err
}

// lastLines are the last n lines of b; nil: all.
func lastLines(b []byte, n *int) []byte {
	if n == nil {
		return b
	}
	left := *n
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '\n' && i != len(b)-1 {
			if left--; left <= 0 {
				return b[i+1:]
			}
		}
	}
	if *n == 0 {
		return nil
	}
	return b
}

// followed gives the output as it comes, of several streams one piece at a time,
// until the process has ended, ctx ends or give fails.
func followed(ctx context.Context, p *process.Process, from []process.Stream, lines *int, give func(process.Stream, []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // one piece at a time
	var wg sync.WaitGroup
	errs := make([]error, len(from))
	for i, s := range from {
		tail := int64(allOfARing)
		if lines != nil {
			tail = int64(len(lastLines(p.Tail(s, allOfARing), lines)))
		}
		r := p.Follow(ctx, s, tail)
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := r.Read(buf)
				if n > 0 {
					mu.Lock()
					err = give(s, buf[:n])
					mu.Unlock()
				}
				if err != nil {
					if !errors.Is(err, io.EOF) {
						errs[i] = err
						cancel()
					}
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
