package host

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sampleNames are what is sampled, in the order of a sample's values.
func sampleNames() []string {
	return []string{"goroutines", "heap MiB", "RSS MiB", "own memory MiB", "open files", "children", "temporary files"}
}

// settle waits, for three seconds at most, until as many goroutines and open files are
// there as a moment before.
func settle(t *testing.T) {
	t.Helper()
	const same = 8
	var last leftovers
	for n, deadline := 0, time.Now().Add(3*time.Second); n < same && time.Now().Before(deadline); {
		<-time.After(25 * time.Millisecond)
		now := look(t, os.TempDir())
		n++
		if now.goroutines != last.goroutines || now.files != last.files {
			n = 0
		}
		last = now
	}
}

// sample looks at this process. The heap is what is alive after two collections, of which the
// second takes what pools hold. Memory is resident when what is free was given back: how much
// of that is kept says how busy the process was. The own memory of it is no part of a file, such
// as the program itself, and not the runtime's list of every place that ever allocated.
func sample(t *testing.T, temp string) []float64 {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory() // collects too
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
	all, own := resident(t)
	places := float64(m.BuckHashSys) / (1 << 20)
	return []float64{float64(l.goroutines), float64(m.HeapAlloc) / (1 << 20), all, own - places, float64(l.files), float64(len(l.children)), float64(files)}
}

// resident is the resident memory of this process in MiB, and what of it is no part of a file.
func resident(t *testing.T) (all, own float64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages, shared int
	if _, err := fmt.Sscan(string(text), &size, &pages, &shared); err != nil {
		t.Fatal(err)
	}
	mib := float64(os.Getpagesize()) / (1 << 20)
	return float64(pages) * mib, float64(pages-shared) * mib
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

// writeEnd keeps what there was at one end of the soak: with -diff_base go tool pprof says
// of two profiles who holds more.
func writeEnd(t *testing.T, end string) {
	t.Helper()
	dir := os.Getenv("GAIA_SOAK_OUT")
	if dir == "" {
		return
	}
	for _, name := range []string{"heap", "goroutine"} {
		var b bytes.Buffer
		if err := pprof.Lookup(name).WriteTo(&b, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"-"+end+".prof"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"files": openFiles(t), "memory": memory()} {
		if err := os.WriteFile(filepath.Join(dir, name+"-"+end+".txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// memory says what the runtime has its memory for, in bytes, a line each.
func memory() string {
	var classes []metrics.Sample
	for _, d := range metrics.All() {
		if strings.HasPrefix(d.Name, "/memory/classes/") {
			classes = append(classes, metrics.Sample{Name: d.Name})
		}
	}
	metrics.Read(classes)
	var b strings.Builder
	for _, c := range classes {
		fmt.Fprintf(&b, "%10d %s\n", c.Value.Uint64(), c.Name)
	}
	return b.String()
}

// openFiles lists what is open, a line each.
func openFiles(t *testing.T) string {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil { // the directory itself is closed by now
			lines = append(lines, to+peers(fd))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// peers names the ends of an open socket, "" where there are none.
func peers(fd string) string {
	n, err := strconv.Atoi(filepath.Base(fd))
	if err != nil {
		return ""
	}
	var text string
	for _, end := range []func(int) (unix.Sockaddr, error){unix.Getsockname, unix.Getpeername} {
		switch a, err := end(n); a := a.(type) {
		case *unix.SockaddrInet4:
			text += fmt.Sprintf(" 127.0.0.%d:%d", a.Addr[3], a.Port)
		case *unix.SockaddrUnix:
			text += " " + filepath.Base(a.Name)
		default:
			if err == nil {
				text += " ?"
			}
		}
	}
	return text
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
