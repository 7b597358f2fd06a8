package remote

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// ociScheme starts the address of a policy in a registry.
const ociScheme = "oci://"

// IsRef reports whether use is an address and not a path.
func IsRef(use string) bool { return strings.Contains(use, "://") }

// NameOf returns the last part of an address, without the ending of a file or the tag
// of a registry.
func NameOf(use string) string {
	use, _, _ = strings.Cut(use, "#")
	if rest, ok := strings.CutPrefix(use, ociScheme); ok {
		rest, _, _ = strings.Cut(rest, "@")
		name, _, _ := strings.Cut(path.Base(rest), ":")
		return name
	}
	use, _, _ = strings.Cut(use, "?")
	base := path.Base(use)
	return strings.TrimSuffix(base, path.Ext(base))
}

// ref is an address that was read.
type ref struct {
	url    string             // without a pin of the file
	base   string             // last part of the path, "" for a registry
	digest string             // of the file, hexadecimal, "" for none
	at     registry.Reference // in a registry, zero for https
}

var fragment = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// parse reads https://HOST/PATH#sha256:DIGEST and oci://HOST/REPOSITORY:TAG or
// oci://HOST/REPOSITORY@sha256:DIGEST; a registry's may be pinned by the digest of the
// file too.
func parse(use string) (ref, error) {
	if rest, ok := strings.CutPrefix(use, ociScheme); ok {
		return parseOCI(rest)
	}
	u, err := url.Parse(use)
	switch {
	case err != nil:
		return ref{}, fmt.Errorf("%w: not an address", ErrRefused)
	case u.Scheme != "https" || u.Host == "":
		return ref{}, fmt.Errorf("%w: want https://HOST/PATH#sha256:DIGEST or oci://HOST/REPOSITORY:TAG", ErrRefused)
	case u.User != nil:
		return ref{}, fmt.Errorf("%w: an address with a password would be logged", ErrRefused)
	case u.Fragment != "" && !fragment.MatchString(u.Fragment):
		return ref{}, errFragment
	}
	r := ref{base: path.Base(u.Path), digest: strings.TrimPrefix(u.Fragment, "sha256:")}
	u.Fragment = ""
	r.url = u.String()
	return r, nil
}

var errFragment = fmt.Errorf("%w: want #sha256: and 64 hexadecimal digits in small letters", ErrRefused)

func parseOCI(rest string) (ref, error) {
	rest, pin, pinned := strings.Cut(rest, "#")
	if pinned && !fragment.MatchString(pin) {
		return ref{}, errFragment
	}
	_, digest, fixed := strings.Cut(rest, "@")
	at, err := registry.ParseReference(rest)
	if err != nil || at.Reference == "" || fixed && !fragment.MatchString(digest) {
		return ref{}, fmt.Errorf("%w: want oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST, with small letters and without a password", ErrRefused)
	}
	return ref{url: ociScheme + at.String(), digest: strings.TrimPrefix(pin, "sha256:"), at: at}, nil
}

func (r ref) oci() bool { return r.at.Registry != "" }

// manifest is the digest of the manifest that the address names, "" for a tag or https.
func (r ref) manifest() string {
	if !fragment.MatchString(r.at.Reference) {
		return ""
	}
	return strings.TrimPrefix(r.at.Reference, "sha256:")
}

// pinned reports whether the address can mean one file only.
func (r ref) pinned() bool { return r.digest != "" || r.manifest() != "" }

func (r ref) howToPin() string {
	if r.oci() {
		return "name it by " + ociScheme + r.at.Registry + "/" + r.at.Repository + "@sha256:DIGEST"
	}
	return "add #sha256:DIGEST"
}

// resolved is the address that means a module for ever.
func (r ref) resolved(m *Module, f found) string {
	if f.manifest == nil {
		return r.url + "#" + m.Digest
	}
	return ociScheme + r.at.Registry + "/" + r.at.Repository + "@" + Digest(f.manifest)
}

// signatureURL is where the side file is: beside the module, whatever the query.
func (r ref) signatureURL() string {
	at, query, found := strings.Cut(r.url, "?")
	if found {
		return at + SignatureSuffix + "?" + query
	}
	return at + SignatureSuffix
}

// plain reports whether a registry is asked without TLS.
func (r ref) plain(allowed []string) bool {
	return isLoopback(r.at.Registry) || slices.Contains(allowed, r.at.Registry)
}

func isLoopback(hostport string) bool {
	host := (&url.URL{Host: hostport}).Hostname()
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
