package browser

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// within waits for a lease to end and returns how long that took.
func (r *rig) ends(l *Lease, why error) time.Duration {
	r.t.Helper()
	begun := time.Now()
	select {
	case <-l.Done():
	case <-time.After(patience):
		r.t.Fatal("the holder of the lease was not told")
	}
	if !errors.Is(l.Err(), why) {
		r.t.Errorf("the lease ended with %v, want %v", l.Err(), why)
	}
	return time.Since(begun)
}

func TestKilledBrowserIsToldToItsLeases(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	a, b := r.open(Tab{}), r.open(Tab{})
	if a.PID() != b.PID() {
		t.Error("two tabs, two browsers")
	}
	under := make(chan error, 1)
	go func() {
		_, err := a.Do(context.Background(), Job{URL: s.URL + "/never"})
		under <- err
	}()
	r.until("the job is under way", func() bool { return r.Stats().InFlight == 3 })
	if err := syscall.Kill(a.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Logf("noticed after %v", r.ends(a, ErrCrashed))
	r.ends(b, ErrCrashed)
	if err := <-under; !errors.Is(err, ErrCrashed) {
		t.Errorf("the job under way: %v", err)
	}
	if _, err := b.Do(t.Context(), Job{Action: HTML}); !errors.Is(err, ErrCrashed) {
		t.Errorf("a job after it: %v", err)
	}
	if got := r.do(Tab{}, Job{URL: s.URL + "/hello"}); got.Title != "Hello" {
		t.Errorf("the next job: %+v", got)
	}
	if st := r.Stats(); st.Crashes != 1 || st.Launched != 2 {
		t.Errorf("%d crashes, %d launched", st.Crashes, st.Launched)
	}
	if _, err := r.Lease(a.ID); !errors.Is(err, ErrNoLease) {
		t.Errorf("the lease is still listed: %v", err)
	}
	a.Close()
	b.Close()
}

func TestJobOfAKilledBrowserIsTriedAgain(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, func(c *Config) { c.Admission.MaxAttempts = 2 }), site(t)
	l := r.open(Tab{})
	defer l.Close()
	type end struct {
		res *Result
		err error
	}
	over := make(chan end, 1)
	go func() {
		res, err := r.Do(context.Background(), Tab{}, Job{Action: Screenshot, URL: s.URL + "/hello", Script: "new Promise(f => setTimeout(f, 300))"})
		over <- end{res, err}
	}()
	r.until("its tab is open", func() bool { return r.Stats().Tabs == 2 })
	syscall.Kill(l.PID(), syscall.SIGKILL)
	if e := <-over; e.err != nil || e.res.Attempts != 2 {
		t.Errorf("%+v %v", e.res, e.err)
	}
}

func TestCrashedPageIsToldAndItsBrowserStays(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	stays := r.open(Tab{})
	killed := r.open(Tab{})
	if _, err := killed.Do(t.Context(), Job{URL: s.URL + "/hello"}); err != nil {
		t.Fatal(err)
	}
	before := renderers(killed.PID())
	third := r.open(Tab{})
	if _, err := third.Do(t.Context(), Job{URL: s.URL + "/hello"}); err != nil {
		t.Fatal(err)
	}
	r.until("it has a renderer", func() bool { return len(renderers(third.PID())) > len(before) })
	for pid := range renderers(third.PID()) {
		if !before[pid] {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	t.Logf("a killed renderer was noticed after %v", r.ends(third, ErrPageCrashed))
	_, _ = call(t.Context(), killed.tab.session, page.Navigate, page.NavigateParams{URL: "chrome://crash"})
	t.Logf("chrome://crash was noticed after %v", r.ends(killed, ErrPageCrashed))
	if got, err := stays.Do(t.Context(), Job{URL: s.URL + "/hello"}); err != nil || got.Title != "Hello" {
		t.Errorf("the neighbour: %+v %v", got, err)
	}
	if st := r.Stats(); st.PageCrashes != 2 || st.Crashes != 0 {
		t.Errorf("%d pages and %d browsers crashed", st.PageCrashes, st.Crashes)
	}
	for _, l := range []*Lease{stays, killed, third} {
		l.Close()
	}
}

// renderers lists the processes below pid that show pages.
func renderers(pid int) map[int]bool {
	found := map[int]bool{}
	for _, row := range processTable() {
		if len(row) < 4 || row[2] != strconv.Itoa(pid) || strings.HasPrefix(row[3], "Z") {
			continue
		}
		if cmd, err := os.ReadFile("/proc/" + row[0] + "/cmdline"); err == nil && strings.Contains(string(cmd), "--type=renderer") {
			n, _ := strconv.Atoi(row[0])
			found[n] = true
		}
	}
	return found
}

func TestHungPageIsBoundByTheJobsTime(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	l := r.open(Tab{})
	for _, j := range []Job{
		{URL: s.URL + "/hang"}, {URL: s.URL + "/never"}, {Action: Evaluate, Script: "while(true){}"},
		{Action: Evaluate, Script: "new Promise(()=>{})"},
	} {
		j.Timeout = 500 * time.Millisecond
		begun := time.Now()
		_, err := l.Do(t.Context(), j)
		var e *Error
		if !errors.As(err, &e) || !e.Timeout() {
			t.Errorf("%+v: %v", j, err)
		}
		t.Logf("%s %s: back after %v", j.URL, j.Script, time.Since(begun))
	}
	if got, err := l.Do(t.Context(), Job{URL: s.URL + "/hello"}); err != nil || got.Title != "Hello" {
		t.Errorf("the lease afterwards: %v", err)
	}
	if _, err := r.Do(t.Context(), Tab{}, Job{URL: s.URL + "/hang", Timeout: 500 * time.Millisecond}); err == nil {
		t.Error("it loaded")
	}
	r.until("its tab is closed", func() bool { return r.Stats().Tabs == 1 })
	if got, err := l.Do(t.Context(), Job{URL: s.URL + "/hello"}); err != nil || got.Title != "Hello" {
		t.Errorf("the neighbour of a hung page: %v", err)
	}
	l.Close()
	if st := r.Stats(); st.Crashes != 0 || st.Launched != 1 {
		t.Errorf("%+v", st)
	}
}

func TestStoppedBrowserIsEnded(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, func(c *Config) { c.CheckInterval, c.PingTimeout = 100*time.Millisecond, 3*time.Second })
	l := r.open(Tab{})
	syscall.Kill(l.PID(), syscall.SIGSTOP)
	r.ends(l, ErrCrashed)
	l.Close()
}

func TestLeaseEndsWithItsTime(t *testing.T) {
	needs(t, HeadlessShell)
	r := newRig(t, nil)
	l, err := r.Open(t.Context(), Tab{}, Caller{}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	r.ends(l, ErrExpired)
	var e *Error
	if _, err := l.Do(t.Context(), Job{Action: HTML}); !errors.As(err, &e) || !e.Timeout() {
		t.Errorf("a job after it: %v", err)
	}
	l.Close()
	if st := r.Stats(); st.Leases != 0 || st.Tabs != 0 || st.InFlight != 0 {
		t.Errorf("%+v", st)
	}
}

func TestStopEndsIdleLeasesAndCutsTheOthers(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	idle, busy := r.open(Tab{}), r.open(Tab{})
	under := make(chan error, 1)
	go func() {
		_, err := busy.Do(context.Background(), Job{URL: s.URL + "/never"})
		under <- err
	}()
	r.until("a job is under way", func() bool { return r.Stats().InFlight == 3 })
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(ctx) }()
	r.ends(idle, ErrStopped)
	select {
	case <-busy.Done():
		t.Error("a job was cut at once")
	default:
	}
	cancel()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
	r.ends(busy, ErrStopped)
	if err := <-under; err == nil {
		t.Error("the job that was cut has no error")
	}
	var d *admission.DeniedError
	if _, err := r.Do(t.Context(), Tab{}, Job{URL: "about:blank"}); !errors.As(err, &d) || d.Kind != admission.KindClosed {
		t.Errorf("a job after it: %v", err)
	}
}

// ended is a Process that has ended.
type ended struct{ done chan struct{} }

func (ended) PID() int                { return 1 }
func (p ended) Done() <-chan struct{} { return p.done }
func (ended) Kill()                   {}
func (ended) Output() string          { return "" }

// The last tab of a crashed browser may be given back before its end is seen to.
func TestACrashIsCountedWhoeverNoticesItFirst(t *testing.T) {
	r := newRig(t, nil)
	for range 20 {
		in := &instance{pool: r.Pool, stop: make(chan struct{}), conn: &conn{done: make(chan struct{}), closed: true, err: ErrCrashed}, proc: ended{make(chan struct{})}}
		in.profile = shortDir(t)
		close(in.conn.done)
		close(in.stop)
		close(in.proc.(ended).done)
		r.watch(in)
	}
	if n := r.Stats().Crashes; n != 20 {
		t.Errorf("%d of 20 crashes were counted", n)
	}
}
