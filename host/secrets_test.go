package host

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/host/config"
)

// What the operator keeps secret reaches the upstream and nothing else: no policy, no
// status, no log and no answer.
func TestSecretsReachTheUpstreamOnly(t *testing.T) {
	const secret = "s3cr3t-value"
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r.URL.String() + " " + r.Header.Get("Authorization")
	}))
	defer srv.Close()
	env := []string{"TEST_KEY=" + secret}
	policy := writeJS(t, "p", `
import { log, deny } from "gaia";
export function onRequest(req) {
  log.info(req.url + " " + req.path + " " + req.header("authorization"));
  if (req.path.endsWith("/deny")) return deny(403, { reason: req.url });
}`)
	dir := t.TempDir()
	cfg, err := config.Load(config.Options{Env: env, Set: []string{"listen=127.0.0.1:0", `control=""`, "socket=" + dir + "/s",
		fmt.Sprintf("routes.up.url=%s/base-${env:TEST_KEY}/?key=${env:TEST_KEY}", srv.URL),
		"routes.up.headers={authorization: \"Bearer ${env:TEST_KEY}\"}"}})
	if err != nil {
		t.Fatal(err)
	}
	th := runConfig(t, cfg, []string{policy})
	if code, _, _ := th.get("/up/x"); code != 200 {
		t.Fatal(code)
	}
	if want := fmt.Sprintf("/base-%s/x?key=%s Bearer %s", secret, secret, secret); seen != want {
		t.Errorf("the upstream saw %q, want %q", seen, want)
	}
	_, _, denial := th.get("/up/deny")
	status, err := json.Marshal(th.Status())
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"status": string(status), "log": th.log.String(), "denial": denial, "metrics": gathered(t, th.Host)} {
		if strings.Contains(text, secret) {
			t.Errorf("the secret is in the %s: %s", what, text)
		}
	}
	if !strings.Contains(th.log.String(), "/x") {
		t.Error("the policy logged nothing")
	}
}
