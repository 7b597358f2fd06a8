package host

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A limit of tokens takes the estimate that the request names and ends up at the true
// cost that the last event of the answer names.
func TestTrueCostReplacesTheEstimate(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"delta\":\"hello\"}\n\ndata: {\"usage\":{\"total_tokens\":100}}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(up.Close)
	th := run(t, map[string]string{"p.js": `
import { limiter } from "gaia";
export const options = { match: { subsystem: "api" }, body: ["max_tokens", "usage.total_tokens"] };
const tokens = limiter.tokenBucket("tokens", { rate: 1000, per: "24h", burst: 1000 });
export function onRequest(req) { return tokens.admit(undefined, { cost: Number(req.body("max_tokens") ?? 1) }); }
export function onDone(req, res) {
  const used = res.body("usage.total_tokens");
  if (used !== undefined) tokens.settle(undefined, Number(used));
}`}, "routes.up.url="+up.URL)
	post := func(estimate int) (int, string) {
		res, err := th.client.Post("http://"+th.Addr()+"/up/chat", "application/json", strings.NewReader(fmt.Sprintf(`{"max_tokens":%d}`, estimate)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	for i := range 3 { // each takes 800 of 1000 and costs 100
		if code, body := post(800); code != http.StatusOK || !strings.Contains(body, "[DONE]") {
			t.Fatalf("call %d: %d %s", i, code, body)
		}
	}
	if code, body := post(800); code != http.StatusTooManyRequests {
		t.Errorf("after 300 of 1000, 800 more: %d %s", code, body)
	}
	if code, body := post(600); code != http.StatusOK {
		t.Errorf("after 300 of 1000, 600 more: %d %s", code, body)
	}
}
