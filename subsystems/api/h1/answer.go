package h1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

// maxFields bounds the fields of a head: each costs more memory than it has bytes.
const maxFields = 1000

// answer is a http.Response and all that it is made of.
type answer struct {
	res      http.Response
	fields   head.Fields
	body     body
	switches bool // the connection speaks another protocol from now on
}

// answer reads the answer to r as far as its head, and informational ones before it.
func (x *exchange) answer(r *Request) (*answer, error) {
	bound := x.conn.t.c.MaxHeaderBytes
	for left := bound; ; {
		block, err := x.head(left)
		if err != nil {
			return nil, err
		}
		a := &answer{}
		if err := a.parse(block, r.Method); err != nil {
			return nil, err
		}
		a.res.TLS = x.conn.state
		code := a.res.StatusCode
		if code >= http.StatusOK || code == http.StatusSwitchingProtocols {
			x.send.answered()
			return a, nil
		}
		if code == http.StatusContinue {
			x.send.proceed()
		}
		left -= len(block)
		if r.Got1xx != nil {
			if err := r.Got1xx(code, textproto.MIMEHeader(a.res.Header)); err != nil {
				return nil, err
			}
			left = bound // whoever is told of each bounds their number
		}
	}
}

// head reads one head of at most most bytes.
func (x *exchange) head(most int) (string, error) {
	c := x.conn
	for seen := 0; ; {
		b := c.ahead()
		if n := head.End(b, seen); n > 0 && n <= most {
			c.r += n
			return string(b[:n]), nil
		}
		if len(b) >= most {
			return "", ErrHeadTooLarge
		}
		seen = len(b)
		x.begun = x.begun || seen > 0
		if err := c.fill(); err != nil {
			return "", x.ended(err)
		}
	}
}

// ended is the error of a connection that ended before the head did.
func (x *exchange) ended(err error) error {
	switch {
	case !x.begun:
		x.read = true
		if errors.Is(err, io.EOF) {
			return ErrNoAnswer
		}
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("h1: read the answer: %w", err)
}

// parse reads a head, and decides how the body ends.
func (a *answer) parse(block, method string) error {
	line, rest, err := head.Line(block)
	if err != nil {
		return malformed("the status line does not end with CR LF")
	}
	if err := a.parseLine(line); err != nil {
		return err
	}
	if err := a.fields.Parse(rest, maxFields); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	res := &a.res
	res.Header = a.fields.Header
	res.Close = closes(res)
	return a.frame(method)
}

// parseLine reads the status line.
func (a *answer) parseLine(line string) error {
	const size = len("HTTP/1.1 200")
	if len(line) < size || line[8] != ' ' || len(line) > size && line[size] != ' ' {
		return malformed("the status line is not one")
	}
	res := &a.res
	switch line[:8] {
	case "HTTP/1.1":
		res.Proto, res.ProtoMinor = "HTTP/1.1", 1
	case "HTTP/1.0":
		res.Proto = "HTTP/1.0"
	default:
		return malformed("the version is neither HTTP/1.1 nor HTTP/1.0")
	}
	res.ProtoMajor = 1
	for _, digit := range []byte(line[9:size]) {
		if digit < '0' || digit > '9' {
			return malformed("the status is not a number")
		}
		res.StatusCode = 10*res.StatusCode + int(digit-'0')
	}
	if res.StatusCode < 100 {
		return malformed("the status is below 100")
	}
	if _, ok := head.Value(line[size:]); !ok {
		return malformed("the status line holds a control character")
	}
	res.Status = line[9:]
	return nil
}

// closes reports whether the server ends the connection after the answer.
func closes(res *http.Response) bool {
	values := res.Header["Connection"]
	if res.ProtoMinor == 0 {
		return !httpguts.HeaderValuesContainsToken(values, "keep-alive") || httpguts.HeaderValuesContainsToken(values, "close")
	}
	return len(values) > 0 && httpguts.HeaderValuesContainsToken(values, "close")
}

// frame decides by RFC 9112, 6.3, how the body ends. Where that is in doubt, the answer
// is refused.
func (a *answer) frame(method string) error {
	res := &a.res
	length, err := head.Length(res.Header)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if v := res.Header["Content-Length"]; len(v) > 1 {
		res.Header["Content-Length"] = v[:1:1]
	}
	codings, chunked := res.Header["Transfer-Encoding"]
	if chunked {
		switch {
		case len(codings) != 1 || !strings.EqualFold(codings[0], "chunked"):
			return malformed("the transfer coding is not chunked")
		case res.ProtoMinor == 0:
			return malformed("a transfer coding in HTTP/1.0")
		case length >= 0:
			return malformed("both Transfer-Encoding and Content-Length")
		}
		delete(res.Header, "Transfer-Encoding")
		res.TransferEncoding = chunkedOnly
		if err := a.announce(); err != nil {
			return err
		}
	}
	res.Body, res.ContentLength = http.NoBody, length
	code := res.StatusCode
	switch {
	case code == http.StatusSwitchingProtocols:
		res.ContentLength, res.Close = 0, true
		a.switches = switches(res.Header)
	case method == http.MethodHead:
	case code < http.StatusOK, code == http.StatusNoContent, code == http.StatusNotModified:
		res.ContentLength = 0
	case chunked:
		a.body.ends, res.Body = byChunk, nil
	case length > 0:
		a.body.ends, a.body.left, res.Body = byLength, length, nil
	case length < 0:
		a.body.ends, res.Body, res.Close = byClose, nil, true
	}
	return nil
}

// chunkedOnly is the TransferEncoding of all chunked answers.
var chunkedOnly = []string{"chunked"}

// announce makes the trailer that the head announces.
func (a *answer) announce() error {
	lists := a.res.Header["Trailer"]
	if len(lists) == 0 {
		return nil
	}
	delete(a.res.Header, "Trailer")
	trailer := http.Header{}
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if name == "" {
				continue
			}
			if notInTrailer(name) {
				return malformed("a trailer that names the framing")
			}
			trailer[name] = nil
		}
	}
	if len(trailer) > 0 {
		a.res.Trailer = trailer
	}
	return nil
}

// switches reports whether a 101 names the protocol that it switches to.
func switches(h http.Header) bool {
	return h.Get("Upgrade") != "" && httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade")
}
