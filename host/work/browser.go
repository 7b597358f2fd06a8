package work

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/browser"
)

// BrowserConfig is what the actions of the browser subsystem need. The zero
// BrowserConfig declares them.
type BrowserConfig struct{ Pool *browser.Pool }

// tabInput says which tab is wanted.
type tabInput struct {
	Engine     string   `json:"engine" one:"headless-shell chromium" doc:"which build of Chromium; headless-shell unless extensions are named"`
	Isolation  string   `json:"isolation" one:"context tab process" doc:"what is not shared: cookies (context, the default), nothing (tab), the process"`
	Extensions []string `json:"extensions" doc:"names under browser.extensions"`
	Width      int      `json:"width" doc:"of the window, 1280 unless told"`
	Height     int      `json:"height" doc:"of the window, 800 unless told"`
	Scale      float64  `json:"scale" doc:"pixels of a CSS pixel, 1 unless told"`
}

func (in *tabInput) tab() browser.Tab {
	return browser.Tab{Engine: browser.Engine(in.Engine), Isolation: browser.Isolation(in.Isolation), Extensions: in.Extensions,
		Width: in.Width, Height: in.Height, Scale: in.Scale}
}

func (in *tabInput) isZero() bool {
	return in.Engine == "" && in.Isolation == "" && len(in.Extensions) == 0 && in.Width == 0 && in.Height == 0 && in.Scale == 0
}

// pageInput says which page.
type pageInput struct {
	URL        string           `json:"url" arg:"yes" doc:"the page; with a lease, unless told, the one it is at"`
	Lease      string           `json:"lease" doc:"a tab that was opened before"`
	Wait       string           `json:"wait" one:"load domcontentloaded networkidle none" doc:"when it counts as loaded, load unless told"`
	SetCookies []browser.Cookie `json:"set_cookies" doc:"cookies to set first, a list of objects"`
	tabInput
}

// scriptInput is a script besides what is asked for.
type scriptInput struct {
	Script string `json:"script" doc:"an expression to evaluate before; a promise is waited for"`
}

type navigateInput struct {
	pageInput
	scriptInput
}

type evaluateInput struct {
	pageInput
	Script string `json:"script" arg:"yes" need:"yes" doc:"the expression; a promise is waited for"`
}

type screenshotInput struct {
	pageInput
	scriptInput
	FullPage bool `json:"full_page" doc:"the page as far as it can be scrolled"`
	Quality  int  `json:"quality" doc:"1 to 100: a JPEG and no PNG"`
}

type pdfInput struct {
	pageInput
	scriptInput
	Landscape   bool    `json:"landscape" doc:"lay the pages on their long side"`
	Background  bool    `json:"background" doc:"print colours and pictures of the background"`
	PaperWidth  float64 `json:"paper_width" doc:"inches, 8.5 unless told"`
	PaperHeight float64 `json:"paper_height" doc:"inches, 11 unless told"`
	PrintScale  float64 `json:"print_scale" doc:"0.1 to 2"`
	Pages       string  `json:"pages" doc:"such as 1-3, 5"`
}

type openInput struct {
	tabInput
	Time Duration `json:"time" doc:"how long the lease lasts, browser.lease_timeout at most and unless told"`
}

type closeInput struct {
	Lease string `json:"lease" arg:"yes" need:"yes" doc:"what open answered"`
}

// Schemas of the answers.
const (
	schemaPage     = "gaia.browser.page/v1"
	schemaLease    = "gaia.browser.lease/v1"
	schemaClosed   = "gaia.browser.closed/v1"
	schemaBrowsers = "gaia.browser.list/v1"
)

// pageAnswer is how a page was loaded, with the value or cookies asked for.
type pageAnswer struct {
	Schema   string           `json:"schema"`
	URL      string           `json:"url"`
	Title    string           `json:"title"`
	Status   int              `json:"status,omitempty"`
	Engine   browser.Engine   `json:"engine"`
	Value    json.RawMessage  `json:"value,omitempty"`
	Cookies  []browser.Cookie `json:"cookies,omitempty"`
	Attempts int              `json:"attempts,omitempty"`
	WaitedMS float64          `json:"waited_ms,omitempty"`
}

type leaseAnswer struct {
	Schema    string            `json:"schema,omitempty"`
	Lease     string            `json:"lease"`
	Engine    browser.Engine    `json:"engine"`
	Isolation browser.Isolation `json:"isolation"`
	PID       int               `json:"pid"`
	Until     time.Time         `json:"until"`
}

type closedAnswer struct {
	Schema string `json:"schema"`
	Closed string `json:"closed"`
}

type browsersAnswer struct {
	Schema   string          `json:"schema"`
	Browsers []browserAnswer `json:"browsers"`
	Leases   []leaseAnswer   `json:"leases"`
}

type browserAnswer struct {
	ID         uint64         `json:"id"`
	PID        int            `json:"pid"`
	Engine     browser.Engine `json:"engine"`
	Version    string         `json:"version"`
	Extensions []string       `json:"extensions,omitempty"`
	Tabs       int            `json:"tabs"`
	Tasks      int            `json:"tasks"`
	AgeSeconds float64        `json:"age_seconds"`
	Memory     int64          `json:"memory_bytes"`
	Draining   bool           `json:"draining"`
}

// Browser declares what can be asked of the browser subsystem.
func Browser(c BrowserConfig) Subsystem {
	return Subsystem{
		Name: policy.SubsystemBrowser, Doc: "pages in real browsers",
		Actions: []Action{
			Bytes("screenshot", "take a picture of a page", func(ctx context.Context, call *Call, in *screenshotInput, out *Out) error {
				j := browser.Job{Action: browser.Screenshot, Script: in.Script, FullPage: in.FullPage, Quality: in.Quality}
				return c.bytes(ctx, call, &in.pageInput, j, out)
			}).Asking(),
			Bytes("pdf", "print a page", func(ctx context.Context, call *Call, in *pdfInput, out *Out) error {
				j := browser.Job{Action: browser.PDF, Script: in.Script, Print: browser.Print{Landscape: in.Landscape, Background: in.Background,
					Width: in.PaperWidth, Height: in.PaperHeight, Scale: in.PrintScale, Pages: in.Pages}}
				return c.bytes(ctx, call, &in.pageInput, j, out)
			}).Asking(),
			Bytes("html", "give a page's document as it is after its scripts ran", func(ctx context.Context, call *Call, in *navigateInput, out *Out) error {
				return c.bytes(ctx, call, &in.pageInput, browser.Job{Action: browser.HTML, Script: in.Script}, out)
			}).Asking(),
			JSON("evaluate", "evaluate an expression in a page", func(ctx context.Context, call *Call, in *evaluateInput) (pageAnswer, error) {
				return c.page(ctx, call, &in.pageInput, browser.Job{Action: browser.Evaluate, Script: in.Script})
			}).Asking(),
			JSON("cookies", "give the cookies that a page has set", func(ctx context.Context, call *Call, in *navigateInput) (pageAnswer, error) {
				return c.page(ctx, call, &in.pageInput, browser.Job{Action: browser.Cookies, Script: in.Script})
			}).Asking(),
			JSON("navigate", "load a page", func(ctx context.Context, call *Call, in *navigateInput) (pageAnswer, error) {
				return c.page(ctx, call, &in.pageInput, browser.Job{Action: browser.Navigate, Script: in.Script})
			}).Asking(),
			JSON("open", "lease a tab", c.open).Asking(),
			JSON("close", "end a lease", c.close),
			JSON("list", "list browsers and leases", c.list),
		},
		Explain: explainBrowser,
	}
}

// do runs a job in a tab of its own, or in the lease.
func (c BrowserConfig) do(ctx context.Context, call *Call, in *pageInput, j browser.Job) (*browser.Result, error) {
	j.URL, j.Wait, j.SetCookies, j.Timeout = in.URL, browser.Wait(in.Wait), in.SetCookies, call.Timeout
	j.Caller = browserCaller(call)
	var r *browser.Result
	if in.Lease == "" {
		var err error
		if r, err = c.Pool.Do(ctx, in.tab(), j); err != nil {
			return nil, err
		}
	} else {
		if !in.isZero() {
			return nil, BadInput("lease", "its tab is as it was opened: leave out engine, isolation, extensions, width, height and scale")
		}
		l, err := c.Pool.Lease(in.Lease)
		if err != nil {
			return nil, err
		}
		if r, err = l.Do(ctx, j); err != nil {
			return nil, err
		}
	}
	call.Held(&r.Outcome)
	return r, nil
}

func browserCaller(call *Call) browser.Caller {
	return browser.Caller{Tenant: call.Tenant, Priority: call.Priority, HasPriority: call.HasPriority, Cost: call.Cost}
}

func (c BrowserConfig) bytes(ctx context.Context, call *Call, in *pageInput, j browser.Job, out *Out) error {
	r, err := c.do(ctx, call, in, j)
	if err != nil {
		return err
	}
	h := out.Header()
	h.Set("Content-Type", r.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(r.Data)))
	h.Set("X-Content-Type-Options", "nosniff")
	if j.Action == browser.HTML {
		h.Set("Content-Security-Policy", "sandbox") // it is the page's text, not gaia's
	}
	if strings.HasPrefix(r.URL, "http") {
		h.Set("Gaia-Upstream-Url", r.URL)
	}
	if r.Status != 0 {
		h.Set("Gaia-Upstream-Status", strings.TrimSpace(strconv.Itoa(r.Status)+" "+http.StatusText(r.Status)))
	}
	_, err = out.Write(r.Data)
	return err
}

func (c BrowserConfig) page(ctx context.Context, call *Call, in *pageInput, j browser.Job) (pageAnswer, error) {
	r, err := c.do(ctx, call, in, j)
	if err != nil {
		return pageAnswer{}, err
	}
	return pageAnswer{Schema: schemaPage, URL: r.URL, Title: r.Title, Status: r.Status, Engine: r.Engine, Value: r.Value, Cookies: r.Cookies,
		Attempts: r.Attempts, WaitedMS: float64(r.Waited.Microseconds()) / 1000}, nil
}

func (c BrowserConfig) open(ctx context.Context, call *Call, in *openInput) (leaseAnswer, error) {
	l, err := c.Pool.Open(ctx, in.tab(), browserCaller(call), in.Time.Std())
	if err != nil {
		return leaseAnswer{}, err
	}
	call.Held(&l.Outcome)
	a := leaseOf(l)
	a.Schema = schemaLease
	return a, nil
}

func leaseOf(l *browser.Lease) leaseAnswer {
	return leaseAnswer{Lease: l.ID, Engine: l.Tab.Engine, Isolation: l.Tab.Isolation, PID: l.PID(), Until: l.Deadline.UTC().Truncate(time.Millisecond)}
}

func (c BrowserConfig) close(_ context.Context, _ *Call, in *closeInput) (closedAnswer, error) {
	l, err := c.Pool.Lease(in.Lease)
	if err != nil {
		return closedAnswer{}, err
	}
	l.Close()
	return closedAnswer{schemaClosed, in.Lease}, nil
}

func (c BrowserConfig) list(context.Context, *Call, *struct{}) (browsersAnswer, error) {
	a := browsersAnswer{Schema: schemaBrowsers, Browsers: []browserAnswer{}, Leases: []leaseAnswer{}}
	for _, b := range c.Pool.List() {
		a.Browsers = append(a.Browsers, browserAnswer{b.ID, b.PID, b.Engine, b.Version, b.Extensions, b.Tabs, b.Tasks, b.Age.Round(time.Millisecond).Seconds(), b.Memory, b.Draining})
	}
	for _, l := range c.Pool.Leases() {
		a.Leases = append(a.Leases, leaseOf(l))
	}
	return a, nil
}

// explainBrowser turns an error of the pool into an answer.
func explainBrowser(err error) *Error {
	out := &Error{Code: CodeFailed, Detail: err.Error(), Err: err}
	var e *browser.Error
	isJob := errors.As(err, &e)
	if isJob {
		out.Detail = e.Err.Error()
	}
	out.Detail = strings.TrimPrefix(out.Detail, "browser: ")
	switch {
	case errors.Is(err, browser.ErrJob), errors.Is(err, browser.ErrURL):
		out.Code, out.Title = CodeBadRequest, "the input is wrong"
	case errors.Is(err, browser.ErrNoLease):
		out.Code, out.Hint = CodeNotFound, "a lease ends with its time, with its browser, and when it is closed: open another"
	case errors.Is(err, browser.ErrNotInstalled):
		out.Code, out.Title = CodeUnsupported, "the browser is not installed"
	case errors.Is(err, browser.ErrBusy):
		out.Code, out.Title = CodeDenied, "no browser came free in time"
	case errors.Is(err, browser.ErrStopped):
		out.Code = CodeNotReady
	case errors.Is(err, browser.ErrLaunch):
		out.Title = "the browser did not start"
	case errors.Is(err, browser.ErrClosed), errors.Is(err, browser.ErrExpired):
		out.Code, out.Title = CodeConflict, "the lease has ended"
	case errors.Is(err, browser.ErrCrashed), errors.Is(err, browser.ErrPageCrashed):
		out.Title = "the browser or its page crashed"
	case errors.Is(err, browser.ErrScript):
		out.Title = "the script threw"
	case !isJob:
		return nil
	case e.Kind == policy.ErrorTimeout:
		out.Code, out.Title = CodeTimeout, "the page is late"
	case e.Kind == policy.ErrorTooLarge:
		out.Code, out.Status, out.Title = CodeTooLarge, http.StatusBadGateway, "the result is too large"
	case e.Kind == policy.ErrorCanceled:
		out.Code = CodeCanceled
	case errors.Is(err, browser.ErrLoad):
		out.Title = "the page did not load"
	}
	return out
}
