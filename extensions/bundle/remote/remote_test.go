package remote

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaia-host/gaia/internal/testkit"
)

const module = "export function onRequest() {}\n"

// site is a TLS server of a few files.
type site struct {
	*httptest.Server
	files map[string][]byte
	asked atomic.Int64
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{files: map[string][]byte{"/p.js": []byte(module)}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		switch r.URL.Path {
		case "/plain.js":
			http.Redirect(w, r, "http://127.0.0.1:1/p.js", http.StatusFound)
		case "/loop.js":
			http.Redirect(w, r, "/loop.js", http.StatusFound)
		case "/moved.js":
			http.Redirect(w, r, "/p.js", http.StatusFound)
		case "/short.js":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		case "/broken.js":
			w.WriteHeader(http.StatusInternalServerError)
		case "/endless.js":
			for range 100 {
				_, _ = w.Write(make([]byte, 1024))
				w.(http.Flusher).Flush()
			}
		default:
			data, ok := s.files[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) store(dir string) *Store {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return New(Config{Dir: dir, RootCAs: roots, MaxBytes: 4096})
}

func keys(t *testing.T) (secret []byte, public string) {
	t.Helper()
	secret, pub, err := Generate("")
	if err != nil {
		t.Fatal(err)
	}
	return secret, string(pub)
}

func sign(t *testing.T, code string, secret []byte) []byte {
	t.Helper()
	s, err := Sign([]byte(code), secret, "", "p.js", time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pin(code string) string { return "#" + Digest([]byte(code)) }

func TestFetchRefusesWithTheReason(t *testing.T) {
	s := newSite(t)
	secret, public := keys(t)
	other, _ := keys(t)
	s.files["/signed.js"], s.files["/signed.js.minisig"] = []byte(module), sign(t, module, secret)
	s.files["/changed.js"], s.files["/changed.js.minisig"] = []byte(module+"//"), sign(t, module, secret)
	s.files["/foreign.js"], s.files["/foreign.js.minisig"] = []byte(module), sign(t, module, other)
	s.files["/odd.js"], s.files["/odd.js.minisig"] = []byte(module), []byte("no signature\n")
	s.files["/cut.js"], s.files["/cut.js.minisig"] = []byte(module), sign(t, module, secret)[:80]
	s.files["/large.js"] = make([]byte, 5000)
	signed := Want{Keys: []string{public}}
	for _, tt := range []struct {
		use      string
		want     Want
		is       error
		contains string
	}{
		{"/p.js", Want{}, ErrRefused, "neither pinned nor signed"},
		{"/p.js" + pin("other"), Want{}, ErrRefused, "its digest is sha256:"},
		{"/p.js#sha256:12", Want{}, ErrRefused, "64 hexadecimal digits"},
		{"/p.js", signed, ErrRefused, "it is not signed"},
		{"/p.js" + pin(module), signed, ErrRefused, "it is not signed"},
		{"/changed.js", signed, ErrRefused, "not of these bytes"},
		{"/foreign.js", signed, ErrRefused, "not among the keys"},
		{"/odd.js", signed, ErrRefused, "cannot be read"},
		{"/cut.js", signed, ErrRefused, "cannot be read"},
		{"/large.js" + pin("x"), Want{}, ErrRefused, "larger than 4096 bytes"},
		{"/endless.js" + pin("x"), Want{}, ErrRefused, "larger than 4096 bytes"},
		{"/plain.js" + pin(module), Want{}, ErrRefused, "not https"},
		{"/loop.js" + pin(module), Want{}, ErrRefused, "redirects"},
		{"/short.js" + pin("short"), Want{}, ErrFetch, "ended after 5 bytes"},
		{"/broken.js" + pin(module), Want{}, ErrFetch, "500"},
		{"/none.js" + pin(module), Want{}, ErrFetch, "no such file"},
	} {
		dir := t.TempDir()
		m, err := s.store(dir).Fetch(t.Context(), s.URL+tt.use, tt.want)
		if m != nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v", tt.use, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("%s: something was kept: %v", tt.use, left)
		}
	}
	for _, use := range []string{"http://127.0.0.1/p.js" + pin(module), "ftp://h/p.js", "https://u:secret@h/p.js" + pin(module), "https:///p.js", "://"} {
		if _, err := s.store("").Fetch(t.Context(), use, Want{}); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", use, err)
		}
	}
	if _, err := New(Config{}).Fetch(t.Context(), s.URL+"/p.js"+pin(module), Want{}); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}

func TestPinnedModuleNeedsNoNetworkTwice(t *testing.T) {
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "policies")
	store := s.store(dir)
	for _, use := range []string{"/p.js", "/moved.js"} {
		m, err := store.Fetch(t.Context(), s.URL+use+pin(module), Want{})
		if err != nil || string(m.Code) != module || m.Digest != Digest([]byte(module)) {
			t.Fatalf("%s: %v", use, err)
		}
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	kept := filepath.Join(dir, "modules", strings.TrimPrefix(Digest([]byte(module)), "sha256:"))
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(kept): 0o700, kept: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	// What somebody changed on the disk is fetched again.
	if err := os.WriteFile(kept, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := store.Fetch(t.Context(), s.URL+"/p.js"+pin(module), Want{}); err != nil || string(m.Code) != module {
		t.Errorf("%v", err)
	}
}

func TestSignedModuleOutlivesItsServer(t *testing.T) {
	s := newSite(t)
	secret, public := keys(t)
	s.files["/p.js.minisig"] = sign(t, module, secret)
	store, use, want := s.store(t.TempDir()), s.URL+"/p.js", Want{Keys: []string{public}, Stale: true}
	m, err := store.Fetch(t.Context(), use, want)
	if err != nil || len(m.Signer) != 16 {
		t.Fatalf("%+v, %v", m, err)
	}
	s.Close()
	if m, err := store.Fetch(t.Context(), use, want); err != nil || string(m.Code) != module {
		t.Errorf("at a start: %v", err)
	}
	want.Stale = false
	if _, err := store.Fetch(t.Context(), use, want); !errors.Is(err, ErrFetch) {
		t.Errorf("at a reload: %v", err)
	}
	_, stranger := keys(t)
	if _, err := store.Fetch(t.Context(), use, Want{Keys: []string{stranger}, Stale: true}); err == nil {
		t.Error("a kept module is not held to the keys of today")
	}
}

// Debian's minisign and gaia read each other's keys and signatures.
func TestMinisignIsTheSame(t *testing.T) {
	tool := testkit.Program(t, "minisign")
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	put := func(name string, data []byte) {
		if err := os.WriteFile(in(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
		t.Logf("minisign %s: %s", strings.Join(args, " "), out)
		return err
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(in(name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	secret, public := keys(t)
	put("p.js", []byte(module))
	put("p.js.minisig", sign(t, module, secret))
	put("our.pub", []byte(public))
	put("our.key", secret)
	if err := run("-V", "-p", in("our.pub"), "-m", in("p.js")); err != nil {
		t.Errorf("it refuses what gaia signed: %v", err)
	}
	put("p.js", []byte(module+"//"))
	if err := run("-V", "-p", in("our.pub"), "-m", in("p.js")); err == nil {
		t.Error("it takes a changed file")
	}
	put("p.js", []byte(module))
	if err := run("-G", "-W", "-p", in("their.pub"), "-s", in("their.key")); err != nil {
		t.Fatal(err)
	}
	for _, legacy := range [][]string{nil, {"-l"}} {
		if err := run(append([]string{"-S", "-s", in("their.key"), "-m", in("p.js")}, legacy...)...); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify([]byte(module), read("p.js.minisig"), []string{public, string(read("their.pub"))}); err != nil {
			t.Errorf("%v: gaia refuses what it signed: %v", legacy, err)
		}
	}
	put("p.js.minisig", sign(t, module, read("their.key")))
	if err := run("-V", "-p", in("their.pub"), "-m", in("p.js")); err != nil {
		t.Errorf("gaia's signature with its key: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	secret, pub, err := Generate("")
	if err != nil {
		f.Fatal(err)
	}
	good, err := Sign([]byte(module), secret, "", "p", time.Unix(1, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(module), good)
	f.Add([]byte(""), []byte("untrusted comment: \n\ntrusted comment: \n"))
	f.Fuzz(func(t *testing.T, code, signature []byte) {
		if _, err := Verify(code, signature, []string{string(pub)}); err == nil && string(code) != module {
			t.Errorf("%q passes", code)
		}
	})
}

// A lock pins an address without a digest: what is kept is taken, whatever the site has now; what
// is not kept is fetched, and its digest told.
func TestFetchOfALockedAddress(t *testing.T) {
	s := newSite(t)
	store := s.store(filepath.Join(t.TempDir(), "policies"))
	use := s.URL + "/p.js"
	if _, err := store.Fetch(t.Context(), use, Want{}); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	if m, err := store.Fetch(t.Context(), use, Want{FirstUse: true}); err != nil || m.Digest != Digest([]byte(module)) {
		t.Fatal(err)
	}
	locked := Want{Digest: Digest([]byte(module))}
	s.files["/p.js"] = []byte("export {}")
	asked := s.asked.Load()
	if m, err := store.Fetch(t.Context(), use, locked); err != nil || string(m.Code) != module || s.asked.Load() != asked {
		t.Errorf("what is kept: %v", err)
	}
	if m, err := s.store("").Fetch(t.Context(), use, locked); err != nil || m.Digest != Digest([]byte("export {}")) {
		t.Errorf("what is not: %v", err)
	}
	if _, err := store.Fetch(t.Context(), use+pin("export {}"), locked); err != nil {
		t.Errorf("an address with a digest of its own: %v", err)
	}
	if _, err := s.store("").Fetch(t.Context(), use+pin("other"), locked); !errors.Is(err, ErrRefused) {
		t.Errorf("an address with another digest: %v", err)
	}
}
