package control

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Limits asks for the limiters in force, as JSON of the schema gaia.limits/v1.
func (c *Client) Limits(ctx context.Context, q LimitsQuery) (json.RawMessage, error) {
	v := url.Values{}
	for name, text := range map[string]string{"limiter": q.Limiter, "key": q.Key, "after": q.After} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Count != 0 {
		v.Set("count", strconv.Itoa(q.Count))
	}
	var raw json.RawMessage
	return raw, c.do(ctx, http.MethodGet, "/v1/limits?"+v.Encode(), &raw)
}

// Explain asks why an action of the work API would go, wait or not go; the answer is
// JSON of the schema gaia.explain/v1. Nothing is done.
func (c *Client) Explain(ctx context.Context, subsystem, action string, input json.RawMessage) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"subsystem": subsystem, "action": action, "input": input})
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	var raw json.RawMessage
	return raw, c.exchange(ctx, http.MethodPost, "/v1/explain", body, &raw)
}

// ChangeLimit does what is one of "set", "reset" and "pause", and returns the JSON of
// the schema gaia.limit.changed/v1.
func (c *Client) ChangeLimit(ctx context.Context, what string, change LimitChange) (json.RawMessage, error) {
	body, err := json.Marshal(change)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	var raw json.RawMessage
	return raw, c.exchange(ctx, http.MethodPost, "/v1/limits/"+url.PathEscape(what), body, &raw)
}
