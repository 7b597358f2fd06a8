package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/control"
	"github.com/gaia-host/gaia/internal/testkit"
)

// socketClient is a client of the control plane's socket.
func socketClient(th *testHost) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", th.Config().Socket)
	}}}
}

// overSocket asks the control plane and returns the body.
func overSocket(t *testing.T, th *testHost, path string) string {
	t.Helper()
	res, err := socketClient(th).Get("http://gaia" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// The same number through all four carriers: the pooled map in JavaScript, the block
// in Wasm, the JSON and Prometheus.
func TestOneValueThroughFourCarriers(t *testing.T) {
	th := runFiles(t, []string{writeJS(t, "js", `
import { deny, metrics, counter } from "gaia";
const asked = counter("asked");
export const options = { match: { tenant: "js" } };
export function onRequest() { asked.add(1); return deny(429, { retryAfter: metrics("api").requests_total * 1000 }); }`),
		filepath.Join("testdata", "metric.wasm")}, "routes.up.url="+plainUpstream(t), `policies.metric.match={"tenant":["wasm"]}`)
	for range 40 {
		if code, _, _ := th.get("/up/"); code != 200 {
			t.Fatal(code)
		}
	}
	_, h, _ := th.get("/up/", "Gaia-Tenant", "js") // the 41st
	inJS := h.Get("Retry-After")
	_, h, _ = th.get("/up/", "Gaia-Tenant", "wasm") // the 42nd
	inWasm := h.Get("Retry-After")

	var fields map[string]float64
	if err := json.Unmarshal([]byte(overSocket(t, th, "/metrics/api")), &fields); err != nil {
		t.Fatal(err)
	}
	inJSON := fmt.Sprint(fields["requests_total"])
	inProm := ""
	text := overSocket(t, th, "/metrics")
	for _, line := range strings.Split(text, "\n") {
		if v, ok := strings.CutPrefix(line, "gaia_api_requests_total "); ok {
			inProm = v
		}
	}
	if inJS != "41" || inWasm != "42" || inJSON != "42" || inProm != "42" {
		t.Errorf("JavaScript %s of 41, Wasm %s of 42, JSON %s, Prometheus %s", inJS, inWasm, inJSON, inProm)
	}
	if !strings.Contains(text, `gaia_policy_value{name="asked",policy="js"} 1`) {
		t.Error("the policy's own counter is not in /metrics")
	}
}

func writeJS(t *testing.T, name, code string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".js")
	save(t, path, code)
	return path
}

// promtool finds nothing wrong with /metrics.
func TestMetricsPassPromtool(t *testing.T) {
	promtool := testkit.Program(t, "promtool")
	th := run(t, map[string]string{"p.js": `
import { gauge } from "gaia";
const g = gauge("level");
export function onRequest() { g.set(7); return true; }`}, "routes.up.url="+plainUpstream(t))
	th.get("/up/")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(overSocket(t, th, "/metrics"))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// Health is of the host's own parts: no traffic is healthy, a failing upstream is not
// gaia's failure, a refused reload is a reason.
func TestHealth(t *testing.T) {
	th := run(t, map[string]string{"p.js": `export function onRequest() { throw new Error("x"); }`}, "routes.up.url="+plainUpstream(t))
	if h := th.Health(); h.Status != control.HealthOK || h.Subsystems["api"].Status != control.HealthOK {
		t.Errorf("without traffic: %+v", h)
	}
	for range 30 {
		th.get("/up/")
	}
	if h := th.Health(); h.Status != control.HealthDegraded || !strings.Contains(fmt.Sprint(h.Reasons), "keeps failing") {
		t.Errorf("with a policy that keeps failing: %+v", h)
	}
	th.save("p.js", "")
	th.reloaded()
	if h := th.Health(); !strings.Contains(fmt.Sprint(h.Reasons), "refused") {
		t.Errorf("after a refused reload: %+v", h)
	}
}
