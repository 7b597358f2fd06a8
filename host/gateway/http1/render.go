package http1

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// commit makes the answer's head, in front of what was written of its body. whole
// says that this is all of it.
func (w *ResponseWriter) commit(whole bool) {
	held := w.out
	w.committed, w.began = true, time.Now()
	body := *held
	if len(body) > 0 {
		w.out = w.c.s.buffer()
	}
	announced := len(w.header["Trailer"]) > 0
	if whole && !announced && !w.bodiless && w.length < 0 {
		w.length = int64(len(body))
	}
	w.chunked = w.length < 0 && !w.bodiless && w.x.r.ProtoMinor > 0
	kept10 := w.decideConnection()
	b := appendStatus((*w.out)[:0], w.x.r.ProtoMinor, w.status)
	b = append(w.appendFields(b), w.own...)
	b = w.appendOwn(b, kept10)
	if len(body) == 0 {
		*w.out = b
		return
	}
	if w.chunked {
		b = appendChunkSize(b, len(body))
	}
	b = append(b, body...)
	if w.chunked {
		b = append(b, crlf...)
	}
	*w.out = b
	w.c.s.putBuffer(held)
}

// decideConnection decides whether this is the connection's last answer. kept10 says
// that an HTTP/1.0 client is to be told that it is not.
func (w *ResponseWriter) decideConnection() (kept10 bool) {
	x := w.x
	kept10 = x.keep10 && (w.bodiless || w.length >= 0)
	v := w.header["Connection"]
	w.closing = x.r.Close || x.r.ProtoMinor == 0 && !kept10 ||
		len(v) > 0 && httpguts.HeaderValuesContainsToken(v, "close") ||
		x.body != nil && !x.body.ended.Load() || w.c.s.draining.Load()
	return kept10 && !w.closing
}

// appendFields appends the handler's fields, without those that the server decides.
func (w *ResponseWriter) appendFields(b []byte) []byte {
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding":
			continue
		case "Connection":
			if w.closing {
				continue
			}
		case "Content-Type":
			if w.status == http.StatusNotModified {
				continue
			}
		case "Trailer":
			if !w.chunked {
				continue
			}
			w.announce(values)
		default:
			if strings.HasPrefix(name, http.TrailerPrefix) {
				continue
			}
		}
		b = appendField(b, name, values)
	}
	return b
}

// announce remembers the names of a Trailer field.
func (w *ResponseWriter) announce(lists []string) {
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name != "" {
				w.trailer = append(w.trailer, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
}

// appendOwn appends the fields that the server decides, and the empty line.
func (w *ResponseWriter) appendOwn(b []byte, kept10 bool) []byte {
	if _, ok := w.header["Date"]; !ok {
		b = append(append(append(b, "Date: "...), w.c.s.dateAt(w.began)...), crlf...)
	}
	switch {
	case w.length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, w.length, 10)
		b = append(b, crlf...)
	case w.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case kept10:
		b = append(b, "Connection: keep-alive\r\n"...)
	case w.closing && w.x.r.ProtoMinor > 0:
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, crlf...)
}

func appendStatus(b []byte, minor, status int) []byte {
	b = append(b, "HTTP/1."...)
	b = append(b, byte('0'+minor), ' ')
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = append(b, "status code "...)
		b = strconv.AppendInt(b, int64(status), 10)
	}
	return append(b, crlf...)
}

// appendField appends a field with each of its values. A name that is none is left
// out, and line ends in values become spaces: whatever a handler puts there, it makes
// no other field of it.
func appendField(b []byte, name string, values []string) []byte {
	if len(values) > 0 && !httpguts.ValidHeaderFieldName(name) {
		return b
	}
	for _, v := range values {
		b = appendLine(b, name, v)
	}
	return b
}

func appendLine[T string | []byte](b []byte, name string, value T) []byte {
	b = append(append(b, name...), ": "...)
	at := len(b)
	b = append(b, value...)
	if bytes.IndexByte(b[at:], '\n') >= 0 || bytes.IndexByte(b[at:], '\r') >= 0 {
		for i := at; i < len(b); i++ {
			if b[i] == '\n' || b[i] == '\r' {
				b[i] = ' '
			}
		}
	}
	return append(b, crlf...)
}

func appendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendInt(b, int64(n), 16)
	return append(b, crlf...)
}
