package h1

import (
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
)

// userAgent is sent where Header has no User-Agent; an empty one there sends none. It
// is net/http's, which sends the other requests of a pool.
const userAgent = "Go-http-client/1.1"

// Request is what RoundTrip sends. Host, Content-Length, Transfer-Encoding and Trailer
// are made from its fields, whatever Header says.
type Request struct {
	Method string // "" is GET
	URL    *url.URL
	Header http.Header
	// Body is nil where there is none. One with a method Buffered() int says how many
	// bytes can be read of it without waiting: a short one that is all there is sent
	// together with the head.
	Body          io.ReadCloser
	ContentLength int64       // of Body; 0 and below: unknown
	Trailer       http.Header // sent after a Body of unknown length; may be filled in until its end
	// GetBody returns Body again from its beginning; nil: it cannot be sent twice.
	GetBody func() (io.ReadCloser, error)
	// Got1xx is told of informational answers but 101, from RoundTrip; an error ends
	// the exchange.
	Got1xx func(code int, header textproto.MIMEHeader) error

	closes  bool // the connection is not to be used again
	expects bool // the body is held back until it is asked for
}

// maxInline is the longest body that is sent together with the head: it has to fit what
// the system takes without waiting for the server.
const maxInline = 16 << 10

// prepare checks what can be checked before there is a connection.
func (r *Request) prepare() (hostKey, error) {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	u := r.URL
	switch {
	case u == nil || u.Scheme != "http" && u.Scheme != "https":
		return hostKey{}, unsendable("its URL is not an http or https one")
	case u.Host == "":
		return hostKey{}, unsendable("its URL has no host")
	case r.Method == http.MethodConnect:
		return hostKey{}, unsendable("CONNECT asks for a tunnel")
	}
	if !head.Token(r.Method) {
		return hostKey{}, unsendable("its method is not a token")
	}
	if r.Body == http.NoBody {
		r.Body = nil
	}
	if r.ContentLength <= 0 {
		r.ContentLength = -1
	}
	return hostKey{u.Scheme == "https", u.Host}, nil
}

// inline reports whether the body goes out with the head.
func (r *Request) inline() bool {
	if r.ContentLength < 0 || r.ContentLength > maxInline {
		return false
	}
	b, ok := r.Body.(interface{ Buffered() int })
	return ok && int64(b.Buffered()) >= r.ContentLength
}

// waits reports whether the answer is all that is waited for once RoundTrip has written.
func (r *Request) waits() bool { return r.Body == nil || r.inline() }

func (r *Request) closeBody() {
	if r.Body != nil {
		_ = r.Body.Close() // nothing depends on how
	}
}

// rewind makes the body ready to be sent once more.
func (r *Request) rewind() error {
	if r.Body == nil {
		return nil
	}
	b, err := r.GetBody()
	if err != nil {
		return err
	}
	r.Body = b
	return nil
}

// repeatable reports whether sending the request twice does no harm by its method.
func (r *Request) repeatable() bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return len(r.Header["Idempotency-Key"]) > 0 || len(r.Header["X-Idempotency-Key"]) > 0
}

// appendHead appends the head to b.
func (r *Request) appendHead(b []byte, hostField string) ([]byte, error) {
	b = append(append(b, r.Method...), ' ')
	from := len(b)
	b = appendTarget(b, r.URL)
	for _, c := range b[from:] {
		if c <= ' ' || c == 0x7f {
			return nil, unsendable("its URL holds a space or a control character")
		}
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), hostField...), '\r', '\n')
	if _, ok := r.Header["User-Agent"]; !ok {
		b = append(b, "User-Agent: "+userAgent+"\r\n"...)
	}
	b, err := r.appendFraming(b)
	if err != nil {
		return nil, err
	}
	r.closes, r.expects = false, false
	for name, values := range r.Header {
		if b, err = r.appendField(b, name, values); err != nil {
			return nil, err
		}
	}
	return append(b, '\r', '\n'), nil
}

// appendField appends one field, unless it is made from something else.
func (r *Request) appendField(b []byte, name string, values []string) ([]byte, error) {
	canonical, ok := head.Name(name)
	if !ok {
		return nil, unsendable("the name of a field is not a token")
	}
	switch canonical {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
		return b, nil
	case "User-Agent":
		if len(values) == 0 || values[0] == "" {
			return b, nil
		}
		values = values[:1]
	case "Connection":
		r.closes = httpguts.HeaderValuesContainsToken(values, "close")
	case "Expect":
		r.expects = r.Body != nil && httpguts.HeaderValuesContainsToken(values, "100-continue")
	}
	return appendValues(b, name, values)
}

func appendValues(b []byte, name string, values []string) ([]byte, error) {
	for _, v := range values {
		v, ok := head.Value(v)
		if !ok {
			return nil, unsendable("the value of " + name + " holds a control character")
		}
		b = append(append(b, name...), ':', ' ')
		b = append(append(b, v...), '\r', '\n')
	}
	return b, nil
}

// appendFraming appends what says how long the body is.
func (r *Request) appendFraming(b []byte) ([]byte, error) {
	switch {
	case r.Body == nil:
		switch r.Method {
		case http.MethodPost, http.MethodPut, http.MethodPatch: // a server expects one there
			b = append(b, "Content-Length: 0\r\n"...)
		}
		return b, nil
	case r.ContentLength > 0:
		b = strconv.AppendInt(append(b, "Content-Length: "...), r.ContentLength, 10)
		return append(b, '\r', '\n'), nil
	}
	b = append(b, "Transfer-Encoding: chunked\r\n"...)
	if len(r.Trailer) == 0 {
		return b, nil
	}
	names := make([]string, 0, len(r.Trailer))
	for name := range r.Trailer {
		canonical, ok := head.Name(name)
		if !ok || notInTrailer(canonical) {
			return nil, unsendable("a field cannot be in the trailer")
		}
		names = append(names, canonical)
	}
	slices.Sort(names)
	return appendValues(b, "Trailer", []string{strings.Join(names, ", ")})
}

// notInTrailer names the fields that would say how to read what has been read.
func notInTrailer(name string) bool {
	return name == "Transfer-Encoding" || name == "Trailer" || name == "Content-Length"
}

// appendTarget appends the path and the query, as they are written.
func appendTarget(b []byte, u *url.URL) []byte {
	if u.Opaque != "" {
		return append(b, u.RequestURI()...)
	}
	if path := u.EscapedPath(); path != "" {
		b = append(b, path...)
	} else {
		b = append(b, '/')
	}
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}
