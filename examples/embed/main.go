// Command embed is a Go program whose HTTP calls a gaia policy paces. It fetches the
// URLs of its command line, one after the other, and says how each went.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/subsystems/admission"
	"github.com/gaia-host/gaia/subsystems/api"
)

func main() {
	log.SetFlags(0)
	policy := flag.String("policy", "std/per-host", "a policy file or std/NAME")
	flag.Parse()
	if err := run(context.Background(), *policy, flag.Args(), log.Writer()); err != nil {
		log.Fatal(err)
	}
}

// run fetches the URLs under the policy.
func run(ctx context.Context, policy string, urls []string, out io.Writer) error {
	h, err := start(ctx, policy)
	if err != nil {
		return err
	}
	defer func() { _ = h.Stop(ctx) }()

	client := &http.Client{Transport: h.API().RoundTripper(api.RoundTripperOptions{})}
	for _, url := range urls {
		began := time.Now()
		status, err := fetch(ctx, client, url)
		var denied *admission.DeniedError
		switch {
		case errors.As(err, &denied):
			fmt.Fprintf(out, "%s: denied, come back in %v\n", url, denied.RetryAfter.Round(time.Second))
		case err != nil:
			return err
		default:
			fmt.Fprintf(out, "%s: %s after %v\n", url, status, time.Since(began).Round(100*time.Millisecond))
		}
	}
	return nil
}

// start returns a host that serves nothing but this program: its gateway has a free
// loopback port, and there is no control plane.
func start(ctx context.Context, policy string) (*host.Host, error) {
	cfg := config.Default()
	cfg.Listen, cfg.Control = "127.0.0.1:0", ""
	h, err := host.New(cfg, host.Options{Policies: []string{policy}})
	if err != nil {
		return nil, err
	}
	return h, h.Start(ctx)
}

func fetch(ctx context.Context, client *http.Client, url string) (status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.Status, err
}
