package docs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/bundle/remote/registrytest"
	"github.com/gaia-host/gaia/internal/testkit"
)

const (
	commandTimeout = 30 * time.Second
	outputTimeout  = 15 * time.Second
)

// binary builds gaia once and returns the folder that holds it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gaia-docs-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "gaia"), "../cmd/gaia").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("build gaia: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := binary(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func binDir(t *testing.T) string {
	t.Helper()
	dir, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// upstream is the API of the documents: /hello greets, /limited bears two calls a
// second, /broken fails, and the rest is not there.
func upstream() http.Handler {
	var mu sync.Mutex
	var recent []time.Time
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	mux.HandleFunc("/broken/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/limited", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		for len(recent) > 0 && now.Sub(recent[0]) >= time.Second {
			recent = recent[1:]
		}
		if len(recent) >= 2 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		recent = append(recent, now)
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// session is one reader who follows one page.
type session struct {
	t     *testing.T
	dir   string
	env   []string
	stand *strings.Replacer // the names of the page become those of the test
	back  *strings.Replacer // and the other way round

	shell  io.WriteCloser
	output *bufio.Reader
	gaias  []*process
}

// process is a gaia that the page started.
type process struct {
	cmd  *exec.Cmd
	done chan error
	mu   sync.Mutex
	out  bytes.Buffer
	seen int // lines matched so far

	printed chan struct{} // something was, since this was last read
}

// Write collects what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.printed <- struct{}{}:
	default:
	}
	return p.out.Write(b)
}

func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Split(p.out.String(), "\n")
}

// newSession makes the folder of a page. One about shipping has a registry.
func newSession(t *testing.T, shipping bool) *session {
	t.Helper()
	bin := binDir(t)
	dir, err := os.MkdirTemp("", "page-") //nolint:usetesting // the path of a socket has a bound, which t.TempDir may exceed
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(upstream())
	repo, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	gateway, control, registry := testkit.FreeAddr(t), testkit.FreeAddr(t), "registry.example.com"
	if shipping {
		registry = registrytest.Run(t, registrytest.Config{Dir: t.TempDir()}).Host // everybody may push there
	}
	s := &session{
		t: t, dir: dir,
		stand: strings.NewReplacer("127.0.0.1:8080", gateway, "127.0.0.1:4242", control, "https://api.example.com", api.URL, "registry.example.com", registry),
		back:  strings.NewReplacer(gateway, "127.0.0.1:8080", control, "127.0.0.1:4242", api.URL, "https://api.example.com", registry, "registry.example.com"),
		env: []string{
			"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CACHE_HOME=" + filepath.Join(bin, "cache"), "REPO=" + repo,
			"GAIA_LISTEN=" + gateway, "GAIA_CONTROL=" + control, "GAIA_SOCKET=" + filepath.Join(dir, "gaia.sock"),
		},
	}
	t.Cleanup(func() {
		s.stop()
		api.CloseClientConnections()
		api.Close()
		_ = os.RemoveAll(dir)
	})
	return s
}

// write puts the files of the page into its folder and checks each.
func (s *session) write(list []block) {
	s.t.Helper()
	named := func(i int, b block) string {
		if b.file != "" {
			return b.file
		}
		return fmt.Sprintf("block-%d.%s", i, b.lang)
	}
	for i, b := range list {
		if b.kind == "policy" || b.kind == "config" || b.kind == "test" {
			if err := os.WriteFile(filepath.Join(s.dir, named(i, b)), []byte(s.stand.Replace(b.text)), 0o644); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	secret := regexp.MustCompile(`\$\{env:([A-Z_]+)\}`)
	for i, b := range list {
		var args []string
		switch b.kind {
		case "policy":
			args = []string{"policy", "check", named(i, b)}
		case "config":
			args = []string{"validate", "-c", named(i, b)}
		default:
			continue
		}
		cmd := exec.Command(filepath.Join(binDir(s.t), "gaia"), args...)
		cmd.Dir, cmd.Env = s.dir, s.env
		for _, m := range secret.FindAllStringSubmatch(b.text, -1) {
			cmd.Env = append(cmd.Env, m[1]+"=secret")
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			s.t.Errorf("%s: gaia %s: %v\n%s", b, strings.Join(args, " "), err, out)
		}
	}
}

// console types the commands of a block and compares what comes back.
func (s *session) console(b block) {
	s.t.Helper()
	lines := strings.Split(strings.TrimSuffix(b.text, "\n"), "\n")
	for i := 0; i < len(lines); {
		command, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			s.t.Fatalf("%s: a session begins with \"$ \", not with %q", b, lines[i])
		}
		i++
		if _, end, here := strings.Cut(command, "<<'"); here {
			end, _, _ = strings.Cut(end, "'")
			for done := false; i < len(lines) && !done; i++ {
				command += "\n" + lines[i]
				done = lines[i] == end
			}
		}
		from := i
		for i < len(lines) && !strings.HasPrefix(lines[i], "$ ") {
			i++
		}
		if strings.HasPrefix(command, "gaia run ") {
			s.start(b, command)
			s.expectRun(b, lines[from:i])
			continue
		}
		got := s.run(b, command)
		if want := lines[from:i]; !sameLines(want, got) {
			s.t.Fatalf("%s: $ %s\ngot:\n%s\nwant:\n%s", b, command, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// run types one command into the page's shell and returns what it printed.
func (s *session) run(b block, command string) []string {
	s.t.Helper()
	if s.shell == nil {
		cmd := exec.Command("bash", "--noprofile", "--norc")
		cmd.Dir, cmd.Env = s.dir, s.env
		in, err := cmd.StdinPipe()
		if err != nil {
			s.t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			s.t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.shell, s.output = in, bufio.NewReader(out)
		s.t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
		fmt.Fprintln(in, "exec 2>&1")
	}
	fmt.Fprintf(s.shell, "%s\n{ code=$?; printf '\\001\\n'; (exit $code); }\n", s.stand.Replace(command))
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := s.output.ReadString(1)
		if err == nil {
			_, err = s.output.ReadString('\n')
		}
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			s.t.Fatalf("%s: $ %s: the shell ended: %v\n%s", b, command, a.err, a.text)
		}
		text := strings.TrimSuffix(strings.TrimSuffix(a.text, "\x01"), "\n")
		if text == "" {
			return nil
		}
		return strings.Split(s.back.Replace(text), "\n")
	case <-time.After(commandTimeout):
		s.t.Fatalf("%s: $ %s: no answer within %v", b, command, commandTimeout)
		return nil
	}
}

// start runs a gaia in the background, as in a terminal of its own.
func (s *session) start(b block, command string) {
	s.t.Helper()
	p := &process{done: make(chan error, 1), printed: make(chan struct{}, 1)}
	p.cmd = exec.Command("bash", "-c", "exec "+s.stand.Replace(command))
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = s.dir, s.env, p, p
	if err := p.cmd.Start(); err != nil {
		s.t.Fatalf("%s: %v", b, err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	s.gaias = append(s.gaias, p)
}

// expectRun waits until the last gaia has printed lines like these, in this order.
func (s *session) expectRun(b block, want []string) {
	s.t.Helper()
	if len(s.gaias) == 0 {
		s.t.Fatalf("%s: no gaia runs", b)
	}
	p := s.gaias[len(s.gaias)-1]
	late := time.After(outputTimeout)
	for {
		got := p.lines()
		at, missing := p.seen, ""
		for _, w := range want {
			if w == "..." {
				continue
			}
			for at < len(got) && !sameLine(w, s.back.Replace(got[at])) {
				at++
			}
			if at++; at > len(got) {
				missing = w
				break
			}
		}
		if missing == "" {
			p.seen = at
			return
		}
		select {
		case <-p.printed:
		case <-late:
			s.t.Fatalf("%s: gaia did not print %q; it printed:\n%s", b, missing, strings.Join(got, "\n"))
		}
	}
}

// traffic calls the API through gaia until stop, and returns what failed: a policy may
// say no, but nothing is dropped while it changes.
func (s *session) traffic() (stop func() (calls int, failures []string)) {
	quit, done := make(chan struct{}), make(chan struct{})
	var calls int
	var failures []string
	url := s.stand.Replace("http://127.0.0.1:8080/api/hello")
	go func() {
		defer close(done)
		t := time.NewTicker(30 * time.Millisecond)
		defer t.Stop()
		for more := true; more; {
			calls++
			if res, err := http.Get(url); err != nil {
				failures = append(failures, err.Error())
			} else {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode >= 500 {
					failures = append(failures, res.Status)
				}
			}
			select {
			case <-quit:
				more = false
			case <-t.C:
			}
		}
	}()
	return func() (int, []string) {
		close(quit)
		<-done
		return calls, failures
	}
}

// stop ends every gaia of the page; each must have ended well.
func (s *session) stop() {
	for _, p := range s.gaias {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-p.done:
			if err != nil {
				s.t.Errorf("gaia ended with %v:\n%s", err, strings.Join(p.lines(), "\n"))
			}
		case <-time.After(commandTimeout):
			_ = p.cmd.Process.Kill()
			s.t.Errorf("gaia did not end")
		}
	}
}

// sameLines compares output with what the page shows: "..." in a line stands for any
// text, alone on a line for any lines. Runs of spaces count as one.
func sameLines(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "..." {
		for skip := 0; skip <= len(got); skip++ {
			if sameLines(want[1:], got[skip:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && sameLine(want[0], got[0]) && sameLines(want[1:], got[1:])
}

func sameLine(want, got string) bool {
	spaces := regexp.MustCompile(`\s+`)
	parts := strings.Split(spaces.ReplaceAllString(strings.TrimSpace(want), " "), "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`^` + strings.Join(parts, ".*") + `$`).MatchString(spaces.ReplaceAllString(strings.TrimSpace(got), " "))
}

func TestComparison(t *testing.T) {
	tests := []struct {
		want, got string
		same      bool
	}{
		{"a b", "a   b", true},
		{"a ... c", "a b c", true},
		{"a ... c", "a b d", false},
		{"a\n...\nc", "a\nb\nb\nc", true},
		{"a\n...\nc", "a\nc", true},
		{"a\n...\nc", "a\nb", false},
		{"a", "a\nb", false},
		{"(a)", "(a)", true},
	}
	for _, tt := range tests {
		if got := sameLines(strings.Split(tt.want, "\n"), strings.Split(tt.got, "\n")); got != tt.same {
			t.Errorf("%q and %q: %v", tt.want, tt.got, got)
		}
	}
}

func TestPages(t *testing.T) {
	for _, page := range pages(t) {
		list := blocks(t, page)
		runs := false
		for _, b := range list {
			runs = runs || b.lang == "console" || b.kind != ""
		}
		if !runs {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, strings.Contains(read(t, page), "registry.example.com"))
			s.write(list)
			for _, b := range list {
				switch {
				case b.lang == "console":
					s.console(b)
				case b.kind == "run":
					stop := s.traffic()
					s.expectRun(b, strings.Split(strings.TrimSuffix(b.text, "\n"), "\n"))
					if calls, failures := stop(); len(failures) > 0 {
						t.Errorf("%s: of %d calls while the file changed these failed: %v", b, calls, failures)
					}
				}
			}
		})
	}
}
