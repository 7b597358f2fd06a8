package work

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/host/gateway"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Config describes a Server.
type Config struct {
	Subsystems []Subsystem
	Ready      func() error // nil while work is done; nil func: always
	Clock      func() int64 // ns since the Unix epoch
	Log        *slog.Logger // nil: discarded
}

// Server serves the work API. It is an http.Handler for the patterns `GET
// /v1/{subsystem}` and `POST /v1/{subsystem}/{action}` and is safe for concurrent
// use. Stop ends what follows.
type Server struct {
	c        Config
	once     once
	stopping context.Context
	stop     context.CancelFunc
	open     atomic.Int64
	buffers  sync.Pool // of *[]byte, lent to answers that stream
}

// New returns a server.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = admission.SystemClock()
	}
	s := &Server{c: c}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Stop refuses new work and ends the answers that follow something. Work under way
// goes on: its subsystem stops it.
func (s *Server) Stop() { s.stop() }

// InFlight is how many requests are being answered.
func (s *Server) InFlight() int64 { return s.open.Load() }

// ServeHTTP lists the actions of a subsystem, or does one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer s.open.Add(-1)
	sub := s.find(r.PathValue("subsystem"))
	switch {
	case sub == nil:
		s.answer(w, s.unknown(r.PathValue("subsystem")), nil)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		writeJSON(w, http.StatusOK, sub.list())
	default:
		s.act(w, r, sub)
	}
}

func (s *Server) find(name string) *Subsystem {
	for i := range s.c.Subsystems {
		if s.c.Subsystems[i].Name == name {
			return &s.c.Subsystems[i]
		}
	}
	return nil
}

func (s *Server) unknown(name string) *Error {
	var known []string
	for i := range s.c.Subsystems {
		known = append(known, s.c.Subsystems[i].Name)
	}
	return noSuch("there is no such subsystem", name, known)
}

func noSuch(title, name string, known []string) *Error {
	e := &Error{Code: CodeNoAction, Title: title, Detail: fmt.Sprintf("%.64q", name), Hint: "there are: " + strings.Join(known, ", ")}
	if near := config.Suggest(name, known); near != "" {
		e.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return e
}

func (s *Subsystem) action(name string) (*Action, *Error) {
	var known []string
	for i := range s.Actions {
		if s.Actions[i].Name == name {
			return &s.Actions[i], nil
		}
		known = append(known, s.Actions[i].Name)
	}
	return nil, noSuch("there is no such action of "+s.Name, name, known)
}

// act does one action.
func (s *Server) act(w http.ResponseWriter, r *http.Request, sub *Subsystem) {
	a, e := sub.action(r.PathValue("action"))
	if e != nil {
		s.answer(w, e, sub)
		return
	}
	if err := s.ready(); err != nil {
		s.answer(w, &Error{Code: CodeNotReady, Detail: err.Error(), Err: err}, sub)
		return
	}
	x := &exchange{s: s, sub: sub, a: a, r: r, w: w, call: Call{header: w.Header(), IdempotencyKey: r.Header.Get("Idempotency-Key"), Size: -1}}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	on, e := wantsExplanation(r.Header)
	if e != nil {
		s.answer(w, e, sub)
		return
	}
	if on {
		t := admission.NewTrace(nil)
		ctx, x.w = admission.WithTrace(ctx, t), &explained{ResponseWriter: w, trace: t}
	}
	if a.follows {
		defer context.AfterFunc(s.stopping, cancel)()
	}
	if key := x.call.IdempotencyKey; key != "" {
		x.onlyOnce(ctx, key)
		return
	}
	x.do(ctx)
}

func (s *Server) ready() error {
	if s.stopping.Err() != nil {
		return errors.New("it is stopping")
	}
	if s.c.Ready == nil {
		return nil
	}
	return s.c.Ready()
}

// exchange is one request for an action.
type exchange struct {
	s    *Server
	sub  *Subsystem
	a    *Action
	r    *http.Request
	w    http.ResponseWriter
	call Call
}

// onlyOnce does the action unless its key has been used.
func (x *exchange) onlyOnce(ctx context.Context, key string) {
	if len(key) > maxKeyLength {
		x.s.answer(x.w, &Error{Code: CodeBadRequest, Detail: fmt.Sprintf("Idempotency-Key has more than %d bytes", maxKeyLength)}, x.sub)
		return
	}
	scoped := x.sub.Name + "/" + x.a.Name + "/" + key
	head := []byte(x.r.URL.RawQuery + "\x00" + x.r.Header.Get("Content-Type") + "\x00")
	for {
		first, mine := x.s.once.begin(x.s.c.Clock(), scoped)
		switch {
		case first == nil:
			x.s.answer(x.w, &Error{Code: CodeNotReady, Title: "too many requests with an Idempotency-Key are under way"}, x.sub)
			return
		case mine:
			x.first(ctx, first, head)
			return
		}
		sum := sha256.New()
		sum.Write(head)
		if err, ok := first.again(ctx, x.w, sum, x.r.Body); ok {
			if err != nil {
				x.s.answer(x.w, err, x.sub)
			}
			return
		}
	}
}

// first does the action and keeps its answer.
func (x *exchange) first(ctx context.Context, a *attempt, head []byte) {
	var keep *recorded
	rec := &recorder{ResponseWriter: x.w}
	defer func() {
		if keep == nil && rec.r.status == http.StatusOK { // it was done, and its answer was cut
			rec.r.cut, keep = true, &rec.r
		}
		x.s.once.end(a, keep)
	}()
	a.sum.Write(head)
	x.w = rec
	x.r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(x.r.Body, a.sum), x.r.Body}
	if x.do(ctx) {
		_, _ = io.CopyN(io.Discard, x.r.Body, maxInput) // the whole request is compared
		keep = &rec.r
	}
}

// do does the action and answers. It reports whether something may have been done.
// It panics with http.ErrAbortHandler where an answer is cut.
func (x *exchange) do(ctx context.Context) (done bool) {
	in, e := x.input()
	if e != nil {
		return x.s.answer(x.w, e, x.sub)
	}
	if d := x.call.Timeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	out := &Out{w: x.w, flush: http.NewResponseController(x.w), buffers: &x.s.buffers}
	h := x.w.Header()
	switch x.a.Gives {
	case GivesLines:
		out.events = strings.Contains(x.r.Header.Get("Accept"), "text/event-stream")
		h.Set("Content-Type", map[bool]string{true: "text/event-stream", false: "application/jsonl"}[out.events])
	case GivesBytes:
		h.Set("Content-Type", "application/octet-stream")
	case GivesJSON:
	}
	answer, err := x.a.run(ctx, &x.call, in, out)
	switch {
	case err != nil && out.started:
		x.broken(ctx, out, err)
	case err != nil:
		return x.s.answerIn(ctx, x.w, err, x.sub)
	case x.a.Gives == GivesJSON:
		writeJSON(x.w, http.StatusOK, answer)
	case !out.started:
		x.w.WriteHeader(http.StatusOK)
	}
	return true
}

// broken ends an answer that fails after it began.
func (x *exchange) broken(ctx context.Context, out *Out, err error) {
	x.s.c.Log.Debug("an answer of the work API was cut", "subsystem", x.sub.Name, "action", x.a.Name, "error", err)
	if x.a.Gives == GivesLines {
		if x.a.follows && x.s.stopping.Err() != nil {
			return // it ends because gaia does
		}
		p, _ := x.sub.explain(ctx, err, x.s.c.Clock())
		_ = out.event("problem", struct { // who has left is nobody to tell
			Problem control.Problem `json:"problem"`
		}{p})
		return
	}
	panic(http.ErrAbortHandler)
}

// input reads what the caller sent.
func (x *exchange) input() (any, *Error) {
	steer := func(name, value string) *Error {
		if fault := x.call.Read(name, value); fault != "" {
			return &Error{Code: CodeBadRequest, Detail: fault}
		}
		return nil
	}
	body, e := x.body()
	if e != nil {
		return nil, e
	}
	in, e := x.a.readInput(body, steer)
	if e != nil {
		return nil, e
	}
	for _, name := range steerNames() { // the field of HTTP wins
		if v := x.r.Header.Get(steerField(name)); v != "" {
			if e := steer(steerField(name), v); e != nil {
				return nil, e
			}
		}
	}
	return in, nil
}

// body is the input as JSON: the body of the request, or its query where the body
// are bytes.
func (x *exchange) body() ([]byte, *Error) {
	kind := x.r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(kind)
	switch {
	case kind == "" && x.r.ContentLength == 0:
		return x.a.queryInput(x.r.URL.Query())
	case media == "application/json" && err == nil:
		if x.r.URL.RawQuery != "" {
			return nil, &Error{Code: CodeBadRequest, Detail: "the input is in the body and in the query; want one of the two"}
		}
		data, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxInput))
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			return nil, &Error{Code: CodeTooLarge, Title: "the input is too large", Detail: fmt.Sprintf("the bound is %d bytes", maxInput)}
		case err != nil:
			return nil, &Error{Code: CodeBadRequest, Title: "the body could not be read", Err: err}
		}
		return data, nil
	case x.a.takesBytes:
		x.call.Body, x.call.Size = x.r.Body, x.r.ContentLength
		return x.a.queryInput(x.r.URL.Query())
	}
	return nil, &Error{Code: CodeBadRequest, Status: http.StatusUnsupportedMediaType, Title: "the input is JSON",
		Detail: fmt.Sprintf("Content-Type is %.64q", kind), Hint: "send Content-Type: application/json"}
}

func (s *Server) answer(w http.ResponseWriter, err error, sub *Subsystem) (done bool) {
	return s.answerIn(context.Background(), w, err, sub)
}

// answerIn answers with a problem. ctx is the action's.
func (s *Server) answerIn(ctx context.Context, w http.ResponseWriter, err error, sub *Subsystem) (done bool) {
	if sub == nil {
		sub = &Subsystem{}
	}
	p, done := sub.explain(ctx, err, s.c.Clock())
	var denied *admission.DeniedError
	if errors.As(err, &denied) {
		gateway.Explain(w.Header(), denied.RetryAfter, &denied.Limit, 0)
	} else if p.Status == http.StatusServiceUnavailable {
		gateway.Explain(w.Header(), time.Second, &policy.LimitInfo{}, 0)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	writeBody(w, p.Status, p)
	return done
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, status, v)
}

func writeBody(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // a number that JSON has not
		status = http.StatusInternalServerError
		b.Reset()
		fmt.Fprintf(&b, `{"schema":%q,"title":"the answer has no JSON","status":500}`+"\n", control.SchemaProblem)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a caller that has left is nobody to tell
}
