package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// stars stand wherever a secret would be printed.
const stars = "***"

// Secret is text that must not be printed: every formatting verb, encoder and
// logger sees "***". The zero value is an empty secret. Immutable. Compare with
// Reveal or reflect.DeepEqual; == compares identities.
type Secret struct {
	// A pointer, because fmt prints the fields themselves for %p and wherever
	// the value sits in an unexported field.
	value *string
}

// NewSecret holds value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the text itself, for the one place that sends it.
func (s Secret) Reveal() string { return deref(s.value) }

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// String returns "***".
func (s Secret) String() string { return stars }

// GoString returns "***".
func (s Secret) GoString() string { return stars }

// Format writes "***" for every verb; without it %d would print the field.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, stars) }

// MarshalJSON returns "***" as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + stars + `"`), nil }

// MarshalText returns "***".
func (s Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }

// LogValue returns "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(stars) }

// URL is an absolute URL that may hold secrets: a password, a query, or what a
// ${...} reference was replaced by. Printed, those parts are "***". The zero
// value is no URL. Immutable. Compare with
// Reveal or reflect.DeepEqual; == compares identities.
type URL struct {
	value *string
	shown string
}

// NewURL holds a URL that is written out, without references to secrets.
func NewURL(value string) URL { return newURL(value, value) }

// newURL holds value, printed as the URL in shown.
func newURL(value, shown string) URL {
	if value == "" {
		return URL{}
	}
	return URL{value: &value, shown: showURL(shown)}
}

// Reveal returns the whole URL, for the one place that dials it.
func (u URL) Reveal() string { return deref(u.value) }

// IsZero reports whether there is no URL.
func (u URL) IsZero() bool { return u.Reveal() == "" }

// String returns the URL with its secret parts replaced by "***".
func (u URL) String() string { return u.shown }

// GoString is String, quoted.
func (u URL) GoString() string { return fmt.Sprintf("%q", u.shown) }

// Format writes String for every verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.shown) }

// MarshalText returns String.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.shown), nil }

// LogValue returns String.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.shown) }

// showURL hides the user's password, the query and the fragment of a URL; a
// text that is no URL is hidden whole, since nobody can say what is in it.
func showURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return stars
	}
	shown := u.Host + u.EscapedPath()
	if u.User != nil {
		shown = stars + "@" + shown
	}
	if u.Scheme != "" || u.Host != "" {
		shown = u.Scheme + "://" + shown
	}
	if u.RawQuery != "" {
		shown += "?" + stars
	}
	if u.Fragment != "" {
		shown += "#" + stars
	}
	return shown
}

// expand replaces the references of text. It returns the result, the text with
// each reference replaced by "***", and whether there was any.
func expand(text string, lookup func(kind, name string) (string, error)) (value, shown string, found bool, err error) {
	var v, s strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			break
		}
		if at > 0 && text[at-1] == '$' {
			v.WriteString(text[:at-1] + "${")
			s.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		end := strings.IndexByte(text[at:], '}')
		if end < 0 {
			return "", "", true, fmt.Errorf("a ${ is not closed (write $${ for a plain ${)")
		}
		kind, name, _ := strings.Cut(text[at+2:at+end], ":")
		got, err := lookup(kind, name)
		if err != nil {
			return "", "", true, err
		}
		v.WriteString(text[:at] + got)
		s.WriteString(text[:at] + stars)
		text = text[at+end+1:]
		found = true
	}
	return v.String() + text, s.String() + text, found, nil
}
