package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// errAbsent is an ErrFetch of what is not there.
var errAbsent = fmt.Errorf("%w: there is no such file", ErrFetch)

func newClient(roots *x509.CertPool) *http.Client {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	return &http.Client{Transport: t, Timeout: fetchTimeout, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		switch {
		case req.URL.Scheme != "https":
			return fmt.Errorf("%w: redirected to %s, which is not https", ErrRefused, req.URL.Redacted())
		case len(via) > maxRedirects:
			return fmt.Errorf("%w: more than %d redirects", ErrRefused, maxRedirects)
		}
		return nil
	}}
}

// get reads at most limit bytes.
func (s *Store) get(ctx context.Context, address string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		if errors.Is(err, ErrRefused) {
			return nil, err //nolint:wrapcheck // of the redirect, above
		}
		return nil, fmt.Errorf("%w: %w", ErrFetch, err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		return nil, errAbsent
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: %s answered %s", ErrFetch, req.URL.Host, res.Status)
	case res.ContentLength > limit:
		return nil, tooLarge(limit)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it ended after %d bytes: %w", ErrFetch, len(data), err)
	case int64(len(data)) > limit:
		return nil, tooLarge(limit)
	}
	return data, nil
}

func tooLarge(limit int64) error {
	return fmt.Errorf("%w: larger than %d bytes", ErrRefused, limit)
}
