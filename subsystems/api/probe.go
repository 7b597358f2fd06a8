package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gaia-host/gaia/extensions/route"
	"github.com/gaia-host/gaia/subsystems/api/h1"
)

// Probe asks an upstream for a path, with the fields that requests to it have, and
// returns an error where it does not answer with a status from 200 to 399. It is not
// work: no policy is asked, nothing is counted or tried again. ctx bounds it.
func (p *Pool) Probe(ctx context.Context, up *route.Upstream, path *url.URL) error {
	target := &url.URL{}
	(&Call{URL: path}).target(target, up.URL)
	header := http.Header{"User-Agent": {"gaia-health"}}
	for _, f := range up.Headers {
		header.Set(f.Name, f.Value)
	}
	res, err := p.transports[""].send(ctx, &h1.Request{Method: http.MethodGet, URL: target, Header: header})
	if err != nil {
		return fmt.Errorf("api: probe: %w", err)
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxDrain) // so that the connection can be used again
	_ = res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("api: probe: answered %d", res.StatusCode)
	}
	return nil
}
