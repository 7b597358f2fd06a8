package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/extensions/policy/hooktest"
	"github.com/gaia-host/gaia/internal/testkit"
	"github.com/gaia-host/gaia/subsystems/admission"
)

func TestRoundTripper(t *testing.T) {
	u := testkit.Serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s%d", b, r.ContentLength)
	})
	var denyNow atomic.Bool
	var key atomic.Value
	p := newPool(t, &hooktest.Policy{Request: func(r *policy.Request, d *policy.Decision) {
		key.Store(r.Key)
		if denyNow.Load() {
			d.Action, d.RetryAfter, d.Reason = policy.ActionDeny, 2500*time.Millisecond, "not now"
		}
	}}, nil)
	client := &http.Client{Transport: p.RoundTripper(RoundTripperOptions{})}
	res, err := client.Post(u.String(), "text/plain", strings.NewReader("hey"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(b) != "hey3" || key.Load() != u.Host {
		t.Errorf("%q, key %v", b, key.Load())
	}
	denyNow.Store(true)
	closed := make(chan struct{})
	req, _ := http.NewRequest("POST", u.String(), &slowBody{r: strings.NewReader("x"), closed: closed})
	if _, err = client.Do(req); !errors.Is(err, admission.ErrDenied) || IsDenied(err).Policy != "p" {
		t.Errorf("denied: %v", err)
	}
	select {
	case <-closed:
	default:
		t.Error("the body of a denied request was not closed")
	}
	client.Transport = p.RoundTripper(RoundTripperOptions{Synthesize: true, Key: func(*http.Request) string { return "mine" }})
	if res, err = client.Get(u.String()); err != nil {
		t.Fatal(err)
	}
	b, _ = io.ReadAll(res.Body)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "3" || !strings.Contains(string(b), `"detail":"not now"`) || key.Load() != "mine" {
		t.Errorf("synthesised: %d %v %s", res.StatusCode, res.Header, b)
	}
	if _, err := p.Do(t.Context(), &Call{URL: testkit.URL(t, "ftp://x/")}); kind(err) != policy.ErrorOther {
		t.Errorf("a bad URL: %v", err)
	}
	if _, err := p.Do(t.Context(), &Call{URL: u, Profile: "nobody"}); !errors.Is(err, ErrProfile) {
		t.Errorf("an unknown profile: %v", err)
	}
}
