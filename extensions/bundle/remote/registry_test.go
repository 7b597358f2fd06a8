package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const wasmModule = "\x00asm\x01\x00\x00\x00"

// hub is a registry in this process: what is pushed can be pulled, and answers that a
// test plants come first.
type hub struct {
	*httptest.Server
	mu    sync.Mutex
	blobs map[string][]byte // by path, those of manifests too
	types map[string]string
	plant map[string]http.HandlerFunc // by method and path
	asked int
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{blobs: map[string][]byte{}, types: map[string]string{}, plant: map[string]http.HandlerFunc{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) host() string { return h.Listener.Addr().String() }

func (h *hub) ref(rest string) string { return "oci://" + h.host() + "/" + rest }

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if f, ok := h.plant[r.Method+" "+r.URL.Path]; ok {
		f(w, r)
		return
	}
	at := r.URL.Path
	switch r.Method {
	case http.MethodPost:
		w.Header().Set("Location", at+"upload")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		dir, last := filepath.Split(at)
		if last == "upload" {
			h.blobs[strings.TrimSuffix(dir, "uploads/")+r.URL.Query().Get("digest")] = data
		} else {
			h.put(dir, last, r.Header.Get("Content-Type"), data)
		}
		w.WriteHeader(http.StatusCreated)
	default:
		data, ok := h.blobs[at]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if kind := h.types[at]; kind != "" {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Docker-Content-Digest", Digest(data))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data)
	}
}

// put is a manifest under its tag and its digest.
func (h *hub) put(dir, tag, kind string, data []byte) {
	for _, name := range []string{tag, Digest(data)} {
		h.blobs[dir+name], h.types[dir+name] = data, kind
	}
}

// artifact plants a manifest of one layer, changed by edit, in repository p under tag.
func (h *hub) artifact(t *testing.T, tag string, code string, edit func(*ocispec.Manifest)) (digest string) {
	t.Helper()
	p, err := pack(File{Name: "p.js", Code: []byte(code)})
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(p.manifest.data, &m); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(&m)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.put("/v2/p/manifests/", tag, ocispec.MediaTypeImageManifest, data)
	h.blobs["/v2/p/blobs/"+Digest([]byte(code))] = []byte(code)
	return Digest(data)
}

func (h *hub) on(method, path string, f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plant[method+" "+path] = f
}

func status(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": "SOME", "message": message}}})
	}
}

// anonymous is a machine without credentials of docker.
func anonymous(t *testing.T) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
}

func cacheFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPushedIsPulled(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	s := New(Config{Dir: t.TempDir()})
	secret, public := keys(t)
	for name, code := range map[string]string{"p.js": module, "p.wasm": wasmModule} {
		signature := sign(t, code, secret)
		pushed, err := s.Push(t.Context(), h.ref("team/"+name[2:]+":1.2"), File{Name: name, Code: []byte(code), Signature: signature}, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Push(t.Context(), h.ref("team/other:latest"), File{Name: name, Code: []byte(code), Signature: signature}, nil)
		if err != nil || again.Resolved[strings.Index(again.Resolved, "@"):] != pushed.Resolved[strings.Index(pushed.Resolved, "@"):] {
			t.Errorf("%s: pushed twice it has two digests: %v, %v", name, again, err)
		}
		for _, tt := range []struct {
			use  string
			want Want
		}{
			{pushed.Address, Want{Look: true}},
			{pushed.Address, Want{Keys: []string{public}}},
			{pushed.Resolved, Want{}},
			{pushed.Resolved, Want{Keys: []string{public}}},
			{pushed.Address + "#" + pushed.Digest, Want{}},
			{pushed.Resolved + "#" + pushed.Digest, Want{}},
		} {
			m, err := s.Fetch(t.Context(), tt.use, tt.want)
			if err != nil {
				t.Errorf("%s: %v", tt.use, err)
				continue
			}
			if string(m.Code) != code || m.Digest != pushed.Digest || m.Name != name[2:]+filepath.Ext(name) || string(m.Signature) != string(signature) {
				t.Errorf("%s: %s %s", tt.use, m.Name, m.Digest)
			}
			if m.Resolved != pushed.Resolved && m.Resolved != pushed.Address+"#"+pushed.Digest {
				t.Errorf("%s: resolved to %s", tt.use, m.Resolved)
			}
			m.Release()
		}
	}
	for _, tt := range []struct{ to, name, code, contains string }{
		{h.ref("p@" + Digest(nil)), "p.js", module, "REPOSITORY:TAG"},
		{"https://127.0.0.1/p.js", "p.js", module, "REPOSITORY:TAG"},
		{h.ref("p:1"), "p.ts", module, "Wasm module or a .js file"},
		{h.ref("p:1"), "p.js", "", "Wasm module or a .js file"},
		{h.ref("P:1"), "p.js", module, "small letters"},
	} {
		if _, err := s.Push(t.Context(), tt.to, File{Name: tt.name, Code: []byte(tt.code)}, nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v", tt.to, err)
		}
	}
	if _, err := s.Push(t.Context(), h.ref("p:1"), File{Name: "p.js", Code: []byte(module), Signature: []byte("none")}, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("a broken signature was pushed: %v", err)
	}
	h.on(http.MethodHead, "/v2/p/blobs/"+Digest([]byte(module)), status(http.StatusForbidden, "no"))
	_, err := s.Push(t.Context(), h.ref("p:1"), File{Name: "p.js", Code: []byte(module)}, nil)
	if !errors.Is(err, ErrPush) || strings.Contains(err.Error(), "fetched") || hintOf(err) == "" {
		t.Errorf("a refused push: %v, hint %q", err, hintOf(err))
	}
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestManifestsThatAreNoPolicies(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	_, public := keys(t)
	for name, tt := range map[string]struct {
		edit     func(*ocispec.Manifest)
		want     Want
		contains string
	}{
		"no layer":       {func(m *ocispec.Manifest) { m.Layers = nil }, Want{Look: true}, "0 layers"},
		"two layers":     {func(m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }, Want{Look: true}, "2 layers"},
		"an image":       {func(m *ocispec.Manifest) { m.Layers[0].MediaType = ocispec.MediaTypeImageLayerGzip }, Want{Look: true}, "tar+gzip"},
		"a false type":   {func(m *ocispec.Manifest) { m.Layers[0].MediaType = wasmLayer }, Want{Look: true}, "something else by its bytes"},
		"huge":           {func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 62 }, Want{Look: true}, "larger than"},
		"negative":       {func(m *ocispec.Manifest) { m.Layers[0].Size = -1 }, Want{Look: true}, "-1 bytes"},
		"another digest": {func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha512:00" }, Want{Look: true}, "64 hexadecimal"},
		"a path":         {func(m *ocispec.Manifest) { m.Layers[0].Digest = "../../p" }, Want{Look: true}, "64 hexadecimal"},
		"long signature": {func(m *ocispec.Manifest) { m.Annotations = map[string]string{signatureKey: strings.Repeat("x", 5000)} }, Want{Look: true}, "larger than 4096"},
		"no signature":   {nil, Want{Keys: []string{public}}, "not signed"},
		"odd signature":  {func(m *ocispec.Manifest) { m.Annotations = map[string]string{signatureKey: "x"} }, Want{Keys: []string{public}}, "cannot be read"},
		"unpinned":       {nil, Want{}, "neither pinned nor signed"},
	} {
		h.artifact(t, "1", module, tt.edit)
		dir := t.TempDir()
		m, err := New(Config{Dir: dir}).Fetch(t.Context(), h.ref("p:1"), tt.want)
		if m != nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.contains) {
			t.Errorf("%s: %v", name, err)
		}
		if left := cacheFiles(t, dir); len(left) > 0 {
			t.Errorf("%s: kept %v", name, left)
		}
	}
}

// A registry that lies, breaks off, sends away or says no: one error each, and nothing
// of it in the cache.
func TestHostileRegistry(t *testing.T) {
	anonymous(t)
	const manifest = "/v2/p/manifests/1"
	layer := "/v2/p/blobs/" + Digest([]byte(module))
	raw := func(kind string, length int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			if length > 0 {
				w.Header().Set("Content-Length", fmt.Sprint(length))
			}
			_, _ = io.WriteString(w, body)
		}
	}
	to := func(where string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, where, http.StatusFound) }
	}
	for name, tt := range map[string]struct {
		at       string
		answer   http.HandlerFunc
		is       error
		contains string
		hint     string
	}{
		"401": {manifest, status(401, "who"), ErrFetch, "wants credentials", "docker login"},
		"401 basic": {manifest, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Www-Authenticate", `Basic realm="x"`)
			status(401, "who")(w, r)
		}, ErrFetch, "wants credentials", "docker login"},
		"403":            {manifest, status(403, "no\x1b[2J"), ErrFetch, `answered 403: "no\x1b[2J"`, "docker login"},
		"404":            {"/v2/p/manifests/2", nil, ErrFetch, "has no p:1", "tag"},
		"404 layer":      {layer, status(404, "gone"), ErrFetch, "has no", "tag"},
		"429":            {manifest, status(429, "slow down"), ErrFetch, "answered 429", "wait"},
		"500":            {manifest, status(500, ""), ErrFetch, "answered 500: Internal Server Error", "later"},
		"503 layer":      {layer, status(503, "down"), ErrFetch, "answered 503", "later"},
		"a web page":     {manifest, raw("text/html", 0, "<html>welcome"), ErrRefused, "text/html", ""},
		"an index":       {manifest, raw(ocispec.MediaTypeImageIndex, 0, "{}"), ErrRefused, "index of several", ""},
		"no JSON":        {manifest, raw(ocispec.MediaTypeImageManifest, 0, "{"), ErrRefused, "cannot be read", ""},
		"huge manifest":  {manifest, raw(ocispec.MediaTypeImageManifest, 2<<20, strings.Repeat(" ", 2<<20)), ErrRefused, "larger than", ""},
		"short manifest": {manifest, raw(ocispec.MediaTypeImageManifest, 500, "{"), ErrFetch, "", ""},
		"false header": {manifest, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", Digest([]byte("x")))
			raw(ocispec.MediaTypeImageManifest, 0, "{}")(w, r)
		}, ErrRefused, "manifest is not of the digest", ""},
		"other layer": {layer, raw("", len(module), strings.Repeat("x", len(module))), ErrRefused, "layer is not of the digest", ""},
		"longer layer": {layer, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, module)
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "x")
		}, ErrRefused, "larger than the", ""},
		"another length":     {layer, raw("", len(module)+1, module+"x"), ErrFetch, "mismatch", ""},
		"truncated layer":    {layer, raw("", len(module), module[:10]), ErrFetch, "ended before", ""},
		"redirected in ring": {layer, to(layer), ErrRefused, "redirects", ""},
		"redirected away":    {layer, to("http://registry.example/p"), ErrRefused, "registry.example, which is not https", ""},
		"token elsewhere": {manifest, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer realm="ftp://h/token",service="x"`)
			status(401, "")(w, r)
		}, ErrFetch, "realm", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			if tt.answer != nil {
				h.artifact(t, "1", module, nil)
				h.on(http.MethodGet, tt.at, tt.answer)
			}
			dir := t.TempDir()
			m, err := New(Config{Dir: dir}).Fetch(t.Context(), h.ref("p:1"), Want{Look: true})
			if m != nil || err == nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.contains) {
				t.Errorf("%v", err)
			}
			if tt.hint != "" && !strings.Contains(hintOf(err), tt.hint) {
				t.Errorf("%v: hint %q", err, hintOf(err))
			}
			if left := cacheFiles(t, dir); len(left) > 0 {
				t.Errorf("kept %v", left)
			}
		})
	}
}

func TestRegistrySendsOnToItsStorage(t *testing.T) {
	anonymous(t)
	h, storage := newHub(t), newHub(t)
	h.artifact(t, "1", module, nil)
	storage.artifact(t, "1", module, nil)
	layer := "/v2/p/blobs/" + Digest([]byte(module))
	h.on(http.MethodGet, layer, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, storage.URL+layer, http.StatusTemporaryRedirect)
	})
	if _, err := New(Config{}).Fetch(t.Context(), h.ref("p:1"), Want{Look: true}); err != nil {
		t.Error(err)
	}
}

// Anything but the loopback is asked over TLS, unless it is named.
func TestPlainRegistryMustBeNamed(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	digest := h.artifact(t, "1", module, nil)
	s := New(Config{Dir: t.TempDir()})
	s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, h.host())
	}
	use := "oci://registry.lan:5000/p@" + digest
	_, err := s.Fetch(t.Context(), use, Want{})
	if !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "does not speak TLS") || !strings.Contains(hintOf(err), `plain_http: ["registry.lan:5000"]`) {
		t.Errorf("%v, hint %q", err, hintOf(err))
	}
	if _, err := s.Fetch(t.Context(), use, Want{PlainHTTP: []string{"other:5000"}}); !errors.Is(err, ErrFetch) {
		t.Errorf("another is named: %v", err)
	}
	if _, err := s.Fetch(t.Context(), use, Want{PlainHTTP: []string{"registry.lan:5000"}}); err != nil {
		t.Error(err)
	}
}

func TestRegistryOverTLSStaysThere(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	digest := h.artifact(t, "1", module, nil)
	site := httptest.NewUnstartedServer(h)
	site.Config.ErrorLog = log.New(io.Discard, "", 0)
	site.StartTLS()
	defer site.Close()
	s := New(Config{})
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, site.Listener.Addr().String())
	}
	tr := site.Client().Transport.(*http.Transport).Clone() // its DialContext leads to another name
	tr.DialContext = dial
	s.client.Transport = tr
	if _, err := s.Fetch(t.Context(), "oci://example.com/p@"+digest, Want{}); err != nil {
		t.Fatal(err)
	}
	h.on(http.MethodGet, "/v2/p/blobs/"+Digest([]byte(module)), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, h.URL+"/p?token=secret", http.StatusFound)
	})
	_, err := s.Fetch(t.Context(), "oci://example.com/p@"+digest, Want{})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not https") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestAddressesOfRegistries(t *testing.T) {
	pin := Digest([]byte(module))
	for use, name := range map[string]string{
		"oci://h/p:1": "p", "oci://h:5000/team/p:1.2": "p", "oci://h/team/p@" + pin: "p", "oci://h/p.js:1@" + pin: "p.js", "oci://localhost/p:1#" + pin: "p",
	} {
		r, err := parse(use)
		if err != nil || NameOf(use) != name || !r.oci() {
			t.Errorf("%s: %v, %q", use, err, NameOf(use))
		}
	}
	for _, use := range []string{
		"oci://", "oci://h", "oci://h/p", "oci:///p:1", "oci://h/p:", "oci://h/p@sha256:12", "oci://h/p@sha512:" + strings.Repeat("0", 128),
		"oci://user:secret@h/p:1", "oci://h/p:1?x=1", "oci://h/P:1", "oci://h/../p:1", "oci://h/p:1#sha256:1", "oci://h/p:1 ", "OCI://h/p:1",
	} {
		if _, err := parse(use); !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", use, err)
		}
	}
}

func TestRegistryThatNeverAnswersIsGivenUp(t *testing.T) {
	anonymous(t)
	h := newHub(t)
	stop := make(chan struct{})
	h.on(http.MethodGet, "/v2/p/manifests/1", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	})
	defer close(stop)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := New(Config{}).Fetch(ctx, h.ref("p:1"), Want{Look: true}); !errors.Is(err, ErrFetch) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func FuzzReadManifest(f *testing.F) {
	p, err := pack(File{Name: "p.js", Code: []byte(module)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.manifest.data)
	f.Add([]byte(`{"layers":[{"mediaType":"application/wasm","digest":"sha256:","size":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readManifest(data, Digest(data))
		if err == nil && (!fragment.MatchString(string(a.layer.Digest)) || a.layer.Size <= 0 || len(a.signature) > maxSignature) {
			t.Errorf("%q passes: %+v", data, a)
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add("oci://h:1/a/b:t@sha256:00#sha256:11")
	f.Add("https://h/p.js#sha256:00")
	f.Fuzz(func(t *testing.T, use string) {
		_ = NameOf(use)
		r, err := parse(use)
		if err != nil {
			return
		}
		if again, err := parse(r.url); err != nil || again.url != r.url || again.at != r.at {
			t.Errorf("%q is read as %q, and that as %q: %v", use, r.url, again.url, err)
		}
	})
}
