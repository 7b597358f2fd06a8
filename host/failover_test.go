package host

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// childUpstream is a server in a process of its own, so that it can be killed.
type childUpstream struct {
	name, addr string
	cmd        *exec.Cmd
	in         io.Closer
}

// childEnv makes the test's program such a server: NAME ADDR. It ends when its standard
// input does.
const childEnv = "HOST_TEST_UPSTREAM"

func serveChild(spec string) int {
	name, addr, _ := strings.Cut(spec, " ")
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	}()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func startChild(t *testing.T, name, addr string) *childUpstream {
	t.Helper()
	c := &childUpstream{name: name, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"="+name+" "+addr)
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in = in
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	c.addr = strings.TrimSpace(line)
	if _, _, bad := net.SplitHostPort(c.addr); err != nil || bad != nil {
		t.Fatalf("the upstream %s says %q, %v", name, line, err)
	}
	return c
}

// kill ends it as a crash does, and waits. It may be called again.
func (c *childUpstream) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	_ = c.in.Close()
}

// One of three upstreams dies under load and comes back, with and without probes.
func TestFailover(t *testing.T) {
	for name, set := range map[string][]string{
		"passive": {`routes.up.outlier={eject_for: 300ms}`},
		"active":  {`routes.up.health={path: /healthz, interval: 100ms}`, `routes.up.outlier={eject_for: 1h, max_eject_for: 1h}`},
		"p2c":     {`routes.up.balance=p2c`, `routes.up.outlier={eject_for: 300ms}`},
		"policy":  {`routes.up.health={path: /healthz, interval: 100ms}`},
	} {
		t.Run(name, func(t *testing.T) {
			policies := map[string]string{}
			if name == "policy" {
				policies["p.js"] = idlest
			}
			failOver(t, policies, set)
		})
	}
}

// idlest chooses in the route hook: by its own rule among those that are well.
const idlest = `
export const options = { budget: "1s" };
export function onRoute(req, upstreams) {
	const well = upstreams.filter((u) => u.healthy);
	return (well.length > 0 ? well : [...upstreams]).sort((a, b) => a.inFlight - b.inFlight || Math.random() - 0.5)[0].name;
}`

func failOver(t *testing.T, policies map[string]string, set []string) {
	var ups [3]*childUpstream
	for i, name := range []string{"a", "b", "c"} {
		ups[i] = startChild(t, name, "127.0.0.1:0")
		set = append(set, fmt.Sprintf("routes.up.upstreams.%s.url=http://%s", name, ups[i].addr))
	}
	th := run(t, policies, set...)
	var answers [3]atomic.Int64
	var failed atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
	}()
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				code, _, body, err := th.try("/up/x")
				if at := strings.Index("abc", body); err == nil && code == http.StatusOK && len(body) == 1 && at >= 0 {
					answers[at].Add(1)
				} else if failed.Add(1) < 5 {
					t.Errorf("a request failed: %d %q %v", code, body, err)
				}
			}
		})
	}
	await := func(what string, is func() bool) time.Duration {
		t.Helper()
		began := time.Now()
		for !is() {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("not in 20 s: %s; status %+v", what, th.Status().Routes)
			}
			<-time.After(2 * time.Millisecond)
		}
		return time.Since(began)
	}
	more := func(i int) func() bool {
		was := answers[i].Load()
		return func() bool { return answers[i].Load() > was+5 }
	}
	health := func() string { return th.Status().Routes[0].Upstreams[1].Health }

	await("all serve", func() bool { return answers[0].Load() > 5 && answers[1].Load() > 5 && answers[2].Load() > 5 })
	ups[1].kill()
	off := await("b is passed over", func() bool { h := health(); return h == "ejected" || h == "down" })
	await("a serves without b", more(0))
	await("c serves without b", more(2))
	startChild(t, "b", ups[1].addr)
	back := await("b serves again", more(1))
	await("b is well", func() bool { return health() == "healthy" })
	close(stop)
	wg.Wait()
	total := answers[0].Load() + answers[1].Load() + answers[2].Load()
	st := th.API().Stats()
	t.Logf("%d requests, %d failed, %d tried again; off b after %v, back %v after its start", total, failed.Load(), st.Retried, off, back)
	if failed.Load() > 0 || st.BreakerOpened > 0 {
		t.Errorf("%d requests failed, the breaker opened %d times", failed.Load(), st.BreakerOpened)
	}
}

// TestMain lets the test's program be the upstreams that are killed.
func TestMain(m *testing.M) {
	if spec, ok := os.LookupEnv(childEnv); ok {
		os.Exit(serveChild(spec))
	}
	os.Exit(m.Run())
}
