package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const pushTimeout = 5 * time.Minute

// File is a policy to push.
type File struct {
	Name      string // its ending says its kind: .wasm, .js or .mjs
	Code      []byte
	Signature []byte // text of FILE.minisig, nil for none
}

// Pushed says where a policy is now.
type Pushed struct {
	Address  string // as it was named: oci://HOST/REPOSITORY:TAG
	Resolved string // oci://HOST/REPOSITORY@sha256:..., of these very bytes for ever
	Digest   string // "sha256:" and hexadecimal digits, of the file
}

// Push writes a policy to a registry under a tag. The same file and signature have the
// same digest there whenever and wherever they are pushed.
func (s *Store) Push(ctx context.Context, to string, f File, plainHTTP []string) (*Pushed, error) {
	r, err := parse(to)
	switch {
	case err != nil:
		return nil, err
	case !r.oci() || r.pinned():
		return nil, fmt.Errorf("%w: push to oci://HOST/REPOSITORY:TAG; the digest is what comes back", ErrRefused)
	case int64(len(f.Code)) > s.c.MaxBytes:
		return nil, tooLarge(s.c.MaxBytes)
	}
	a, err := pack(f)
	if err != nil {
		return nil, err
	}
	reg, err := s.open(r, plainHTTP)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	for _, b := range []blob{a.layer, a.config} {
		if err := reg.upload(ctx, b); err != nil {
			return nil, err
		}
	}
	if err := reg.PushReference(ctx, a.manifest.desc, bytes.NewReader(a.manifest.data), r.at.Reference); err != nil {
		return nil, reg.notPushed(err)
	}
	return &Pushed{Address: r.url, Digest: Digest(f.Code), Resolved: r.resolved(nil, found{manifest: a.manifest.data})}, nil
}

type blob struct {
	data []byte
	desc ocispec.Descriptor
}

func newBlob(mediaType string, data []byte) blob {
	return blob{data, ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}}
}

type packed struct{ layer, config, manifest blob }

// wasmSettings is the config of a Wasm artifact. A core module is of wasip1 whether it
// uses WASI or not. created is required, and always the same, as the digest is.
type wasmSettings struct {
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	LayerDigests []string  `json:"layerDigests"`
}

// pack makes the blobs of a policy.
func pack(f File) (p packed, err error) {
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	switch ext := strings.ToLower(filepath.Ext(f.Name)); {
	case isWasm(f.Code):
		p.layer = newBlob(wasmLayer, f.Code)
		config, err := json.Marshal(wasmSettings{Created: time.Unix(0, 0).UTC(), Architecture: "wasm", OS: "wasip1", LayerDigests: []string{Digest(f.Code)}})
		if err != nil {
			return p, fmt.Errorf("write the config: %w", err)
		}
		p.config = newBlob(wasmConfig, config)
	case (ext == ".js" || ext == ".mjs") && len(f.Code) > 0:
		p.layer = newBlob(scriptLayer, f.Code)
		p.config = newBlob(ocispec.MediaTypeEmptyJSON, []byte("{}"))
		m.ArtifactType = scriptPolicy
	default:
		return p, withHint(fmt.Errorf("%s: %w: want a Wasm module or a .js file", f.Name, ErrRefused), "`gaia policy build` makes one file of TypeScript, or of a folder")
	}
	m.Config, m.Layers = p.config.desc, []ocispec.Descriptor{p.layer.desc}
	m.Layers[0].Annotations = map[string]string{ocispec.AnnotationTitle: filepath.Base(f.Name)}
	if len(f.Signature) > 0 {
		if _, err := SignerOf(f.Signature); err != nil {
			return p, err
		}
		m.Annotations = map[string]string{signatureKey: string(f.Signature)}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return p, fmt.Errorf("write the manifest: %w", err)
	}
	p.manifest = newBlob(ocispec.MediaTypeImageManifest, data)
	return p, nil
}

// upload writes a blob that is not there yet.
func (g *repo) upload(ctx context.Context, b blob) error {
	there, err := g.Blobs().Exists(ctx, b.desc)
	if err != nil || there {
		return g.notPushed(err)
	}
	return g.notPushed(g.Blobs().Push(ctx, b.desc, bytes.NewReader(b.data)))
}

// ErrPush is returned where a registry did not take a policy.
var ErrPush = errors.New("cannot be pushed")

// notPushed says of a push what failed says of a pull; nil stays nil.
func (g *repo) notPushed(err error) error {
	if err == nil {
		return nil
	}
	err = g.failed(err)
	text, _ := strings.CutPrefix(err.Error(), ErrFetch.Error()+": ")
	var h hinted
	errors.As(err, &h)
	return withHint(fmt.Errorf("%w: %s", ErrPush, text), h.hint)
}
