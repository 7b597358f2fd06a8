package http1

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/gaia-host/gaia/subsystems/api/h1/head"
	"golang.org/x/net/http/httpguts"
)

// maxFields bounds the fields of a head and of a trailer.
const maxFields = 2000

// exchange is what one request is made of. A connection uses it again where its
// handler said that nothing holds on to it (ResponseWriter.Release).
type exchange struct {
	r      *http.Request
	url    url.URL
	fields head.Fields
	ctx    requestContext
	body   *body // nil: there is none

	chunked bool
	expect  bool // the client waits for a 100
	keep10  bool // an HTTP/1.0 client asked to keep the connection
}

func newExchange() *exchange {
	x := &exchange{}
	x.r = (&http.Request{}).WithContext(&x.ctx)
	return x
}

func (x *exchange) hasBody() bool { return x.r.ContentLength != 0 }

// parse fills the request in from a head. It returns the status with which the
// request is refused, 0 for none.
func (x *exchange) parse(text string) (status int) {
	line, rest, err := head.Line(text)
	if err != nil {
		return http.StatusBadRequest
	}
	x.reset()
	if status := x.parseLine(line); status != 0 {
		return status
	}
	x.fields.Reset()
	if err := x.fields.Parse(rest, maxFields); err != nil {
		if err == head.ErrTooMany { //nolint:errorlint // Parse wraps nothing
			return http.StatusRequestHeaderFieldsTooLarge
		}
		return http.StatusBadRequest
	}
	x.r.Header = x.fields.Header
	if !x.parseHost() {
		return http.StatusBadRequest
	}
	if status := x.parseFraming(); status != 0 {
		return status
	}
	x.parseConnection()
	return x.parseExpect()
}

// reset makes the request an empty one, but for its context.
func (x *exchange) reset() {
	r := x.r
	r.Method, r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor = "", nil, "", 0, 0
	r.Header, r.Body, r.GetBody, r.ContentLength, r.TransferEncoding = nil, http.NoBody, nil, 0, nil
	r.Close, r.Host, r.Trailer, r.RequestURI = false, "", nil, ""
	x.body, x.chunked, x.expect, x.keep10 = nil, false, false, false
}

// parseLine reads the request line.
func (x *exchange) parseLine(line string) (status int) {
	r := x.r
	method, rest, _ := strings.Cut(line, " ")
	i := strings.LastIndexByte(rest, ' ')
	if i < 0 || !httpguts.ValidHeaderFieldName(method) { // a token, as a method is
		return http.StatusBadRequest
	}
	r.Method, r.RequestURI, r.Proto = method, rest[:i], rest[i+1:]
	switch r.Proto {
	case "HTTP/1.1":
		r.ProtoMajor, r.ProtoMinor = 1, 1
	case "HTTP/1.0":
		r.ProtoMajor, r.ProtoMinor = 1, 0
	default:
		if _, _, ok := http.ParseHTTPVersion(r.Proto); ok && method != "PRI" {
			return http.StatusHTTPVersionNotSupported
		}
		return http.StatusBadRequest
	}
	if r.URL = x.parseTarget(r.RequestURI); r.URL == nil {
		return http.StatusBadRequest
	}
	return 0
}

// parseTarget is what net/http makes of a request target, nil for a bad one.
func (x *exchange) parseTarget(target string) *url.URL {
	if path, query, asked := strings.Cut(target, "?"); plainPath(path) {
		if !plainQuery(query) {
			return nil
		}
		x.url = url.URL{Path: path, RawQuery: query, ForceQuery: asked && query == ""}
		return &x.url
	}
	if strings.IndexByte(target, ' ') >= 0 {
		return nil
	}
	authority := x.r.Method == http.MethodConnect && !strings.HasPrefix(target, "/")
	if authority {
		target = "http://" + target
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil
	}
	if authority {
		u.Scheme = ""
	}
	return u
}

// plainPath reports whether a path means itself: it begins with a slash and holds
// nothing that could be escaped.
func plainPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		if !plain[path[i]] {
			return false
		}
	}
	return true
}

// plain are the bytes that package url never escapes in a path.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~$&+,/:;=@", byte(c)) >= 0
	}
	return t
}()

func plainQuery(query string) bool {
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// parseHost takes the Host out of the fields. An absolute target's wins.
func (x *exchange) parseHost() bool {
	r := x.r
	hosts := r.Header["Host"]
	switch {
	case len(hosts) > 1:
		return false
	case len(hosts) == 1:
		if !httpguts.ValidHostHeader(hosts[0]) {
			return false
		}
		delete(r.Header, "Host")
	case r.ProtoMinor > 0 && r.Method != http.MethodConnect:
		return false
	}
	if r.Host = r.URL.Host; r.Host == "" && len(hosts) == 1 {
		r.Host = hosts[0]
	}
	return true
}

// parseFraming finds out how the body is sent.
func (x *exchange) parseFraming() (status int) {
	r := x.r
	codings, coded := r.Header["Transfer-Encoding"]
	if !coded {
		if lengths := r.Header["Content-Length"]; len(lengths) > 0 {
			n, err := head.Length(r.Header)
			if err != nil {
				return http.StatusBadRequest
			}
			r.ContentLength = n
			r.Header["Content-Length"] = lengths[:1]
		}
		return 0
	}
	if len(codings) != 1 || !strings.EqualFold(codings[0], "chunked") {
		return http.StatusNotImplemented
	}
	if r.ProtoMinor == 0 || len(r.Header["Content-Length"]) > 0 {
		return http.StatusBadRequest // somebody before us may read it otherwise
	}
	delete(r.Header, "Transfer-Encoding")
	r.ContentLength, r.TransferEncoding, x.chunked = -1, []string{"chunked"}, true
	return x.parseTrailer()
}

// parseTrailer takes the names of the fields to come.
func (x *exchange) parseTrailer() (status int) {
	r := x.r
	lists := r.Header["Trailer"]
	delete(r.Header, "Trailer")
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name == "" {
				continue
			}
			switch name = textproto.CanonicalMIMEHeaderKey(name); name {
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return http.StatusBadRequest
			}
			if r.Trailer == nil {
				r.Trailer = http.Header{}
			}
			r.Trailer[name] = nil
		}
	}
	return 0
}

// parseConnection finds out whether the client wants to go on.
func (x *exchange) parseConnection() {
	r := x.r
	lists := r.Header["Connection"]
	r.Close = len(lists) > 0 && httpguts.HeaderValuesContainsToken(lists, "close")
	if r.ProtoMinor == 0 {
		x.keep10 = !r.Close && httpguts.HeaderValuesContainsToken(lists, "keep-alive")
		r.Close = !x.keep10
	}
}

func (x *exchange) parseExpect() (status int) {
	for _, v := range x.r.Header["Expect"] {
		switch {
		case strings.EqualFold(v, "100-continue"):
			x.expect = x.r.ProtoMinor > 0 && x.hasBody()
		case v != "":
			return http.StatusExpectationFailed
		}
	}
	return 0
}
