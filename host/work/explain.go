package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// explainField asks for explanations, and carries them: one field for each attempt.
const explainField = "Gaia-Explain"

// maxExplainField bounds one explanation in a field of the answer, in bytes.
const maxExplainField = 8 << 10

// wantsExplanation reads Gaia-Explain of a request.
func wantsExplanation(h http.Header) (bool, *Error) {
	switch v := h.Get(explainField); v {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, &Error{Code: CodeBadRequest, Detail: fmt.Sprintf("%s: want 1, got %.40q", explainField, v)}
	}
}

// explained adds to an answer what was explained by its first byte.
type explained struct {
	http.ResponseWriter
	trace *admission.Trace
	done  bool
}

// Unwrap lets the answer be flushed.
func (w *explained) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader adds the fields.
func (w *explained) WriteHeader(status int) {
	w.explain()
	w.ResponseWriter.WriteHeader(status)
}

// Write adds the fields before the first byte.
func (w *explained) Write(p []byte) (int, error) {
	w.explain()
	return w.ResponseWriter.Write(p)
}

func (w *explained) explain() {
	if w.done {
		return
	}
	w.done = true
	for _, e := range w.trace.Explanations() {
		w.Header().Add(explainField, fieldOf(&e))
	}
}

// fieldOf is an explanation as JSON of ASCII, with as much of its lists as a field holds.
func fieldOf(e *policy.Explanation) string {
	for n := len(e.Ledger) + len(e.Upstreams); ; n /= 2 {
		e.Trim(n)
		data, err := json.Marshal(e)
		if err != nil { // a number that JSON has not
			return "{}"
		}
		if text := ascii(string(data)); len(text) <= maxExplainField || n == 0 {
			return text
		}
	}
}

// ascii writes what is not ASCII as JSON escapes it.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x7f:
			b.WriteByte(byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// explainRequest is the body of POST /v1/explain.
type explainRequest struct {
	Subsystem string          `json:"subsystem"`
	Action    string          `json:"action"`
	Input     json.RawMessage `json:"input"` // as of the action itself
}

// Explain answers why an action would go, wait or not go, without doing it: it is
// decided dry on the generation in force, from the live levels.
func (s *Server) Explain(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer s.open.Add(-1)
	var q explainRequest
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInput))
	if err != nil {
		s.answer(w, &Error{Code: CodeTooLarge, Detail: "the bound is " + strconv.Itoa(maxInput) + " bytes"}, nil)
		return
	}
	if err := decode(data, &q); err != nil {
		if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			s.answer(w, unknownField(strings.Trim(quoted, `"`), []string{"subsystem", "action", "input"}), nil)
			return
		}
		s.answer(w, badJSON(err), nil)
		return
	}
	sub := s.find(q.Subsystem)
	if sub == nil {
		s.answer(w, s.unknown(q.Subsystem), nil)
		return
	}
	e, bad := s.dry(r.Context(), sub, &q)
	if bad != nil {
		s.answerIn(r.Context(), w, bad, sub)
		return
	}
	writeJSON(w, http.StatusOK, e)
}

// dry decides an action and does not do it.
func (s *Server) dry(ctx context.Context, sub *Subsystem, q *explainRequest) (*policy.Explanation, error) {
	a, e := sub.action(q.Action)
	if e != nil {
		return nil, e
	}
	if !a.asks {
		return nil, &Error{Code: CodeUnsupported, Status: http.StatusBadRequest, Title: "this action asks no policy",
			Detail: sub.Name + " " + a.Name, Hint: "those that do: " + strings.Join(sub.asking(), ", ")}
	}
	if err := s.ready(); err != nil {
		return nil, &Error{Code: CodeNotReady, Detail: err.Error(), Err: err}
	}
	null := &nowhere{header: http.Header{}}
	call := &Call{header: null.header, Size: -1}
	in, e := a.readInput(q.Input, func(name, value string) *Error {
		if fault := call.Read(name, value); fault != "" {
			return &Error{Code: CodeBadRequest, Detail: fault}
		}
		return nil
	})
	if e != nil {
		return nil, e
	}
	if call.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Timeout)
		defer cancel()
	}
	overlay := natives.NewOverlay()
	overlay.Quiet = true
	t := admission.NewTrace(overlay)
	_, err := a.run(admission.WithTrace(ctx, t), call, in, &Out{w: null, flush: http.NewResponseController(null)})
	if list := t.Explanations(); len(list) > 0 {
		return &list[0], nil
	}
	if err == nil {
		err = errors.New("it would be done without asking a policy or a limit")
	}
	return nil, err
}

// asking lists the actions that can be explained.
func (s *Subsystem) asking() []string {
	var names []string
	for i := range s.Actions {
		if s.Actions[i].asks {
			names = append(names, s.Actions[i].Name)
		}
	}
	return names
}

// nowhere is where the answer of an action goes that is only explained.
type nowhere struct{ header http.Header }

// Header are fields that nobody sees.
func (n *nowhere) Header() http.Header { return n.header }

// Write drops p.
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader does nothing.
func (n *nowhere) WriteHeader(int) {}

// Flush does nothing.
func (n *nowhere) Flush() {}
