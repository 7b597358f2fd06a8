package host

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/host/config"
	"github.com/gaia-host/gaia/host/control"
)

// paramsOf names the parameters of a kind that can be seen and set at run time.
func paramsOf(k limit.Kind) []string {
	var names []string
	for _, name := range k.Fields() {
		names = append(names, snake(name))
	}
	return names
}

// maxParamText bounds a parameter that is a text, in bytes.
const maxParamText = 4096

// configuredParams are those of a configured limit.
func configuredParams() []string { return []string{"rate", "per", "burst", "max_wait", "concurrency"} }

// snake turns MaxWait into max_wait.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// fieldOf finds a field of the struct that v points to; the name is a known one.
func fieldOf(v any, name string) reflect.Value {
	s := reflect.ValueOf(v).Elem()
	return s.FieldByNameFunc(func(field string) bool { return snake(field) == name })
}

// showParams reads the fields named.
func showParams(v any, names []string) map[string]any {
	m := make(map[string]any, len(names))
	for _, name := range names {
		f := fieldOf(v, name)
		if f.Kind() == reflect.String && f.IsZero() {
			continue
		}
		if d, ok := f.Interface().(time.Duration); ok {
			m[name] = d.String()
		} else {
			m[name] = f.Interface()
		}
	}
	return m
}

// setParams writes params into the struct that v points to, or says what is wrong with
// the first that is. Values are numbers or texts.
func setParams(v any, names []string, params map[string]any) error {
	if len(params) == 0 {
		return &control.BadRequest{Title: "no parameter is given", Hint: "there are: " + strings.Join(names, ", ")}
	}
	for name, value := range params {
		if !slices.Contains(names, name) {
			return control.Unknown("parameter", name, names)
		}
		if err := setParam(fieldOf(v, name), value); err != nil {
			return &control.BadRequest{Title: name + ": " + err.Error()}
		}
	}
	return nil
}

func setParam(f reflect.Value, value any) error {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Errorf("want a number or a text, got %.40v", value)
	}
	if _, ok := f.Interface().(time.Duration); ok {
		d, err := config.ParseDuration(text)
		if err == nil && d < 0 {
			err = fmt.Errorf("want 0 or more, got %s", d)
		}
		f.SetInt(int64(d))
		return err
	}
	if f.Kind() == reflect.String {
		if len(text) > maxParamText {
			return fmt.Errorf("want at most %d bytes, got %d", maxParamText, len(text))
		}
		f.SetString(text)
		return nil
	}
	if f.Kind() == reflect.Float64 {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
			return fmt.Errorf("want a number of 0 or more, got %.40q", text)
		}
		f.SetFloat(n)
		return nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("want a whole number of 0 or more, got %.40q", text)
	}
	f.SetInt(n)
	return nil
}
