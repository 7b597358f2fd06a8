package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Changes are the keys in which two configurations differ, sorted and dotted.
// An entry of a map that was added or removed is one key, such as routes.search.
type Changes struct {
	// Live can be applied to a running host.
	Live []string
	// Restart take effect at the next start.
	Restart []string
}

// Empty reports whether nothing changed.
func (c Changes) Empty() bool { return len(c.Live) == 0 && len(c.Restart) == 0 }

// Has reports whether something in the section, a top-level key, can change live.
func (c Changes) Has(section string) bool {
	return slices.ContainsFunc(c.Live, func(key string) bool {
		return key == section || strings.HasPrefix(key, section+".")
	})
}

// Diff compares two configurations; a nil one is taken as Default.
func Diff(old, new *Config) Changes {
	if old == nil {
		old = Default()
	}
	if new == nil {
		new = Default()
	}
	var c Changes
	c.compare(reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), nil, false)
	slices.Sort(c.Live)
	slices.Sort(c.Restart)
	return c
}

func (c *Changes) add(path []string, restart bool) {
	if restart {
		c.Restart = append(c.Restart, dotted(path))
	} else {
		c.Live = append(c.Live, dotted(path))
	}
}

func (c *Changes) compare(a, b reflect.Value, path []string, restart bool) {
	switch {
	case a.Kind() == reflect.Struct && a.Type() != reflect.TypeFor[Secret]() && a.Type() != reflect.TypeFor[URL]():
		for i := range a.NumField() {
			tag := a.Type().Field(i).Tag
			at := append(path[:len(path):len(path)], tag.Get("koanf"))
			if tag.Get("reload") == "entries" {
				c.entries(a.Field(i), b.Field(i), at, true, restart)
				continue
			}
			c.compare(a.Field(i), b.Field(i), at, restart || tag.Get("reload") == "restart")
		}
	case a.Kind() == reflect.Map && a.Type() != reflect.TypeFor[map[string]any]():
		c.entries(a, b, path, restart, restart)
	case a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0: // nil and empty say the same
	default:
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			c.add(path, restart)
		}
	}
}

// entries compares maps: news says whether an entry that comes or goes needs a
// restart, restart whether one that changes does.
func (c *Changes) entries(a, b reflect.Value, path []string, news, restart bool) {
	names := map[string]bool{}
	for _, key := range slices.Concat(a.MapKeys(), b.MapKeys()) {
		names[key.String()] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := append(path[:len(path):len(path)], name)
		x, y := a.MapIndex(reflect.ValueOf(name)), b.MapIndex(reflect.ValueOf(name))
		if !x.IsValid() || !y.IsValid() {
			c.add(at, news)
			continue
		}
		c.compare(x, y, at, restart)
	}
}
