package work

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type echoInput struct {
	Text  string            `json:"text" need:"yes" arg:"yes" doc:"what to say"`
	Times int               `json:"times"`
	Wait  Duration          `json:"wait"`
	Max   Size              `json:"max_size"`
	List  []string          `json:"list"`
	Map   map[string]string `json:"map"`
	Mode  string            `json:"mode" one:"loud quiet"`
	Deep  []struct {
		Inner string `json:"inner"`
	} `json:"deep"`
}

type echoAnswer struct {
	Text   string `json:"text"`
	Tenant string `json:"tenant,omitempty"`
	Cost   int64  `json:"cost,omitempty"`
	Bytes  string `json:"bytes,omitempty"`
	Run    int64  `json:"run"`
}

// fake is a subsystem whose actions tests steer.
type fake struct {
	runs atomic.Int64
	hold chan struct{} // echo waits for it where it is not nil
	err  error
}

var errFake = errors.New("fake: it broke")

func (f *fake) subsystem() Subsystem {
	return Subsystem{Name: policy.SubsystemFiles, Doc: "a fake", Actions: []Action{
		JSON("echo", "say it again", f.echo).TakingBytes(),
		Lines("count", "count to times", f.count),
		Lines("tail", "follow", f.tail).Following(),
		Bytes("stream", "bytes", f.stream),
	}, Explain: func(err error) *Error {
		if errors.Is(err, errFake) {
			return &Error{Code: CodeNotFound, Detail: "explained"}
		}
		return nil
	}}
}

func (f *fake) echo(ctx context.Context, c *Call, in *echoInput) (echoAnswer, error) {
	run := f.runs.Add(1)
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return echoAnswer{}, ctx.Err()
		}
	}
	a := echoAnswer{Text: strings.Repeat(in.Text, max(in.Times, 1)), Tenant: c.Tenant, Cost: c.Cost, Run: run}
	if c.Body != nil {
		b, err := io.ReadAll(c.Body)
		if err != nil {
			return a, err
		}
		a.Bytes = string(b)
	}
	return a, f.err
}

func (f *fake) count(_ context.Context, _ *Call, in *echoInput, out *Out) error {
	for i := range in.Times {
		if err := out.Progress(int64(i), int64(in.Times), "lines"); err != nil {
			return err
		}
		if err := out.Line(map[string]int{"n": i}); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fake) tail(ctx context.Context, _ *Call, _ *echoInput, out *Out) error {
	if err := out.Line("begun"); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) stream(_ context.Context, _ *Call, in *echoInput, out *Out) error {
	if _, err := io.WriteString(out, in.Text); err != nil {
		return err
	}
	return f.err
}

func serve(t *testing.T, f *fake) (*Server, string) {
	t.Helper()
	s := New(Config{Subsystems: []Subsystem{f.subsystem()}})
	mux := http.NewServeMux()
	mux.Handle("GET /v1/{subsystem}", s)
	mux.Handle("POST /v1/{subsystem}/{action}", s)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Stop()
		srv.Close()
		if n := s.InFlight(); n != 0 {
			t.Errorf("%d requests are left", n)
		}
	})
	return s, srv.URL
}

func post(t *testing.T, url, body string, head ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		data = append(data, "CUT"...)
	}
	return res, string(data)
}

func TestInputIsReadStrictly(t *testing.T) {
	_, url := serve(t, &fake{})
	bytes := []string{"Content-Type", "application/octet-stream"}
	for _, tt := range []struct {
		path, body string
		head       []string
		status     int
		want       string
	}{
		{"files/echo", `{"text":"a"}`, nil, 200, `{"text":"a","run":1}`},
		{"files/echo", `{"text":"a","times":3,"wait":"2s","max_size":"1MiB"}`, nil, 200, `"aaa"`},
		{"files/echo", `{"text":"a","wait":1500,"max_size":100}`, nil, 200, `"a"`},
		{"files/echo", `{"text":"a","tenant":"t","cost":7}`, nil, 200, `"tenant":"t","cost":7`},
		{"files/echo", `{"text":"a","tenant":"t"}`, []string{"Gaia-Tenant", "u"}, 200, `"tenant":"u"`},
		{"files/echo", `{"txet":"a"}`, nil, 400, `did you mean \"text\"?`},
		{"files/echo", `{"text":"a","deep":[{"iner":"x"}]}`, nil, 400, `did you mean \"inner\"?`},
		{"files/echo", `{"text":"a","zzzzzzzz":1}`, nil, 400, `the fields are: text, times`},
		{"files/echo", `{"text":1}`, nil, 400, `text: want a text, got number`},
		{"files/echo", `{"text":"a","wait":"soon"}`, nil, 400, `want a duration`},
		{"files/echo", `{"times":1}`, nil, 400, `text: is missing`},
		{"files/echo", `{"text":"a","mode":"lout"}`, nil, 400, `did you mean \"loud\"?`},
		{"files/echo", `{"text":"a"} {}`, nil, 400, `"code":"bad-request"`},
		{"files/echo", `{"text":`, nil, 400, `not a JSON object`},
		{"files/echo", `[]`, nil, 400, `not a JSON object`},
		{"files/echo", `{"text":"a","priority":"10"}`, nil, 400, `Gaia-Priority`},
		{"files/echo", `{"text":"a"}`, []string{"Gaia-Timeout", "-1"}, 400, `Gaia-Timeout`},
		{"files/echo?text=a", `{"text":"a"}`, nil, 400, `one of the two`},
		{"files/echo?text=a&times=2&map.k=v&list=x&list=y&tenant=q", "raw", bytes, 200, `"text":"aa","tenant":"q","bytes":"raw"`},
		{"files/echo?text=a&times=many", "raw", bytes, 400, `want an integer`},
		{"files/echo?text=a&text=b", "raw", bytes, 400, `given 2 times`},
		{"files/echo?tex=a", "raw", bytes, 400, `did you mean \"text\"?`},
		{"files/count", "raw", bytes, 415, `send Content-Type: application/json`},
		{"files/ecko", `{}`, nil, 404, `did you mean \"echo\"?`},
		{"fils/echo", `{}`, nil, 404, `did you mean \"files\"?`},
		{"files/echo", `{"text":"` + strings.Repeat("a", maxInput) + `"}`, nil, 413, `"code":"too-large"`},
	} {
		res, body := post(t, url+"/v1/"+tt.path, tt.body, tt.head...)
		if res.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %.60s: %d %.300s, want %d with %s", tt.path, tt.body, res.StatusCode, body, tt.status, tt.want)
		}
		var p control.Problem
		if tt.status >= 400 && (json.Unmarshal([]byte(body), &p) != nil || p.Type != "urn:gaia:problem:"+p.Code || p.Exit == 0 || p.Title == "") {
			t.Errorf("%s %.60s: the problem is %+v", tt.path, tt.body, p)
		}
	}
}

func TestActionsAreListed(t *testing.T) {
	_, url := serve(t, &fake{})
	res, err := http.Get(url + "/v1/files")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var l listing
	if err := json.NewDecoder(res.Body).Decode(&l); err != nil {
		t.Fatal(err)
	}
	if l.Schema != schemaActions || len(l.Actions) != 4 || !l.Actions[0].TakesBytes || !l.Actions[2].Follows {
		t.Errorf("%+v", l)
	}
	want := "text:text times:integer wait:duration max_size:size list:list of texts map:map of texts mode:text deep:json "
	got := ""
	for _, f := range l.Actions[0].Fields {
		got += fmt.Sprintf("%s:%s ", f.Name, f.Kind)
	}
	if got != want {
		t.Errorf("fields %s, want %s", got, want)
	}
}

func TestErrorsBecomeProblems(t *testing.T) {
	denial := &admission.DeniedError{Denial: admission.Denial{Kind: admission.KindLimit, Status: 429, RetryAfter: 1300 * time.Millisecond, Reason: "spent",
		Policy: "p", Generation: 3, Limit: policy.LimitInfo{Name: "l", Key: "k", Limit: 10, Remaining: 0, Reset: time.Second}}}
	for _, tt := range []struct {
		err    error
		status int
		want   []string
	}{
		{denial, 429, []string{`"code":"denied"`, `"policy":"p"`, `"generation":3`, `"limiter":"l"`, `"retry_after_seconds":1.3`, `"would_pass"`, `"exit":5`, `"denied_by":"limit"`}},
		{fmt.Errorf("wrapped: %w", errFake), 404, []string{"explained"}},
		{context.DeadlineExceeded, 504, []string{`"exit":6`}},
		{errors.New("odd"), 502, []string{`"code":"failed"`, "odd"}},
		{Errorf(CodeRefused, "not %s", "there"), 403, []string{`"exit":5`, "not there"}},
	} {
		_, url := serve(t, &fake{err: tt.err})
		res, body := post(t, url+"/v1/files/echo", `{"text":"a"}`)
		if res.StatusCode != tt.status || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %d %v", tt.err, res.StatusCode, res.Header)
		}
		for _, want := range tt.want {
			if !strings.Contains(body, want) {
				t.Errorf("%v: %s lacks %s", tt.err, body, want)
			}
		}
		if tt.status == 429 && (res.Header.Get("Retry-After") != "2" || res.Header.Get("RateLimit") != `"l";r=0;t=1`) {
			t.Errorf("the fields of a denial: %v", res.Header)
		}
	}
}

func TestStreams(t *testing.T) {
	_, url := serve(t, &fake{})
	if _, body := post(t, url+"/v1/files/count", `{"text":"a","times":2}`); body !=
		`{"progress":{"done":0,"total":2,"unit":"lines"}}`+"\n"+`{"n":0}`+"\n"+`{"progress":{"done":1,"total":2,"unit":"lines"}}`+"\n"+`{"n":1}`+"\n" {
		t.Errorf("lines: %s", body)
	}
	if res, body := post(t, url+"/v1/files/count", `{"text":"a","times":1}`, "Accept", "text/event-stream"); res.Header.Get("Content-Type") != "text/event-stream" ||
		body != "event: progress\ndata: {\"progress\":{\"done\":0,\"total\":1,\"unit\":\"lines\"}}\n\ndata: {\"n\":0}\n\n" {
		t.Errorf("events: %q", body)
	}
	_, broken := serve(t, &fake{err: errFake})
	if _, body := post(t, broken+"/v1/files/count", `{"text":"a","times":1}`); !strings.Contains(body, `{"problem":{`) || !strings.Contains(body, "explained") {
		t.Errorf("lines that break: %s", body)
	}
	if _, body := post(t, broken+"/v1/files/stream", `{"text":"part"}`); body != "partCUT" {
		t.Errorf("bytes that break must not look whole: %q", body)
	}
}

// What follows ends when gaia stops, and not as a failure.
func TestStopEndsWhatFollows(t *testing.T) {
	s, url := serve(t, &fake{})
	res, err := http.Post(url+"/v1/files/tail", "application/json", strings.NewReader(`{"text":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != `"begun"` {
		t.Fatalf("got %q", lines.Text())
	}
	s.Stop()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the stop: %q %v", lines.Text(), lines.Err())
	}
	if res, body := post(t, url+"/v1/files/echo", `{"text":"a"}`); res.StatusCode != 503 || !strings.Contains(body, "stopping") || res.Header.Get("Retry-After") == "" {
		t.Errorf("work after the stop: %d %s", res.StatusCode, body)
	}
}

func TestIdempotencyKey(t *testing.T) {
	f := &fake{}
	_, url := serve(t, f)
	echo := url + "/v1/files/echo"
	_, one := post(t, echo, `{"text":"a"}`, "Idempotency-Key", "k")
	res, two := post(t, echo, `{"text":"a"}`, "Idempotency-Key", "k")
	if one != two || f.runs.Load() != 1 || res.Header.Get("Idempotency-Replayed") != "true" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s and %s of %d runs, %v", one, two, f.runs.Load(), res.Header)
	}
	if res, body := post(t, echo, `{"text":"b"}`, "Idempotency-Key", "k"); res.StatusCode != 409 || f.runs.Load() != 1 {
		t.Errorf("another request: %d %s", res.StatusCode, body)
	}
	if res, _ := post(t, url+"/v1/files/count", `{"text":"a"}`, "Idempotency-Key", "k"); res.StatusCode != 200 {
		t.Errorf("the key of another action: %d", res.StatusCode)
	}
	if res, _ := post(t, echo, `{"text":"a"}`, "Idempotency-Key", strings.Repeat("k", 300)); res.StatusCode != 400 {
		t.Errorf("a long key: %d", res.StatusCode)
	}
	// what was refused before anything was done may be sent again
	if res, _ := post(t, echo, `{"txt":"c"}`, "Idempotency-Key", "m"); res.StatusCode != 400 {
		t.Fatal(res.StatusCode)
	}
	if res, body := post(t, echo, `{"text":"c"}`, "Idempotency-Key", "m"); res.StatusCode != 200 {
		t.Errorf("after a refusal: %d %s", res.StatusCode, body)
	}
}

// What broke on the way may have been done: it is not done again in silence.
func TestIdempotencyKeyOfACutAnswer(t *testing.T) {
	_, url := serve(t, &fake{err: errFake})
	if _, body := post(t, url+"/v1/files/stream", `{"text":"part"}`, "Idempotency-Key", "k"); body != "partCUT" {
		t.Fatal(body)
	}
	if res, body := post(t, url+"/v1/files/stream", `{"text":"part"}`, "Idempotency-Key", "k"); res.StatusCode != 409 || !strings.Contains(body, "broke on the way") {
		t.Errorf("again: %d %s", res.StatusCode, body)
	}
}

// Many at once with one key are done once.
func TestIdempotencyKeyInFlightHammer(t *testing.T) {
	f := &fake{hold: make(chan struct{})}
	s, url := serve(t, f)
	answers := make([]string, 16)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			_, answers[i] = post(t, url+"/v1/files/echo?text=a", "raw", "Idempotency-Key", "k", "Content-Type", "application/x")
		})
	}
	testkit.Until(t, "all are under way", func() bool { return s.InFlight() >= int64(len(answers)) })
	close(f.hold)
	wg.Wait()
	for i, a := range answers {
		if a != answers[0] || !strings.Contains(a, `"run":1`) {
			t.Errorf("answer %d: %s", i, a)
		}
	}
}

// The table of keys is bounded: the oldest answers go, and what is under way stays.
func TestIdempotencyKeysAreBounded(t *testing.T) {
	var o once
	first, mine := o.begin(1, "first")
	if !mine {
		t.Fatal("not mine")
	}
	for i := range onceKeys + 10 {
		a, mine := o.begin(2, fmt.Sprint(i))
		if a == nil || !mine {
			t.Fatalf("key %d: %v %v", i, a, mine)
		}
		r := &recorded{status: 200}
		r.body.Write(make([]byte, 64<<10))
		o.end(a, r)
	}
	if len(o.byKey) > onceKeys || o.size > onceAnswers || len(o.order) != len(o.byKey) {
		t.Errorf("%d keys, %d in order, %d bytes", len(o.byKey), len(o.order), o.size)
	}
	if again, mine := o.begin(3, "first"); mine || again != first {
		t.Error("one under way was dropped")
	}
	o.end(first, &recorded{})
	if _, mine := o.begin(int64(onceFor)*2, "first"); !mine {
		t.Error("an old answer is kept for ever")
	}
}

func FuzzInput(f *testing.F) {
	for _, seed := range []string{`{"text":"a"}`, `{"text":"a","wait":"2s","deep":[{"inner":"x"}]}`, `{"tenant":1,"cost":"x"}`, `null`, `{"text":null}`, `{"max_size":"9EiB"}`} {
		f.Add(seed, "text=a&map.k=v")
	}
	sub := (&fake{}).subsystem()
	a := &sub.Actions[0]
	f.Fuzz(func(t *testing.T, body, query string) {
		steer := func(string, string) *Error { return nil }
		if in, e := a.readInput([]byte(body), steer); e == nil && in.(*echoInput).Text == "" {
			t.Errorf("%q passed without what it needs", body)
		}
		req, err := http.NewRequest(http.MethodPost, "http://x/?"+query, nil)
		if err != nil {
			return
		}
		if data, e := a.queryInput(req.URL.Query()); e == nil {
			if !json.Valid(data) {
				t.Errorf("%q became %s", query, data)
			}
			_, _ = a.readInput(data, steer)
		}
	})
}
