package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/cdp/jsonv2"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
)

// closeTimeout is how long a tab may take to close before its browser is replaced.
const closeTimeout = 5 * time.Second

// tab is one page in a browser. It belongs to one goroutine at a time; close may be
// called by another.
type tab struct {
	in      *instance
	session *session
	id      target.ID
	context cdp.BrowserContextID // "" the browser's own

	mu      sync.Mutex // guards what follows
	loads   map[cdp.LoaderID]*load
	order   []cdp.LoaderID // of loads, oldest first
	changed chan struct{}  // closed and replaced with every event
}

// load is what is known of one document of the tab's main frame.
type load struct {
	reached map[string]bool // names of lifecycle events
	status  int
	headers map[string]string // names in lower case
}

// maxLoads bounds the documents that are remembered of a tab.
const maxLoads = 16

func ptr[T any](v T) *T { return &v }

// openTab opens a blank page as t wants it.
func openTab(ctx context.Context, in *instance, t *Tab) (*tab, error) {
	b := &tab{in: in, loads: map[cdp.LoaderID]*load{}, changed: make(chan struct{})}
	if err := b.open(ctx, t); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *tab) open(ctx context.Context, t *Tab) error {
	root := b.in.root
	if t.Isolation == IsolateContext {
		made, err := call(ctx, root, target.CreateBrowserContext, target.CreateBrowserContextParams{DisposeOnDetach: ptr(true)})
		if err != nil {
			return err
		}
		b.context = made.BrowserContextID
		if err := denyDownloads(ctx, root, b.context); err != nil {
			return err
		}
	}
	made, err := call(ctx, root, target.CreateTarget, target.CreateTargetParams{
		URL: "about:blank", BrowserContextID: b.context, NewWindow: newWindow(t.Engine),
	})
	if err != nil {
		return err
	}
	b.id = made.TargetID
	attached, err := call(ctx, root, target.AttachToTarget, target.AttachToTargetParams{TargetID: b.id, Flatten: ptr(true)})
	if err != nil {
		return err
	}
	if b.session, err = b.in.conn.attach(attached.SessionID, b.event); err != nil {
		return err
	}
	return b.session.all(ctx,
		invoke(page.Enable, page.EnableParams{}),
		invoke(page.SetLifecycleEventsEnabled, page.SetLifecycleEventsEnabledParams{Enabled: true}),
		invoke(inspector.Enable, cdp.Empty{}),
		// Headers of the page's answer are wanted, nothing is kept of the bodies.
		invoke(network.Enable, network.EnableParams{MaxTotalBufferSize: ptr(int64(0)), MaxResourceBufferSize: ptr(int64(0))}),
		invoke(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: int64(t.Width), Height: int64(t.Height), DeviceScaleFactor: t.Scale}),
	)
}

// newWindow asks for a window where the engine has no first one.
func newWindow(e Engine) *bool {
	if e == Chromium {
		return ptr(true)
	}
	return nil
}

// denyDownloads keeps pages from filling the disk.
func denyDownloads(ctx context.Context, root *session, of cdp.BrowserContextID) error {
	_, err := call(ctx, root, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorDeny, BrowserContextID: of})
	return err
}

// event is called in the reader's goroutine: it must not block.
func (b *tab) event(method string, params jsonv2.Value) {
	switch method {
	case page.LifecycleEvent.Method:
		var e page.EventLifecycleEvent
		if decode(params, &e) == nil && string(e.FrameID) == string(b.id) {
			b.note(e.LoaderID, func(l *load) { l.reached[e.Name] = true })
		}
	case network.ResponseReceived.Method:
		if bytes.Contains(params, []byte(`"type":"Document"`)) {
			b.response(params)
		}
	case page.JavascriptDialogOpening.Method:
		var e page.EventJavascriptDialogOpening
		if decode(params, &e) == nil {
			b.in.pool.wg.Go(func() { b.dismiss(e.Type) })
		}
	case inspector.TargetCrashed.Method:
		b.in.pool.counts.pageCrashes.Add(1)
		b.session.end(ErrPageCrashed)
	}
}

func (b *tab) response(params jsonv2.Value) {
	var e network.EventResponseReceived
	if decode(params, &e) != nil || e.Response == nil || string(e.FrameID) != string(b.id) || string(e.RequestID) != string(e.LoaderID) {
		return
	}
	headers := make(map[string]string, len(e.Response.Headers))
	for name, v := range e.Response.Headers {
		if text, ok := v.(string); ok {
			headers[strings.ToLower(name)] = text
		}
	}
	b.note(e.LoaderID, func(l *load) { l.status, l.headers = int(e.Response.Status), headers })
}

// note changes what is known of a document and wakes who waits for it.
func (b *tab) note(id cdp.LoaderID, change func(*load)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.loads[id]
	if l == nil {
		l = &load{reached: map[string]bool{}}
		b.loads[id] = l
		if b.order = append(b.order, id); len(b.order) > maxLoads {
			delete(b.loads, b.order[0])
			b.order = b.order[1:]
		}
	}
	change(l)
	close(b.changed)
	b.changed = make(chan struct{})
}

// dismiss answers a dialog, which would hold the page up for ever: a page may be
// left, everything else is declined.
func (b *tab) dismiss(t page.DialogType) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := call(ctx, b.session, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: t == page.DialogTypeBeforeunload})
	if err != nil {
		b.in.pool.log.Debug("a dialog was not dismissed", "error", err)
	}
}

// err is why the tab cannot be used any more, nil while it can.
func (b *tab) err() error {
	select {
	case <-b.session.done:
		return b.session.err
	default:
		return nil
	}
}

// unstick ends a script that runs on after its job's time is over, so that the next
// job of the lease finds the tab usable.
func (b *tab) unstick() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = b.session.all(ctx, invoke(runtime.TerminateExecution, cdp.Empty{}), invoke(page.StopLoading, cdp.Empty{}))
}

// close closes the page with all that it opened. It reports whether the browser is
// fit for more.
func (b *tab) close() bool {
	if b.in.conn.cause() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var err error
	switch {
	case b.context != "":
		_, err = call(ctx, b.in.root, target.DisposeBrowserContext, target.DisposeBrowserContextParams{BrowserContextID: b.context})
	case b.id != "":
		err = b.closeFamily(ctx)
	}
	if b.session != nil {
		b.in.conn.detach(b.session.id)
	}
	if err != nil {
		b.in.pool.log.Debug("a tab did not close; its browser will be replaced", "pid", b.in.pid(), "error", err)
	}
	return err == nil
}

// closeFamily closes the page and the windows that it and they opened.
func (b *tab) closeFamily(ctx context.Context) error {
	targets, err := call(ctx, b.in.root, target.GetTargets, target.GetTargetsParams{})
	if err != nil {
		return err
	}
	family := map[target.ID]bool{b.id: true}
	for grown := true; grown; {
		grown = false
		for _, t := range targets.TargetInfos {
			if family[t.OpenerID] && !family[t.TargetID] && t.Type == "page" {
				family[t.TargetID], grown = true, true
			}
		}
	}
	var errs []error
	for _, t := range targets.TargetInfos {
		if family[t.TargetID] {
			_, err := call(ctx, b.in.root, target.CloseTarget, target.CloseTargetParams{TargetID: t.TargetID})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// invocation is a command with its parameters.
type invocation struct {
	method string
	params any
}

func invoke[P, R any](c cdp.Command[P, R], params P) invocation { return invocation{c.Method, params} }

// all sends several commands at once and waits for all answers.
func (s *session) all(ctx context.Context, cmds ...invocation) error {
	waits := make([]*pending, 0, len(cmds))
	ids := make([]int64, 0, len(cmds))
	for _, c := range cmds {
		id, p, err := s.conn.send(s, c.method, c.params)
		if err != nil {
			return err
		}
		ids, waits = append(ids, id), append(waits, p)
	}
	var errs []error
	for i, p := range waits {
		if err := s.wait(ctx, ids[i], p); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", cmds[i].method, err))
		}
	}
	return errors.Join(errs...)
}
