package js

import (
	"errors"
	"fmt"

	"github.com/dop251/goja"
	"golang.org/x/net/http/httpguts"

	"github.com/gaia-host/gaia/extensions/policy"
)

// decode reads a decision written as a plain object. Without an action, the fields say
// which it is.
func decode(o *goja.Object, d *policy.Decision) error {
	action := ""
	err := fields(o, func(name string, v goja.Value) (err error) {
		switch name {
		case "action":
			action, err = toText(v, maxName)
		case "status":
			var n int64
			n, err = toInt(v, policy.MinStatus, policy.MaxStatus)
			d.Status = int(n)
		case "retryAfter":
			d.RetryAfter, err = toDuration(v)
		case "delay", "for", "after":
			d.Delay, err = toDuration(v)
		default:
			known := false
			if known, err = decodeInit(name, v, d); !known {
				return unknownField(name, decisionNames)
			}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
	if err != nil {
		return err
	}
	return act(action, d)
}

// act sets the action, as named or as the fields say.
func act(name string, d *policy.Decision) error {
	if name != "" {
		a, ok := policy.ParseAction(name)
		if !ok {
			return fmt.Errorf("action: want allow, deny, delay, route or retry, got %s", quote(name))
		}
		d.Action = a
	} else {
		switch {
		case d.Status != 0 || d.RetryAfter != 0:
			d.Action = policy.ActionDeny
		case d.Delay != 0:
			d.Action = policy.ActionDelay
		default:
			d.Action = policy.ActionAllow
		}
	}
	switch {
	case d.Action != policy.ActionDeny && (d.Status != 0 || d.RetryAfter != 0):
		return fmt.Errorf("status and retryAfter belong to deny, not to %s", d.Action)
	case d.Action != policy.ActionDelay && d.Action != policy.ActionRetry && d.Delay != 0:
		return fmt.Errorf("delay belongs to delay and retry, not to %s", d.Action)
	case d.Action == policy.ActionRoute && d.Upstream == "":
		return errors.New("route needs an upstream")
	}
	return nil
}

// decodeInit reads one of the fields that go with any decision.
func decodeInit(name string, v goja.Value, d *policy.Decision) (known bool, err error) {
	switch name {
	case "key":
		d.Key, err = toText(v, maxName)
	case "upstream":
		d.Upstream, err = toText(v, maxName)
	case "timeout":
		d.Timeout, err = toDuration(v)
	case "cost":
		d.Cost, err = toInt(v, 0, policy.MaxCost)
		d.HasCost = true
	case "priority":
		var n int64
		n, err = toInt(v, 0, policy.MaxPriority)
		d.Priority, d.HasPriority = int(n), true
	case "reason":
		d.Reason, err = toText(v, policy.MaxReason)
	case "headers":
		err = decodeHeaders(v, d)
	default:
		return false, nil
	}
	return true, err
}

func decodeHeaders(v goja.Value, d *policy.Decision) error {
	return fields(v, func(name string, v goja.Value) error {
		text, err := toText(v, policy.MaxHeaderText)
		if err != nil {
			return fmt.Errorf("%s: %w", quote(name), err)
		}
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(text):
			return fmt.Errorf("%s is not a field that HTTP allows", quote(name))
		case len(name)+len(text) > policy.MaxHeaderText:
			return fmt.Errorf("%s: more than %d bytes", quote(name), policy.MaxHeaderText)
		case len(d.Headers) >= policy.MaxHeaders:
			return fmt.Errorf("more than %d fields", policy.MaxHeaders)
		}
		d.Headers = append(d.Headers, policy.Header{Name: name, Value: text})
		return nil
	})
}

func (g *guest) init(word string, v goja.Value, d *policy.Decision) {
	if isNil(v) {
		return
	}
	err := fields(v, func(name string, v goja.Value) error {
		known, err := decodeInit(name, v, d)
		switch {
		case !known:
			return unknownField(name, initNames)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		panic(g.typeError("%s: %v", word, err))
	}
}
