package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// What a policy is in a registry: a module as the Wasm artifact of CNCF, one layer and
// its config, and JavaScript in the same shape.
const (
	wasmLayer    = "application/wasm"
	wasmConfig   = "application/vnd.wasm.config.v0+json"
	scriptLayer  = "text/javascript"
	scriptPolicy = "application/vnd.gaia.policy.v1+json" // type of the artifact
	// signatureKey is the annotation of the manifest that holds the text of FILE.minisig.
	signatureKey = "vnd.gaia.policy.minisig"
)

// maxManifest bounds a manifest, in bytes.
const maxManifest = 1 << 20

// artifact is what a manifest says of a policy.
type artifact struct {
	layer     ocispec.Descriptor
	signature []byte
}

// readManifest checks a manifest. Everything in it is the word of the registry until
// its digest is that of an address, or the file is signed.
func readManifest(data []byte, want string) (artifact, error) {
	var m ocispec.Manifest
	if got := Digest(data); got != want {
		return artifact{}, fmt.Errorf("%w: the digest of the manifest is %s, not the %s that was asked for", ErrRefused, got, want)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return artifact{}, fmt.Errorf("%w: the manifest cannot be read: %w", ErrRefused, err)
	}
	if len(m.Layers) != 1 {
		return artifact{}, fmt.Errorf("%w: it is no policy: its manifest has %d layers, want one", ErrRefused, len(m.Layers))
	}
	a := artifact{layer: m.Layers[0], signature: []byte(m.Annotations[signatureKey])}
	if a.layer.MediaType != wasmLayer && a.layer.MediaType != scriptLayer {
		return artifact{}, fmt.Errorf("%w: it is no policy: its layer is %.80q, want %s or %s", ErrRefused, a.layer.MediaType, wasmLayer, scriptLayer)
	}
	switch {
	case !fragment.MatchString(string(a.layer.Digest)):
		return artifact{}, fmt.Errorf("%w: the digest of its layer is %.80q, want sha256: and 64 hexadecimal digits", ErrRefused, a.layer.Digest)
	case a.layer.Size <= 0:
		return artifact{}, fmt.Errorf("%w: the manifest says that its layer has %d bytes", ErrRefused, a.layer.Size)
	case len(a.signature) > maxSignature:
		return artifact{}, fmt.Errorf("%w: its signature is larger than %d bytes", ErrRefused, maxSignature)
	}
	return a, nil
}

// fileName is the name of a file with the ending that its bytes ask for.
func fileName(at registry.Reference, code []byte) string {
	if isWasm(code) {
		return path.Base(at.Repository) + ".wasm"
	}
	return path.Base(at.Repository) + ".js"
}

func isWasm(code []byte) bool { return bytes.HasPrefix(code, []byte("\x00asm")) }

// pull gets a module from a registry: the manifest, then its only layer.
func (s *Store) pull(ctx context.Context, r ref, w Want) (found, error) {
	reg, err := s.open(r, w.PlainHTTP)
	if err != nil {
		return found{}, err
	}
	var f found
	want := r.at.Reference
	if f.manifest, err = reg.manifest(ctx); err != nil {
		return found{}, err
	}
	if r.manifest() == "" {
		want = Digest(f.manifest)
	}
	a, err := readManifest(f.manifest, want)
	if err != nil {
		return found{}, err
	}
	if a.layer.Size > s.c.MaxBytes {
		return found{}, tooLarge(s.c.MaxBytes)
	}
	if f.code, err = reg.blob(ctx, a.layer); err != nil {
		return found{}, err
	}
	if isWasm(f.code) != (a.layer.MediaType == wasmLayer) {
		return found{}, fmt.Errorf("%w: its layer is %s by the manifest, and something else by its bytes", ErrRefused, a.layer.MediaType)
	}
	f.signature, f.name = a.signature, fileName(r.at, f.code)
	return f, nil
}

// A repo is one repository for the time of one pull or push.
type repo struct {
	*oras.Repository
	at          registry.Reference
	credentials bool // were found for the registry
}

// open returns the repository of an address. Nothing is asked of it yet.
func (s *Store) open(r ref, plainHTTP []string) (*repo, error) {
	reg := &repo{at: r.at, Repository: &oras.Repository{Reference: r.at, PlainHTTP: r.plain(plainHTTP), MaxMetadataBytes: maxManifest,
		ManifestMediaTypes: []string{ocispec.MediaTypeImageManifest}}}
	store, err := dockerCredentials()
	if err != nil {
		return nil, withHint(fmt.Errorf("%w: the credentials of docker cannot be read: %w", ErrFetch, err), "mend config.json in ~/.docker, or the folder that DOCKER_CONFIG names")
	}
	c := &auth.Client{Client: &http.Client{Transport: s.client.Transport, CheckRedirect: reg.redirect}, Cache: auth.NewCache()}
	c.Credential = func(ctx context.Context, host string) (auth.Credential, error) {
		found, err := credentials.Credential(store)(ctx, host)
		reg.credentials = found != auth.EmptyCredential
		return found, err //nolint:wrapcheck // it names the helper; failed says the rest
	}
	if isLoopback(r.at.Registry) {
		c.BlockedRealmPrefixes = []netip.Prefix{} // it may send us to a token server beside it
	}
	c.SetUserAgent("gaia")
	reg.Client = c
	return reg, nil
}

// dockerCredentials are those of the docker configuration of this user, none for one
// without a home.
func dockerCredentials() (credentials.Store, error) {
	_, named := os.LookupEnv("DOCKER_CONFIG")
	if _, err := os.UserHomeDir(); err != nil && !named {
		return credentials.NewMemoryStore(), nil
	}
	return credentials.NewStoreFromDocker(credentials.StoreOptions{}) //nolint:wrapcheck // open says what it is
}

// redirect lets a registry send us on to where its blobs are: never from TLS to none.
func (g *repo) redirect(req *http.Request, via []*http.Request) error {
	plain := g.PlainHTTP && via[0].URL.Scheme == "http" && (req.URL.Host == via[0].URL.Host || isLoopback(req.URL.Host))
	switch {
	case req.URL.Scheme != "https" && !plain:
		return fmt.Errorf("%w: redirected to %s, which is not https", ErrRefused, req.URL.Host)
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d redirects", ErrRefused, maxRedirects)
	}
	return nil
}

func (g *repo) manifest(ctx context.Context) ([]byte, error) {
	desc, body, err := g.FetchReference(ctx, g.at.Reference)
	if err != nil {
		return nil, g.failed(err)
	}
	defer body.Close()
	switch {
	case desc.MediaType == ocispec.MediaTypeImageIndex:
		return nil, fmt.Errorf("%w: it is no policy but an index of several images", ErrRefused)
	case desc.MediaType != ocispec.MediaTypeImageManifest:
		return nil, fmt.Errorf("%w: it is no policy: its manifest is %.80q, want %s", ErrRefused, desc.MediaType, ocispec.MediaTypeImageManifest)
	case desc.Size > maxManifest:
		return nil, fmt.Errorf("%w: its manifest is larger than %d bytes", ErrRefused, maxManifest)
	}
	return g.read(body, desc, "manifest")
}

func (g *repo) blob(ctx context.Context, layer ocispec.Descriptor) ([]byte, error) {
	body, err := g.Blobs().Fetch(ctx, layer)
	if err != nil {
		return nil, g.failed(err)
	}
	defer body.Close()
	return g.read(body, layer, "layer")
}

// read holds bytes to the size and digest that were promised.
func (g *repo) read(body io.Reader, desc ocispec.Descriptor, what string) ([]byte, error) {
	data, err := content.ReadAll(body, desc)
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, content.ErrMismatchedDigest):
		return nil, fmt.Errorf("%w: the %s is not of the digest %s that %s gave for it", ErrRefused, what, desc.Digest, g.at.Registry)
	case errors.Is(err, content.ErrTrailingData):
		return nil, fmt.Errorf("%w: the %s is larger than the %d bytes that %s gave for it", ErrRefused, what, desc.Size, g.at.Registry)
	case errors.Is(err, digest.ErrDigestUnsupported), errors.Is(err, digest.ErrDigestInvalidFormat):
		return nil, fmt.Errorf("%w: %s gave a digest for the %s that is none", ErrRefused, g.at.Registry, what)
	}
	return nil, fmt.Errorf("%w: the %s ended before its %d bytes: %w", ErrFetch, what, desc.Size, bare(err))
}

// failed says what an answer of a registry means to who asked.
func (g *repo) failed(err error) error {
	host := g.at.Registry
	var res *errcode.ErrorResponse
	switch {
	case errors.Is(err, ErrRefused):
		return bare(err)
	case errors.Is(err, errdef.ErrNotFound):
		return withHint(fmt.Errorf("%w: %s has no %s", errAbsent, host, strings.TrimPrefix(g.at.String(), host+"/")), "look for its name and tag; a registry may also say so of what you may not see")
	case errors.Is(err, http.ErrSchemeMismatch):
		return withHint(fmt.Errorf("%w: %s does not speak TLS", ErrFetch, host), fmt.Sprintf("if you trust the way to it: plain_http: [%q] in the configuration, or --plain-http", host))
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return g.unauthorized()
	case errors.As(err, &res):
		return g.answered(res)
	}
	return fmt.Errorf("%w: %w", ErrFetch, bare(err))
}

func (g *repo) answered(res *errcode.ErrorResponse) error {
	host := g.at.Registry
	text := http.StatusText(res.StatusCode)
	if len(res.Errors) > 0 && res.Errors[0].Message != "" {
		text = fmt.Sprintf("%.200q", res.Errors[0].Message)
	}
	err := fmt.Errorf("%w: %s answered %d: %s", ErrFetch, host, res.StatusCode, text)
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return g.unauthorized()
	case res.StatusCode == http.StatusForbidden:
		return withHint(err, "who you are there may not do this: ask its owner, or `docker login "+host+"` as somebody who may")
	case res.StatusCode == http.StatusNotFound:
		return withHint(err, "look for its name; a registry may also say so of what you may not see")
	case res.StatusCode == http.StatusTooManyRequests:
		return withHint(err, "wait, or log in: many registries count callers without a name together; what is pinned by digest is fetched once")
	case res.StatusCode >= http.StatusInternalServerError:
		return withHint(err, "the registry is in trouble: try again later")
	}
	return err
}

func (g *repo) unauthorized() error {
	host := g.at.Registry
	if g.credentials {
		return withHint(fmt.Errorf("%w: %s does not take the credentials that docker has for it", ErrFetch, host), "log in again: `docker login "+host+"`")
	}
	return withHint(fmt.Errorf("%w: %s wants credentials", ErrFetch, host),
		"`docker login "+host+"`, or its entry in config.json of ~/.docker or of the folder that DOCKER_CONFIG names")
}

// bare is an error without the address around it, which may hold a token of where a
// registry sent us.
func bare(err error) error {
	for {
		var of *url.Error
		if !errors.As(err, &of) {
			return err
		}
		err = of.Err
	}
}

// hinted is an error with a way to mend it.
type hinted struct {
	error
	hint string
}

// Hint says how to mend it.
func (h hinted) Hint() string { return h.hint }

// Unwrap returns the error.
func (h hinted) Unwrap() error { return h.error }

func withHint(err error, hint string) error { return hinted{err, hint} }
