package host

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soakFor is how long the soak goes on: GAIA_SOAK in minutes; two in the long forms; 0: not at all.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("GAIA_SOAK"); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil || minutes <= 0 {
			t.Fatalf("GAIA_SOAK=%s: want minutes", text)
		}
		return time.Duration(minutes * float64(time.Minute))
	}
	if acceptance() {
		return 2 * time.Minute
	}
	return 0
}

// soakEvery is how far apart samples are: 10 s, and less where a soak is short.
func soakEvery(long time.Duration) time.Duration { return min(10*time.Second, long/24) }

// sampleNames are what is sampled, in the order of a sample's values.
func sampleNames() []string {
	return []string{"goroutines", "heap MiB", "RSS MiB", "open files", "children", "temporary files"}
}

// sample looks at this process. The heap is what is alive after a collection; the second one
// takes what pools hold.
func sample(t *testing.T, temp string) []float64 {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l := look(t, temp)
	files := 0
	err := filepath.WalkDir(temp, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
		}
		return nil // what vanishes meanwhile is no fault
	})
	if err != nil {
		t.Fatal(err)
	}
	return []float64{float64(l.goroutines), float64(m.HeapAlloc) / (1 << 20), rss(t), float64(l.files), float64(len(l.children)), float64(files)}
}

// rss is the resident memory of this process in MiB.
func rss(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return float64(resident*os.Getpagesize()) / (1 << 20)
}

// line is a least-squares fit: the change per hour, and its standard error. Samples that
// follow each other are not independent, so the error is widened by their correlation.
type line struct{ slope, err, mean float64 }

func fit(hours, ys []float64) line {
	n := float64(len(ys))
	var mx, my float64
	for i := range ys {
		mx, my = mx+hours[i]/n, my+ys[i]/n
	}
	var sxx, sxy float64
	for i := range ys {
		sxx += (hours[i] - mx) * (hours[i] - mx)
		sxy += (hours[i] - mx) * (ys[i] - my)
	}
	l := line{mean: my}
	if sxx == 0 || n < 3 {
		return l
	}
	l.slope = sxy / sxx
	var rest, lag, prev float64
	for i := range ys {
		r := ys[i] - my - l.slope*(hours[i]-mx)
		rest += r * r
		lag += r * prev
		prev = r
	}
	l.err = math.Sqrt(rest / (n - 2) / sxx)
	if rest > 0 {
		if rho := min(max(lag/rest, 0), 0.9); rho > 0 {
			l.err *= math.Sqrt((1 + rho) / (1 - rho))
		}
	}
	return l
}

// slack is what a sample may change by over a whole soak without being growth, however
// straight its line: a part of its mean, and a little of its own unit.
func slack(mean float64) float64 { return max(0.05*mean, 3) }

// grows reports whether a line goes up more than chance and slack explain.
func (l line) grows(hours float64) bool {
	return l.slope > 3*l.err && l.slope*hours > slack(l.mean)
}

func TestFitFindsGrowthAndNothingElse(t *testing.T) {
	var hours, flat, saw, up []float64
	for i := range 120 {
		hours = append(hours, float64(i)/120)
		flat = append(flat, 50)
		saw = append(saw, 50+float64(i%7))
		up = append(up, 50+float64(i%7)+float64(i)/4)
	}
	for _, c := range []struct {
		name string
		ys   []float64
		want bool
	}{{"flat", flat, false}, {"saw", saw, false}, {"up", up, true}} {
		if l := fit(hours, c.ys); l.grows(1) != c.want {
			t.Errorf("%s: %+v grows %v", c.name, l, !c.want)
		}
	}
}

// soakPolicies are of both engines; whichever was written last differs from the one
// before, so that every reload is a swap.
func soakPolicies(t *testing.T, dir string) (files []string, change func(i int)) {
	t.Helper()
	script := filepath.Join(dir, "pace.js")
	text := `import { limiter } from "gaia";
const all = limiter.tokenBucket("all", { rate: %d, burst: 400, maxWait: "10s" });
let n = 0;
export function onRequest(req) {
  if (++n %% 50 === 0) throw new Error("injected"); // answered by on_failure, which is open
  return all.admit(req.subsystem);
}
`
	change = func(i int) { save(t, script, fmt.Sprintf(text, 300+i%7)) }
	change(0)
	return []string{script, "../examples/one-policy/policy.wasm"}, change
}

// soaking counts what went well, what failed as it was to, and what should not have.
type soaking struct {
	ok, injected, wrong atomic.Int64
	mu                  sync.Mutex
	faults              []string // the first few that should not have been
}

func (k *soaking) note(name string, err error) {
	if err == nil {
		k.ok.Add(1)
		return
	}
	k.wrong.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.faults) < 10 {
		k.faults = append(k.faults, name+": "+err.Error())
	}
}

// repeat repeats one operation at a bounded rate until ctx ends.
func (k *soaking) repeat(ctx context.Context, wg *sync.WaitGroup, every time.Duration, name string, do func(int) error) {
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				k.note(name, do(i))
			}
		}
	})
}

// mustFail runs an operation into a fault: it has to end with an error, and soon.
func (k *soaking) mustFail(do func(int) error) func(int) error {
	return func(i int) error {
		if do(i) == nil {
			return fmt.Errorf("went well in spite of the fault")
		}
		k.injected.Add(1)
		return nil
	}
}

// brokenServer is a server that answers wrongly in one way after another.
func brokenServer() *httptest.Server {
	var n atomic.Int64
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("half of"))
	}))
}

// Hours of all five subsystems under policies of both engines, with a reload every ten
// seconds and faults among the work: nothing grows, and nothing fails that should not.
func TestSoak(t *testing.T) {
	long := soakFor(t)
	if long == 0 {
		t.Skip("a long form: set GAIA_SOAK to minutes, or GAIA_ACCEPTANCE; make soak does")
	}
	realPart(t, "chromium-headless-shell")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	web, ca := nginx(t, 0)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>%s</title><p>%s", r.URL.Path, r.URL.Path)
	}))
	defer page.Close()
	bad := brokenServer()
	defer bad.Close()
	files, change := soakPolicies(t, t.TempDir())
	s := &stress{web: web, page: page.URL, echo: echoServer(t), policies: files}
	k := &soaking{}
	rows := k.soak(t, s, ca, bad.URL, temp, long, change)
	report(t, k, rows, long)
}

// soak runs everything for so long and returns the samples, each with its hour first.
func (k *soaking) soak(t *testing.T, s *stress, ca, bad, temp string, long time.Duration, change func(int)) [][]float64 {
	t.Helper()
	defer s.start(t, ca, filepath.Join(t.TempDir(), "profiles"))()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		k.repeat(ctx, &wg, 100*time.Millisecond, "api", s.api)
	}
	k.repeat(ctx, &wg, 50*time.Millisecond, "gateway", func(i int) error { return s.through(s.page, i) })
	k.repeat(ctx, &wg, time.Second, "broken upstream behind the gateway", k.mustFail(func(i int) error { return s.through(bad, i) }))
	k.repeat(ctx, &wg, 100*time.Millisecond, "files", func(i int) error { return s.files(i % 50) })
	k.repeat(ctx, &wg, 100*time.Millisecond, "network", s.network)
	k.repeat(ctx, &wg, 2*time.Second, "browser", func(i int) error { return s.browser(i % 40) })
	k.repeat(ctx, &wg, time.Second, "process", s.process)
	k.repeat(ctx, &wg, time.Second, "broken upstream", k.mustFail(func(int) error {
		_, err := s.ask("api/request", in{"url": bad, "method": "POST"})
		return err
	}))
	k.repeat(ctx, &wg, 2*time.Second, "file that is not there", k.mustFail(func(int) error { return s.want("", "files/read", in{"file": "scratch:none"}) }))
	k.repeat(ctx, &wg, 3*time.Second, "program that is not there", k.mustFail(func(int) error { return s.want("", "process/run", in{"args": []string{"/no/such/program"}}) }))
	k.repeat(ctx, &wg, 10*time.Second, "reload", func(i int) error {
		change(i + 1)
		_, err := s.th.Reload(context.WithoutCancel(ctx), false)
		return err
	})
	began := time.Now()
	tick := time.NewTicker(soakEvery(long))
	defer tick.Stop()
	var rows [][]float64
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			rows = append(rows, append([]float64{time.Since(began).Hours()}, sample(t, temp)...))
			switch len(rows) {
			case int(long/soakEvery(long)) / 4:
				writeHeap(t, "heap-early.prof")
			case int(long/soakEvery(long)) - 1:
				writeHeap(t, "heap-late.prof")
			}
		}
	}
	wg.Wait()
	return rows
}

// writeHeap keeps what is alive: with -diff_base go tool pprof says of two who holds more.
func writeHeap(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("GAIA_SOAK_OUT")
	if dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		t.Fatal(err)
	}
}

// report fits the samples after the first quarter, in which pools fill and browsers
// start, writes them out, and fails the test where something grew.
func report(t *testing.T, k *soaking, rows [][]float64, long time.Duration) {
	t.Helper()
	t.Logf("%d operations went well, %d failed as they were to, %d did not", k.ok.Load(), k.injected.Load(), k.wrong.Load())
	for _, text := range k.faults {
		t.Error(text)
	}
	late := rows[len(rows)/4:]
	if len(late) < 5 {
		t.Fatalf("only %d samples", len(rows))
	}
	var hours []float64
	for _, r := range late {
		hours = append(hours, r[0])
	}
	var lines []line
	for i, name := range sampleNames() {
		var ys []float64
		for _, r := range late {
			ys = append(ys, r[i+1])
		}
		l, span := fit(hours, ys), hours[len(hours)-1]-hours[0]
		lines = append(lines, l)
		verdict := "no growth"
		if l.slope > 3*l.err && !l.grows(span) {
			verdict = fmt.Sprintf("up by %.2f in all, within the slack of %.1f", l.slope*span, slack(l.mean))
		}
		t.Logf("%-16s mean %8.1f, changes by %+9.2f an hour (standard error %.2f): %s", name, l.mean, l.slope, l.err, verdict)
		if l.grows(span) {
			t.Errorf("%s grows by %.2f in all, more than chance and the slack of %.1f explain", name, l.slope*span, slack(l.mean))
		}
	}
	if dir := os.Getenv("GAIA_SOAK_OUT"); dir != "" {
		writeSoak(t, dir, rows, hours[0], lines, long)
	}
}

// writeSoak writes soak.csv and soak.svg into dir.
func writeSoak(t *testing.T, dir string, rows [][]float64, from float64, lines []line, long time.Duration) {
	t.Helper()
	var text strings.Builder
	w := csv.NewWriter(&text)
	_ = w.Write(append([]string{"hours"}, sampleNames()...)) // a strings.Builder takes everything
	for _, r := range rows {
		var cells []string
		for _, v := range r {
			cells = append(cells, strconv.FormatFloat(v, 'g', 6, 64))
		}
		_ = w.Write(cells)
	}
	w.Flush()
	for name, data := range map[string]string{"soak.csv": text.String(), "soak.svg": picture(rows, from, lines, long)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// picture draws each sample as a small graph with its line.
func picture(rows [][]float64, from float64, lines []line, long time.Duration) string {
	const width, height, left, top = 640, 110, 130, 12
	var b strings.Builder
	names := sampleNames()
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12"><rect width="100%%" height="100%%" fill="white"/>`+"\n", width+left+20, len(names)*(height+30)+40)
	end := rows[len(rows)-1][0]
	for i, name := range names {
		y0, most := top+i*(height+30), 0.0
		for _, r := range rows {
			most = max(most, r[i+1]*1.1)
		}
		most = max(most, 1)
		x := func(h float64) float64 { return left + width*h/end }
		y := func(v float64) float64 { return float64(y0) + height*(1-v/most) }
		fmt.Fprintf(&b, `<text x="8" y="%d">%s</text><text x="8" y="%d" fill="gray">0 to %.0f</text><rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="lightgray"/><polyline fill="none" stroke="steelblue" points="`, y0+20, name, y0+38, most, left, y0, width, height)
		for _, r := range rows {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(r[0]), y(r[i+1]))
		}
		mid := (from + end) / 2
		at := func(h float64) float64 { return lines[i].mean + lines[i].slope*(h-mid) }
		fmt.Fprintf(&b, `"/><line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="crimson"/>`+"\n", x(from), y(at(from)), x(end), y(at(end)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="gray">%v; the red line is the fit after the first quarter</text></svg>`+"\n", left, len(names)*(height+30)+26, long)
	return b.String()
}
