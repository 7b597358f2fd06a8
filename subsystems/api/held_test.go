package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/internal/testkit"
)

// TestHeldSaysWhatIsTheCallersAgain: only a call without a body that net/http's client
// has not seen is held by nobody.
func TestHeldSaysWhatIsTheCallersAgain(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") })
	plain := testkit.Serve(t, h)
	tls := httptest.NewTLSServer(h)
	defer tls.Close()
	secure, err := url.Parse(tls.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, nil, nil)
	c := &Call{}
	for _, tt := range []struct {
		u    *url.URL
		body io.Reader
		want bool
	}{{plain, strings.NewReader("x"), true}, {plain, nil, false}, {secure, nil, true}, {plain, nil, false}} {
		c.URL, c.Body, c.ContentLength = tt.u, tt.body, -1
		res, err := p.Do(t.Context(), c)
		if c.Held != tt.want {
			t.Errorf("%v with the body %v: held %v", tt.u, tt.body, c.Held)
		}
		if err != nil {
			continue // the certificate is nobody's
		}
		a := res.Body.(interface{ Ahead() int })
		var all []byte
		for err == nil {
			ahead := a.Ahead()
			if ahead > 10-len(all) {
				t.Errorf("%d bytes are said to have come after %q", ahead, all)
			}
			buf := make([]byte, 3)
			var n int
			n, err = res.Body.Read(buf)
			if n < min(ahead, 3) {
				t.Errorf("of %d bytes that had come, Read gave %d", ahead, n)
			}
			all = append(all, buf[:n]...)
		}
		if string(all) != "0123456789" || a.Ahead() != 0 {
			t.Errorf("got %q, then %d ahead", all, a.Ahead())
		}
		_ = res.Body.Close()
	}
}
