package browser

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/target"
)

// command is a message to the browser.
type command struct {
	ID        int64            `json:"id"`
	SessionID target.SessionID `json:"sessionId,omitempty"`
	Method    string           `json:"method"`
	Params    any              `json:"params,omitempty"`
}

// message is a message from the browser: an answer (ID is not 0) or an event.
type message struct {
	ID        int64            `json:"id"`
	SessionID target.SessionID `json:"sessionId"`
	Method    string           `json:"method"`
	Params    jsonv2.Value     `json:"params"`
	Result    jsonv2.Value     `json:"result"`
	Error     *protocolError   `json:"error"`
}

// protocolError is the browser's answer to a command that it could not do.
type protocolError struct {
	Code    int64  `json:"code"`
	Message string `json:"message"`
	Data    string `json:"data"`
}

// Error says what the browser said.
func (e *protocolError) Error() string {
	if e.Data != "" {
		return "the browser says: " + e.Message + ": " + e.Data
	}
	return "the browser says: " + e.Message
}

// jsonOptions takes text as pages have it: a lone surrogate is no error.
func jsonOptions() jsonv2.Options {
	return jsonv2.JoinOptions(jsonv2.DefaultOptionsV2(), jsonv2.AllowInvalidUTF8(true))
}

func decode(text []byte, into any) error {
	if err := jsonv2.Unmarshal(text, into, jsonOptions()); err != nil {
		return fmt.Errorf("browser: read what the browser sent: %w", err)
	}
	return nil
}

// encode returns the command with the zero byte that ends a message.
func encode(c command) ([]byte, error) {
	text, err := jsonv2.Marshal(c, jsonOptions())
	if err != nil {
		return nil, fmt.Errorf("browser: write %s: %w", c.Method, err)
	}
	return append(text, 0), nil
}

// headKept is how much of a message beyond the bound is looked at.
const headKept = 256

// readMessage reads to the next zero byte into buf[:0]. A message longer than limit
// is read to its end and dropped but for its head: then large is true.
func readMessage(r *bufio.Reader, buf []byte, limit int) (text []byte, large bool, err error) {
	buf = buf[:0]
	for {
		part, err := r.ReadSlice(0)
		switch {
		case large:
		case len(buf)+len(part) > limit+1:
			buf = append(buf, part[:min(len(part), headKept)]...)
			buf, large = buf[:min(len(buf), headKept)], true
		default:
			buf = append(buf, part...)
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(buf, []byte{0}), large, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(buf) > 0:
			return nil, false, io.ErrUnexpectedEOF
		default:
			return nil, false, err
		}
	}
}

// idOfHead finds whose answer a message is of which only the head was kept; 0 for
// an event. Chromium writes the number first.
func idOfHead(head []byte) int64 {
	rest, ok := bytes.CutPrefix(head, []byte(`{"id":`))
	if !ok {
		return 0
	}
	end := bytes.IndexByte(rest, ',')
	if end < 0 {
		return 0
	}
	id, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
