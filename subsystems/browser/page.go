package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/cdproto/target"
)

// answer is how the page answered, as far as HTTP is concerned.
type answer struct {
	status  int
	headers map[string]string
}

// Lookup returns a field of the page's answer.
func (a *answer) Lookup(name string) (string, bool) {
	v, ok := a.headers[strings.ToLower(name)]
	return v, ok
}

// run does the job in the tab. The answer is filled in as far as the job came.
func (b *tab) run(ctx context.Context, j *Job, max int64, a *answer) (*Result, error) {
	if len(j.SetCookies) > 0 {
		if err := b.setCookies(ctx, j.SetCookies); err != nil {
			return nil, err
		}
	}
	if j.URL != "" {
		if err := b.navigate(ctx, j.URL, j.Wait, a); err != nil {
			return nil, err
		}
	}
	r := &Result{Status: a.status, Engine: b.in.kind.engine}
	if err := b.take(ctx, j, r); err != nil {
		return nil, err
	}
	if n := int64(len(r.Data) + len(r.Value)); n > max {
		return nil, fmt.Errorf("%w: %d bytes, the bound is %d", ErrTooLarge, n, max)
	}
	info, err := call(ctx, b.in.root, target.GetTargetInfo, target.GetTargetInfoParams{TargetID: b.id})
	if err != nil {
		return nil, err
	}
	if info.TargetInfo != nil {
		r.URL, r.Title = info.TargetInfo.URL, info.TargetInfo.Title
	}
	return r, nil
}

func (b *tab) take(ctx context.Context, j *Job, r *Result) error {
	if j.Script != "" {
		value, err := b.evaluate(ctx, j.Script)
		if err != nil {
			return err
		}
		if j.Action == Evaluate {
			r.Value = value
		}
	}
	var err error
	switch j.Action {
	case Screenshot:
		r.Data, r.MediaType, err = b.screenshot(ctx, j)
	case PDF:
		r.MediaType = "application/pdf"
		r.Data, err = b.pdf(ctx, &j.Print)
	case HTML:
		r.MediaType = "text/html; charset=utf-8"
		r.Data, err = b.html(ctx)
	case Cookies:
		r.Cookies, err = b.cookies(ctx)
	}
	return err
}

// navigate loads a page and waits until it counts as loaded. A page with a status
// of 400 and more is loaded too.
func (b *tab) navigate(ctx context.Context, to string, until Wait, a *answer) error {
	res, err := call(ctx, b.session, page.Navigate, page.NavigateParams{URL: to})
	if err != nil {
		return err
	}
	b.answered(res.LoaderID, a)
	switch {
	case res.IsDownload:
		return &loadError{"it is a download"}
	case res.ErrorText == "net::ERR_HTTP_RESPONSE_CODE_FAILURE" && a.status != 0: // an error with an empty body
		return nil
	case res.ErrorText != "":
		return &loadError{res.ErrorText}
	case res.LoaderID == "" || until == WaitNone: // the same document
		return nil
	}
	name := map[Wait]string{WaitLoad: "load", WaitDOM: "DOMContentLoaded", WaitNetworkIdle: "networkIdle"}[until]
	return b.await(ctx, res.LoaderID, name, a)
}

// answered copies what is known of the answer of a document.
func (b *tab) answered(id cdp.LoaderID, a *answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.loads[id]; l != nil {
		a.status, a.headers = l.status, l.headers
	}
}

// await waits until the document has reached a point of its life, or has given way
// to another that has: pages send their visitors on by script.
func (b *tab) await(ctx context.Context, id cdp.LoaderID, name string, a *answer) error {
	for {
		b.mu.Lock()
		changed, reached := b.changed, false
		seen := false
		for _, one := range b.order {
			seen = seen || one == id
			l := b.loads[one]
			if seen && l.reached[name] {
				a.status, a.headers, reached = l.status, l.headers, true
			}
		}
		b.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-b.session.done:
			return b.session.err
		}
	}
}

// evaluate returns the value of an expression as JSON; null where it has none.
func (b *tab) evaluate(ctx context.Context, script string) (json.RawMessage, error) {
	params := runtime.EvaluateParams{Expression: script, ReturnByValue: ptr(true), AwaitPromise: ptr(true), UserGesture: ptr(true)}
	if left, ok := ctx.Deadline(); ok {
		// The page ends it itself, which leaves the tab usable.
		params.Timeout = runtime.TimeDelta(max(float64(time.Until(left)/time.Millisecond), 1))
	}
	res, err := call(ctx, b.session, runtime.Evaluate, params)
	if err != nil {
		return nil, err
	}
	if e := res.ExceptionDetails; e != nil {
		text := e.Text
		if e.Exception != nil && e.Exception.Description != "" {
			text = e.Exception.Description
		}
		return nil, fmt.Errorf("%w: line %d: %s", ErrScript, e.LineNumber+1, text)
	}
	if res.Result == nil || len(res.Result.Value) == 0 {
		return json.RawMessage("null"), nil
	}
	return json.RawMessage(res.Result.Value), nil
}

func (b *tab) screenshot(ctx context.Context, j *Job) ([]byte, string, error) {
	p := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng}
	media := "image/png"
	if j.Quality > 0 {
		p.Format, p.Quality, media = page.CaptureScreenshotFormatJpeg, ptr(int64(j.Quality)), "image/jpeg"
	}
	if j.FullPage {
		size, err := call(ctx, b.session, page.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return nil, "", err
		}
		if s := size.CSSContentSize; s != nil {
			p.CaptureBeyondViewport = ptr(true)
			p.Clip = &page.Viewport{Width: clamp(s.Width), Height: clamp(s.Height), Scale: 1}
		}
	}
	res, err := call(ctx, b.session, page.CaptureScreenshot, p)
	return res.Data, media, err
}

func clamp(side float64) float64 { return min(max(side, 1), maxShot) }

func (b *tab) pdf(ctx context.Context, p *Print) ([]byte, error) {
	res, err := call(ctx, b.session, page.PrintToPDF, page.PrintToPDFParams{
		Landscape: &p.Landscape, PrintBackground: &p.Background, Scale: p.Scale,
		PaperWidth: p.Width, PaperHeight: p.Height, PageRanges: p.Pages,
	})
	return res.Data, err
}

// html is the document as it is now, asked of the browser and not of the page's
// scripts, which could answer what they like.
func (b *tab) html(ctx context.Context) ([]byte, error) {
	doc, err := call(ctx, b.session, dom.GetDocument, dom.GetDocumentParams{Depth: ptr(int64(0))})
	if err != nil {
		return nil, err
	}
	if doc.Root == nil {
		return nil, nil
	}
	res, err := call(ctx, b.session, dom.GetOuterHTML, dom.GetOuterHTMLParams{NodeID: doc.Root.NodeID})
	return []byte(res.OuterHTML), err
}

func (b *tab) cookies(ctx context.Context) ([]Cookie, error) {
	res, err := call(ctx, b.in.root, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: b.context})
	if err != nil {
		return nil, err
	}
	cookies := make([]Cookie, 0, len(res.Cookies))
	for _, c := range res.Cookies {
		cookies = append(cookies, Cookie{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path,
			Expires: max(c.Expires, 0), Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: string(c.SameSite)})
	}
	return cookies, nil
}

func (b *tab) setCookies(ctx context.Context, cookies []Cookie) error {
	p := storage.SetCookiesParams{BrowserContextID: b.context}
	for _, c := range cookies {
		p.Cookies = append(p.Cookies, &network.CookieParam{Name: c.Name, Value: c.Value, URL: c.URL, Domain: c.Domain, Path: c.Path,
			Expires: cdp.TimeSinceEpoch(c.Expires), Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: network.CookieSameSite(c.SameSite)})
	}
	if _, err := call(ctx, b.in.root, storage.SetCookies, p); err != nil {
		return fmt.Errorf("%w: set cookies: %w", ErrJob, err)
	}
	return nil
}
