package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/gaia-host/gaia/bench/internal/measure"
	"github.com/gaia-host/gaia/subsystems/files"
	"github.com/google/renameio/v2"
)

const smallFile, bigFile = 4 << 10, 1 << 20

// withFiles runs fn with a manager whose root "data" is a new folder, and removes both.
func withFiles(ctx context.Context, fn func(m *files.Manager, dir string) (outcome, error)) (out outcome, err error) {
	dir, err := os.MkdirTemp("", "gaia-gate-")
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := files.DefaultConfig()
	c.Roots = map[string]files.Root{"data": {Path: dir}}
	m, err := files.New(c)
	if err != nil {
		return outcome{}, err
	}
	if err := m.Start(ctx); err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, m.Stop(ctx)) }()
	return fn(m, dir)
}

var errFileSize = errors.New("a file of the wrong size")

// fileRead compares the read of a small file through admission with os.ReadFile.
func fileRead(ctx context.Context, e effort) (outcome, error) {
	return withFiles(ctx, func(m *files.Manager, dir string) (outcome, error) {
		name, ref := filepath.Join(dir, "f"), files.Ref{Root: "data", Path: "f"}
		if err := os.WriteFile(name, make([]byte, smallFile), 0o644); err != nil {
			return outcome{}, err
		}
		checked := func(data []byte, err error) error {
			if err == nil && len(data) != smallFile {
				err = errFileSize
			}
			return err
		}
		ours := ops(func() error { return checked(m.Read(ctx, ref, files.Options{})) })
		theirs := ops(func() error { return checked(os.ReadFile(name)) })
		res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Garbage))
		return compared(res, 0, "files.Read", "os.ReadFile"), err
	})
}

// durableWrite compares the durable write of a small file with renameio, by the clock:
// the time is the disk's. The disk is everybody's, so it takes many short turns.
func durableWrite(ctx context.Context, e effort) (outcome, error) {
	return withFiles(ctx, func(m *files.Manager, dir string) (outcome, error) {
		data := bytes.Repeat([]byte("gate"), smallFile/4)
		theirDir := filepath.Join(dir, "theirs")
		if err := os.Mkdir(theirDir, 0o755); err != nil {
			return outcome{}, err
		}
		i := 0
		name := func() string { i++; return fmt.Sprintf("f%d", i%8) }
		ours := ops(func() error {
			_, err := m.WriteBytes(ctx, files.Ref{Root: "data", Path: name()}, data, files.Options{Durability: files.DurabilityFile})
			return err
		})
		theirs := ops(func() error {
			return renameio.WriteFile(filepath.Join(theirDir, name()), data, 0o644, renameio.WithTempDir(theirDir), renameio.WithExistingPermissions())
		})
		plan := e.plan()
		plan.Turns *= 5
		res, err := measure.Interleave(plan, measure.Ratio, measure.Parallel(ours, 1, e.Sample), measure.Parallel(theirs, 1, e.Sample))
		return compared(res, 0, "files.Write", "renameio"), err
	})
}

// forget takes bytes and forgets them; it is no io.ReaderFrom, which would bring a buffer of its own.
type forget struct{ n int64 }

func (f *forget) Write(b []byte) (int, error) { f.n += int64(len(b)); return len(b), nil }

// fileStream compares the stream of a large file with a loop over a pooled buffer.
func fileStream(ctx context.Context, e effort) (outcome, error) {
	return withFiles(ctx, func(m *files.Manager, dir string) (outcome, error) {
		name, ref := filepath.Join(dir, "f"), files.Ref{Root: "data", Path: "f"}
		if err := os.WriteFile(name, make([]byte, bigFile), 0o644); err != nil {
			return outcome{}, err
		}
		var sink forget
		ours := ops(func() error {
			r, err := m.Open(ctx, ref, files.Options{})
			if err != nil {
				return err
			}
			n, err := io.Copy(&sink, r)
			if n != bigFile && err == nil {
				err = errFileSize
			}
			return errors.Join(err, r.Close())
		})
		pool := sync.Pool{New: func() any { return new([128 << 10]byte) }}
		theirs := ops(func() error { return streamPlain(name, &pool, &sink) })
		allocs, err := measure.Allocs(ours, max(e.Allocs/20, 1))
		if err != nil {
			return outcome{}, err
		}
		res, err := measure.Interleave(e.plan(), measure.Ratio, measure.Serial(ours, e.Garbage), measure.Serial(theirs, e.Garbage))
		return compared(res, allocs, "files.Open", "os.Open and a pooled buffer"), err
	})
}

func streamPlain(name string, pool *sync.Pool, sink io.Writer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	buf, ok := pool.Get().(*[128 << 10]byte)
	if !ok {
		return errFileSize
	}
	defer pool.Put(buf)
	for {
		n, err := f.Read(buf[:])
		if _, werr := sink.Write(buf[:n]); werr != nil {
			return errors.Join(werr, f.Close())
		}
		if errors.Is(err, io.EOF) {
			return f.Close()
		} else if err != nil {
			return errors.Join(err, f.Close())
		}
	}
}
