package wasm

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/policy"
)

// maxParams bounds the JSON of a limiter's parameters, in bytes.
const maxParams = 4096

// parseParams reads a limiter's parameters as both engines write them; a bare number of time is milliseconds.
func parseParams(kind limit.Kind, text string) (limit.Params, error) {
	var p limit.Params
	if len(text) > maxParams {
		return p, fmt.Errorf("parameters of %d bytes: %w", len(text), errRange)
	}
	if text == "" {
		return p, nil
	}
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return p, fmt.Errorf("parameters are no JSON object: %w", err)
	}
	for name, v := range o {
		if err := setParam(&p, kind, camel(name), v); err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p, nil
}

// camel is the name of a parameter as JavaScript has it: max_wait is maxWait.
func camel(name string) string {
	switch name {
	case "max_wait":
		return "maxWait"
	case "max_keys":
		return "maxKeys"
	case "max_queue":
		return "maxQueue"
	}
	return name
}

func setParam(p *limit.Params, kind limit.Kind, name string, v any) (err error) {
	if !slices.Contains(kind.Fields(), name) {
		return fmt.Errorf("%s has no such parameter (want %s)", kind, strings.Join(kind.Fields(), ", "))
	}
	switch name {
	case "rate":
		p.Rate, err = decimal(v)
	case "ratio":
		p.Ratio, err = decimal(v)
	case "burst":
		p.Burst, err = whole(v)
	case "max":
		p.Max, err = whole(v)
	case "min":
		p.Min, err = whole(v)
	case "maxQueue":
		p.MaxQueue, err = whole(v)
	case "per":
		p.Per, err = policy.ParseDuration(v)
	case "maxWait":
		p.MaxWait, err = policy.ParseDuration(v)
	case "maxKeys":
		var n int64
		n, err = whole(v)
		p.MaxKeys = int(min(n, math.MaxInt32))
	case "weights":
		p.Weights, err = weights(v)
	default:
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("want a text, got %v", v)
		}
		switch name {
		case "algorithm":
			p.Algorithm = text
		case "every":
			p.Every = text
		case "order":
			p.Order = text
		case "zone":
			p.Zone = text
		case "unit":
			p.Unit = text
		}
	}
	return err
}

func decimal(v any) (float64, error) {
	n, ok := v.(float64)
	if !ok {
		return 0, fmt.Errorf("want a number, got %v", v)
	}
	return n, nil
}

// weights writes {"gold": 3, "free": 1} as limit.Params has it.
func weights(v any) (string, error) {
	o, ok := v.(map[string]any)
	if !ok {
		return "", fmt.Errorf("want an object of numbers, got %v", v)
	}
	parts := make([]string, 0, len(o))
	for key, w := range o {
		n, err := decimal(w)
		if err == nil && strings.Contains(key, ",") {
			err = fmt.Errorf("%q: want keys without commas", key)
		}
		if err != nil {
			return "", err
		}
		parts = append(parts, key+"="+strconv.FormatFloat(n, 'g', -1, 64))
	}
	slices.Sort(parts)
	return strings.Join(parts, ","), nil
}

func whole(v any) (int64, error) {
	n, ok := v.(float64)
	if !ok || n != math.Trunc(n) || n < 0 || n > 1<<53 {
		return 0, fmt.Errorf("want a whole number, got %v", v)
	}
	return int64(n), nil
}
