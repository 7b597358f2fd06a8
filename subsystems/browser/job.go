package browser

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Action is what a job takes of a page.
type Action string

// The actions of a job.
const (
	Navigate   Action = "navigate" // only load it
	Evaluate   Action = "evaluate" // the value of an expression
	Screenshot Action = "screenshot"
	PDF        Action = "pdf"
	HTML       Action = "html"
	Cookies    Action = "cookies" // those of the tab's context
)

// Actions lists the actions of a job.
func Actions() []Action { return []Action{Navigate, Evaluate, Screenshot, PDF, HTML, Cookies} }

// Wait is when a page counts as loaded.
type Wait string

// The values of Wait.
const (
	WaitLoad        Wait = "load" // the default: with its pictures and styles
	WaitDOM         Wait = "domcontentloaded"
	WaitNetworkIdle Wait = "networkidle" // and nothing was under way for half a second
	WaitNone        Wait = "none"        // the answer has begun
)

// Isolation is what a tab shares with others.
type Isolation string

// The values of Isolation.
const (
	IsolateContext Isolation = "context" // the default: cookies and storage of its own, in a shared process
	IsolateTab     Isolation = "tab"     // cookies and storage shared with the tabs of the browser
	IsolateProcess Isolation = "process" // a browser of its own, new, and ended afterwards
)

// Caller is who asks, for policies and limits.
type Caller struct {
	Tenant      string
	Priority    int // counts only with HasPriority
	HasPriority bool
	Cost        int64 // 0 is 1
}

func (c *Caller) describe(r *policy.Request) {
	r.Tenant = c.Tenant
	if c.HasPriority {
		r.Priority = min(max(c.Priority, 0), policy.MaxPriority)
	}
	if c.Cost != 0 {
		r.Cost = c.Cost
	}
}

// Tab describes the tab that a job or a lease wants. The zero Tab is one of its own
// context in a headless shell, 1280 by 800.
type Tab struct {
	Engine     Engine // "": HeadlessShell, Chromium with extensions
	Isolation  Isolation
	Extensions []string // names of Config.Extensions; they need Chromium, and a tab or process
	Width      int      // of the window, CSS pixels
	Height     int
	Scale      float64 // pixels of a CSS pixel, 0 is 1
}

// Bounds of a window.
const (
	defaultWidth  = 1280
	defaultHeight = 800
	maxSide       = 8192
	maxScale      = 4
	// maxShot is the longest side of a screenshot of a whole page.
	maxShot = 16384
)

// fill checks t and completes it.
func (t *Tab) fill(extensions map[string]string) error {
	if t.Engine == "" {
		t.Engine = HeadlessShell
		if len(t.Extensions) > 0 {
			t.Engine = Chromium
		}
	}
	if t.Isolation == "" {
		t.Isolation = IsolateContext
		if len(t.Extensions) > 0 {
			t.Isolation = IsolateProcess
		}
	}
	if t.Width == 0 {
		t.Width = defaultWidth
	}
	if t.Height == 0 {
		t.Height = defaultHeight
	}
	if t.Scale == 0 {
		t.Scale = 1
	}
	switch {
	case t.Engine != HeadlessShell && t.Engine != Chromium:
		return fmt.Errorf("%w: engine %q, want headless-shell or chromium", ErrJob, t.Engine)
	case t.Isolation != IsolateContext && t.Isolation != IsolateTab && t.Isolation != IsolateProcess:
		return fmt.Errorf("%w: isolation %q, want context, tab or process", ErrJob, t.Isolation)
	case len(t.Extensions) > 0 && t.Engine != Chromium:
		return fmt.Errorf("%w: extensions need the engine chromium", ErrJob)
	case len(t.Extensions) > 0 && t.Isolation == IsolateContext:
		return fmt.Errorf("%w: extensions do not run in a context of its own, want the isolation process or tab", ErrJob)
	case t.Width < 1 || t.Height < 1 || t.Width > maxSide || t.Height > maxSide:
		return fmt.Errorf("%w: width and height are from 1 to %d", ErrJob, maxSide)
	case !(t.Scale > 0 && t.Scale <= maxScale):
		return fmt.Errorf("%w: scale is above 0 and at most %d", ErrJob, maxScale)
	}
	for _, name := range t.Extensions {
		if _, ok := extensions[name]; !ok {
			return fmt.Errorf("%w: no extension %q under browser.extensions", ErrJob, name)
		}
	}
	return nil
}

// Job is what to do in a tab: load URL, where there is one, then take what Action
// says. Do reads it only.
type Job struct {
	Caller
	Action Action // "": Navigate
	URL    string // "": the page that the lease is at
	Wait   Wait   // "": WaitLoad
	// Script is an expression that Evaluate takes the value of; a promise is waited
	// for. Other actions run it before they take what they take.
	Script string
	// FullPage takes the page as far as it can be scrolled, up to 16384 pixels.
	FullPage bool
	// Quality from 1 to 100 makes a screenshot a JPEG; 0: a PNG.
	Quality int
	Print   Print
	// SetCookies are set before URL is loaded.
	SetCookies []Cookie
	// Timeout bounds the job with all its waits; 0, and more than Config.JobTimeout,
	// is that.
	Timeout time.Duration
}

// Print is how a page becomes a PDF. Lengths are inches; 0 is Chromium's default:
// 8.5 by 11, margins of 0.4.
type Print struct {
	Landscape  bool
	Background bool
	Width      float64
	Height     float64
	Scale      float64 // 0 is 1
	Pages      string  // such as "1-3, 5"; "": all
}

// Cookie is one cookie. To set one, Domain or URL is needed.
type Cookie struct {
	Name     string  `json:"name"`
	Value    string  `json:"value"`
	URL      string  `json:"url,omitempty"`
	Domain   string  `json:"domain,omitempty"`
	Path     string  `json:"path,omitempty"`
	Expires  float64 `json:"expires,omitempty"` // seconds since the Unix epoch; 0: with the context
	Secure   bool    `json:"secure,omitempty"`
	HTTPOnly bool    `json:"http_only,omitempty"`
	SameSite string  `json:"same_site,omitempty"` // Strict, Lax, None
}

// Result is what a job took, and how it went.
type Result struct {
	URL       string // where the page is now
	Title     string
	Status    int             // of the page's answer, 0 where there was none
	Data      []byte          // of Screenshot, PDF and HTML
	MediaType string          // of Data
	Value     json.RawMessage // of Evaluate; null where the value is not JSON
	Cookies   []Cookie

	Engine Engine
	admission.Outcome
}

// Bounds of a job.
const (
	maxURL     = 2 << 20 // a data URL holds a page
	maxScript  = 1 << 20
	maxCookies = 200
)

// fill checks j and completes it. A job of a lease needs no URL.
func (j *Job) fill(lease bool) error {
	if j.Action == "" {
		j.Action = Navigate
	}
	if j.Wait == "" {
		j.Wait = WaitLoad
	}
	if !known(j.Action, Actions()) {
		return fmt.Errorf("%w: action %q", ErrJob, j.Action)
	}
	if !known(j.Wait, []Wait{WaitLoad, WaitDOM, WaitNetworkIdle, WaitNone}) {
		return fmt.Errorf("%w: wait %q, want load, domcontentloaded, networkidle or none", ErrJob, j.Wait)
	}
	p := &j.Print
	switch {
	case j.URL == "" && (!lease || j.Action == Navigate):
		return fmt.Errorf("%w: no url", ErrJob)
	case j.Action == Evaluate && j.Script == "":
		return fmt.Errorf("%w: no script to evaluate", ErrJob)
	case len(j.Script) > maxScript:
		return fmt.Errorf("%w: a script of more than 1 MiB", ErrJob)
	case j.Quality < 0 || j.Quality > 100:
		return fmt.Errorf("%w: quality is from 1 to 100", ErrJob)
	case len(j.SetCookies) > maxCookies:
		return fmt.Errorf("%w: more than %d cookies", ErrJob, maxCookies)
	case j.Timeout < 0:
		return fmt.Errorf("%w: a negative timeout", ErrJob)
	case !(p.Width >= 0 && p.Width <= 200 && p.Height >= 0 && p.Height <= 200):
		return fmt.Errorf("%w: width and height of a page are from 0 to 200 inches", ErrJob)
	case p.Scale != 0 && !(p.Scale >= 0.1 && p.Scale <= 2):
		return fmt.Errorf("%w: scale of a page is from 0.1 to 2", ErrJob)
	case len(p.Pages) > 256:
		return fmt.Errorf("%w: pages is longer than 256 bytes", ErrJob)
	}
	if j.URL == "" {
		return nil
	}
	_, err := parseURL(j.URL)
	return err
}

func known[T comparable](one T, all []T) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

// parseURL accepts what a page may be loaded from: neither files of this machine
// nor pages of the browser itself.
func parseURL(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("%w, not one of %d bytes", ErrURL, len(text))
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	switch {
	case (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "":
	case u.Scheme == "about" && u.Opaque == "blank":
	case u.Scheme == "data" && u.Opaque != "":
	default:
		return nil, fmt.Errorf("%w, got %q", ErrURL, shortened(u.Redacted()))
	}
	return u, nil
}

func shortened(text string) string {
	const longest = 80
	if len(text) > longest {
		return text[:longest] + "..."
	}
	return text
}
