package browser

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"strings"
	"testing"
)

func TestJobsTakeWhatTheySay(t *testing.T) {
	needs(t, HeadlessShell)
	r, s := newRig(t, nil), site(t)
	shot := r.do(Tab{Width: 800, Height: 600}, Job{Action: Screenshot, URL: s.URL + "/hello"})
	if shot.Title != "Hello" || shot.Status != 200 || shot.MediaType != "image/png" || shot.URL != s.URL+"/hello" {
		t.Errorf("%q %d %q %q", shot.Title, shot.Status, shot.MediaType, shot.URL)
	}
	img, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil || img.Bounds().Dx() != 800 || img.Bounds().Dy() != 600 {
		t.Errorf("picture %v: %v", img.Bounds(), err)
	}
	if dir := os.Getenv("GAIA_KEEP"); dir != "" {
		os.WriteFile(dir+"/shot.png", shot.Data, 0o600)
	}
	full := r.do(Tab{Width: 400, Height: 300}, Job{Action: Screenshot, URL: s.URL + "/long", FullPage: true})
	if img, err := png.Decode(bytes.NewReader(full.Data)); err != nil || img.Bounds().Dy() != 3000 {
		t.Errorf("whole page %v: %v", img.Bounds(), err)
	}
	if jpeg := r.do(Tab{}, Job{Action: Screenshot, URL: s.URL + "/hello", Quality: 50}); !bytes.HasPrefix(jpeg.Data, []byte{0xff, 0xd8}) {
		t.Error("no JPEG")
	}
	if pdf := r.do(Tab{}, Job{Action: PDF, URL: s.URL + "/hello"}); !bytes.HasPrefix(pdf.Data, []byte("%PDF-")) {
		t.Error("no PDF")
	}
	if html := r.do(Tab{}, Job{Action: HTML, URL: s.URL + "/liar"}); !strings.Contains(string(html.Data), "<p>true") {
		t.Errorf("html %q", html.Data)
	}
	for script, want := range map[string]string{
		"6*7": "42", "document.title": `"Hello"`, "undefined": "null", "Promise.resolve({a:[1]})": `{"a":[1]}`, `"\ud800"`: "",
	} {
		v := r.do(Tab{}, Job{Action: Evaluate, URL: s.URL + "/hello", Script: script})
		if !json.Valid(v.Value) || want != "" && string(v.Value) != want {
			t.Errorf("%s is %s, want %s", script, v.Value, want)
		}
	}
	_, err = r.Do(t.Context(), Tab{}, Job{Action: Evaluate, URL: "about:blank", Script: "throw new Error('ouch')"})
	if !errors.Is(err, ErrScript) || !strings.Contains(err.Error(), "ouch") {
		t.Errorf("a script that throws: %v", err)
	}
	cookies := r.do(Tab{}, Job{Action: Cookies, URL: s.URL + "/cookie?v=1"})
	if len(cookies.Cookies) != 1 || cookies.Cookies[0].Value != "1" || !cookies.Cookies[0].HTTPOnly {
		t.Errorf("cookies %+v", cookies.Cookies)
	}
	echo := r.do(Tab{}, Job{Action: HTML, URL: s.URL + "/echo", SetCookies: []Cookie{{Name: "mine", Value: "2", URL: s.URL}}})
	if !strings.Contains(string(echo.Data), "mine=2") {
		t.Errorf("the cookie was not sent: %s", echo.Data)
	}
	if blank := r.do(Tab{}, Job{URL: "data:text/html,<title>d</title>"}); blank.Title != "d" {
		t.Errorf("data URL: %+v", blank)
	}
	if missing := r.do(Tab{}, Job{URL: s.URL + "/missing"}); missing.Status != 404 {
		t.Errorf("status %d", missing.Status)
	}
	if alert := r.do(Tab{}, Job{URL: s.URL + "/alert"}); alert.Title != "after" {
		t.Errorf("a dialog held the page up: %q", alert.Title)
	}
	for _, path := range []string{"/download"} {
		if _, err := r.Do(t.Context(), Tab{}, Job{URL: s.URL + path}); !errors.Is(err, ErrLoad) {
			t.Errorf("%s: %v", path, err)
		}
	}
	st := r.Stats()
	if st.Launched != 1 || st.Failed == 0 || st.Succeeded < 15 {
		t.Errorf("%+v", st)
	}
}
