package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// WorkRequest asks a subsystem for an action of the work API.
type WorkRequest struct {
	Subsystem, Action string
	// Input is the input as JSON. With Body it is left out, and Query is the input.
	Input json.RawMessage
	Query url.Values
	Body  io.Reader   // raw bytes; nil: none
	Head  http.Header // further fields: Gaia-..., Idempotency-Key
}

// Work sends r and returns the answer at its fields; the caller closes its body. A
// problem is an *AnswerError. ctx bounds the answer to its end.
func (c *Client) Work(ctx context.Context, r WorkRequest) (*http.Response, error) {
	where := c.base + "/v1/" + url.PathEscape(r.Subsystem) + "/" + url.PathEscape(r.Action)
	kind, body := "application/json", io.Reader(bytes.NewReader(r.Input))
	if r.Body != nil {
		kind, body = "application/octet-stream", r.Body
		where += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, body)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	for name, values := range r.Head {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", kind)
	res, err := c.send(ctx, req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, c.refusal(res)
}

// send sends a request with what opens the door.
func (c *Client) send(ctx context.Context, req *http.Request) (*http.Response, error) {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w at %s: %v", ErrUnreachable, c.where, errors.Unwrap(err)) //nolint:errorlint // one error for the user: who joins it prints it as two
	}
	return res, nil
}

// refusal is the error of an answer that is no success.
func (c *Client) refusal(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.where, err)
	}
	var p Problem
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		p = Problem{Title: fmt.Sprintf("%s answered %s", c.where, res.Status), Status: res.StatusCode}
	}
	return &AnswerError{Problem: p, Explanations: res.Header.Values("Gaia-Explain")}
}
