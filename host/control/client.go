package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// ErrUnreachable is returned when no daemon answers.
var ErrUnreachable = errors.New("no gaia answers")

// maxAnswer bounds what the client reads.
const maxAnswer = 16 << 20

// Client talks to a running gaia. It is safe for concurrent use.
type Client struct {
	where string
	base  string
	token string
	http  *http.Client
}

// NewClient returns a client of the TCP address addr where it is not empty,
// otherwise of the unix socket. token is sent over TCP only.
func NewClient(socket, addr, token string) *Client {
	c := &Client{token: token, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if addr != "" {
		c.where, c.base = addr, "http://"+addr
		return c
	}
	c.where, c.base = "the socket "+socket, "http://gaia"
	c.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	return c
}

// KeepConnections makes the client keep up to n connections between requests, which a
// command that asks once does not need. It is called before the first request; who
// called it ends with CloseIdle.
func (c *Client) KeepConnections(n int) {
	if t, ok := c.http.Transport.(*http.Transport); ok {
		t = t.Clone()
		t.DisableKeepAlives, t.MaxIdleConnsPerHost = false, n
		c.http.Transport = t
	}
}

// CloseIdle closes the connections that are kept.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// ReadToken returns the token kept in a file, "" where it cannot be read.
func ReadToken(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// AnswerError is an answer that is no success.
type AnswerError struct {
	Problem Problem
	// Explanations are the fields Gaia-Explain of the answer, as JSON.
	Explanations []string
}

// Error says what is wrong: the problem's title, and of the work API its detail, who
// denied it and when it would pass.
func (e *AnswerError) Error() string {
	p := &e.Problem
	if p.Code == "" || p.Detail == "" {
		return p.Title
	}
	text := p.Title + ": " + p.Detail
	var who []string
	if p.Policy != "" {
		who = append(who, "policy "+p.Policy)
	}
	if p.Limiter != "" {
		who = append(who, "limiter "+p.Limiter)
	}
	if p.RetryAfterSeconds > 0 {
		who = append(who, fmt.Sprintf("retry after %gs", p.RetryAfterSeconds))
	}
	if len(who) > 0 {
		text += " (" + strings.Join(who, ", ") + ")"
	}
	return text
}

// Hint returns how to mend it, "" where nothing is known.
func (e *AnswerError) Hint() string {
	if e.Problem.Code != "" {
		return e.Problem.Hint
	}
	return e.Problem.Detail
}

// ExitCode returns the exit code for a command.
func (e *AnswerError) ExitCode() int { return max(e.Problem.Exit, 1) }

// Status reads the status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.do(ctx, http.MethodGet, "/v1/status", &s)
}

// StatusJSON reads the status as it was sent.
func (c *Client) StatusJSON(ctx context.Context) (json.RawMessage, error) {
	var raw json.RawMessage
	return raw, c.do(ctx, http.MethodGet, "/v1/status", &raw)
}

// Reload asks for the configuration and policies to be read again.
func (c *Client) Reload(ctx context.Context, force bool) (Changed, error) {
	var ch Changed
	path := "/v1/reload"
	if force {
		path += "?force=true"
	}
	return ch, c.do(ctx, http.MethodPost, path, &ch)
}

// Rollback asks for the earlier generation.
func (c *Client) Rollback(ctx context.Context) (Changed, error) {
	var ch Changed
	return ch, c.do(ctx, http.MethodPost, "/v1/rollback", &ch)
}

// Stop asks the daemon to drain and end; 0 means its configured time.
func (c *Client) Stop(ctx context.Context, drain time.Duration) error {
	q := url.Values{}
	if drain > 0 {
		q.Set("drain", drain.String())
	}
	return c.do(ctx, http.MethodPost, "/v1/stop?"+q.Encode(), nil)
}

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	return c.exchange(ctx, method, path, nil, into)
}

// exchange sends a request, with JSON where body is not nil, and reads the answer.
func (c *Client) exchange(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.send(ctx, req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return c.refusal(res)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.where, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("understand the answer of %s: %w", c.where, err)
	}
	return nil
}
