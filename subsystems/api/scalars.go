package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gaia-host/gaia/subsystems/api/scalars"
)

// scalarNames returns what is to be extracted for x, nil for nothing. Compiling is
// done once for a chain.
func (p *Pool) scalarNames(x *exchange) *scalars.Names {
	names := p.core.Slot().Scalars(&x.op.Req)
	if len(names) == 0 {
		return nil
	}
	if last := p.compiled.Load(); last != nil && &last.from[0] == &names[0] {
		return last.names
	}
	c := &compiledNames{from: names, names: scalars.Compile(names)}
	p.compiled.Store(c)
	return c.names
}

type compiledNames struct {
	from  []string
	names *scalars.Names
}

// readScalars reads the scalars of the request's body from its first bytes, before
// the policies are asked. It returns when those are there, or when the caller leaves.
func (x *exchange) readScalars(c *Call) error {
	x.names = x.pool.scalarNames(x)
	if x.names == nil || c.Scalars != nil || x.body == nil ||
		scalars.KindOf(c.Header.Get("Content-Type"), c.Header.Get("Content-Encoding")) != scalars.JSON {
		return nil
	}
	head := make(chan *prefixed, 1)
	src := x.body.src
	go func() { head <- readPrefix(src) }() // ends with the body: a Read cannot be cancelled
	select {
	case p := <-head:
		x.body.src = p
		values := scalars.NewValues(x.names)
		doc := p.first
		if p.err != nil {
			doc = append(doc, '\n') // complete: nothing in it is cut off
		}
		values.Scan(doc)
		x.op.Req.Body = values
		return nil
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

// prefixed is a body of which the first bytes were read already.
type prefixed struct {
	first []byte
	err   error // what the source ended with, nil: it goes on
	rest  *bytes.Reader
	src   io.Reader
}

func readPrefix(src io.Reader) *prefixed {
	p := &prefixed{src: src}
	var buf bytes.Buffer
	n, err := io.CopyN(&buf, src, scalars.MaxRead)
	p.first = buf.Bytes()
	if n < scalars.MaxRead {
		p.err = err
	}
	p.rest = bytes.NewReader(p.first[:n:n])
	return p
}

// Read gives the first bytes again, then the source.
func (p *prefixed) Read(b []byte) (int, error) {
	switch n, err := p.rest.Read(b); {
	case !errors.Is(err, io.EOF):
		return n, err
	case p.err != nil:
		return 0, p.err
	}
	return p.src.Read(b)
}

// Buffered is how many bytes can be read without waiting.
func (p *prefixed) Buffered() int {
	if p.err != nil {
		return p.rest.Len()
	}
	return p.rest.Len() + buffered(p.src)
}

// Close closes the source, where it can be closed.
func (p *prefixed) Close() error {
	if c, ok := p.src.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// tapped reads the scalars of the answer while it passes.
func (x *exchange) tapped(res *http.Response) {
	if x.names == nil {
		return
	}
	x.tap = scalars.NewTap(x.names, scalars.KindOf(res.Header.Get("Content-Type"), res.Header.Get("Content-Encoding")))
}

// untap shows what the body said to those who are told of its end.
func (x *exchange) untap() {
	if v := x.tap.End(); v != nil {
		x.res.Body = v
	}
}
