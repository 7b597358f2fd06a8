package config

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Options are the sources of a configuration.
type Options struct {
	// File is the path of a YAML file, or of a JSON file by its extension; "" is none.
	File string
	// Env is the environment as os.Environ gives it. Its GAIA_ variables are
	// keys, and ${env:NAME} is looked up in it.
	Env []string
	// Flags are values by dotted key. A string is read by the type of its key,
	// lists split at commas.
	Flags map[string]any
	// Set are the arguments of --set, KEY=VALUE with VALUE read as YAML.
	Set []string
	// ReadFile reads File and ${file:PATH}; nil reads the file system.
	ReadFile func(path string) ([]byte, error)
}

// Load puts a configuration together from its sources and checks it. The error
// is a Faults with everything that is wrong; the Config is then nil.
func Load(o Options) (*Config, error) {
	if o.ReadFile == nil {
		o.ReadFile = readBounded
	}
	l := loader{
		options: o,
		merged:  koanf.New(separator),
		checker: checker{origins: map[string]origin{}, hidden: map[int]bool{}},
	}
	readable := l.layers()
	cfg := Default()
	if err := l.decode(cfg); err != nil {
		return nil, append(l.faults, Fault{File: o.File, Message: err.Error()}).finish()
	}
	l.complete(cfg)
	if readable { // else most of what is missing stands in the file
		r := resolver{options: o, origins: l.origins}
		r.resolve(cfg)
		l.report(r.faults)
		v := validator{set: l.isSet}
		v.config(cfg)
		l.report(v.faults)
	}
	if err := l.faults.finish(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// loader merges the layers, lowest first.
type loader struct {
	checker
	options Options
	file    *layer
	merged  *koanf.Koanf
}

// layers checks and merges all sources; false if the file could not be parsed.
func (l *loader) layers() bool {
	readable := true
	if l.options.File != "" {
		file, faults := fileLayer(l.options)
		l.faults = append(l.faults, faults...)
		if readable = file != nil; readable {
			l.file = file
			l.add(file)
			l.showLines(file)
		}
	}
	for _, layer := range envLayers(l.options.Env) {
		l.add(layer)
	}
	flags, faults := flagLayers(l.options.Flags)
	sets, setFaults := setLayers(l.options.Set)
	for _, layer := range append(flags, sets...) {
		l.add(layer)
	}
	l.faults = append(append(l.faults, faults...), setFaults...)
	return readable
}

// add checks one layer and merges what is good of it.
func (l *loader) add(layer *layer) {
	values := l.run(layer)
	if err := l.merged.Load(confmap.Provider(values, ""), nil); err != nil {
		l.faults = append(l.faults, Fault{File: layer.label, Message: err.Error()})
	}
}

// showLines gives the faults of a file their lines, but for unknown keys, whose
// name says all, and lines that hold secrets.
func (l *loader) showLines(file *layer) {
	for i := range l.faults {
		f := &l.faults[i]
		if f.Line > 0 && !l.hidden[f.Line] && !strings.HasPrefix(f.Message, "unknown key") {
			f.Source = file.line(f.Line)
		}
	}
}

// decode fills cfg, which holds the defaults, with the merged values. They have
// the right types already; a failure is a fault of this package.
func (l *loader) decode(cfg *Config) error {
	toSecret := func(_, to reflect.Type, data any) (any, error) {
		text, ok := data.(string)
		switch {
		case ok && to == reflect.TypeFor[Secret]():
			return NewSecret(text), nil
		case ok && to == reflect.TypeFor[URL]():
			return NewURL(text), nil
		}
		return data, nil
	}
	err := l.merged.UnmarshalWithConf("", cfg, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		ErrorUnused: true, DecodeHook: toSecret,
	}})
	if err != nil {
		return fmt.Errorf("decode the merged values: %w", err)
	}
	return nil
}

// isSet reports whether a source set the key at path.
func (l *loader) isSet(path ...string) bool {
	_, ok := l.origins[strings.Join(path, separator)]
	return ok
}

// complete fills in the defaults that depend on other values.
func (l *loader) complete(cfg *Config) {
	getenv := func(name string) string {
		value, _ := lookupEnv(l.options.Env, name)
		return value
	}
	if !l.isSet("socket") {
		cfg.Socket = DefaultSocket(getenv, os.TempDir(), os.Getuid())
	}
	for name, limits := range cfg.Limits {
		cfg.Limits[name] = l.completeLimits(limits, name)
	}
	l.anchorPaths(cfg)
	if !l.isSet("token_file") {
		cfg.TokenFile = TokenFileFor(cfg.Socket)
	}
}

func (l *loader) completeLimits(limits SubsystemLimits, name string) SubsystemLimits {
	defaults := DefaultSubsystemLimits()
	if !l.isSet("limits", name, "max_wait") {
		limits.MaxWait = defaults.MaxWait
	}
	if !l.isSet("limits", name, "max_keys") {
		limits.MaxKeys = defaults.MaxKeys
	}
	if !l.isSet("limits", name, "when_full") {
		limits.WhenFull = defaults.WhenFull
	}
	if !l.isSet("limits", name, "queue_max") {
		limits.QueueMax = defaults.QueueMax
	}
	for key, spec := range limits.specs() {
		if spec.Rate > 0 && !l.isSet("limits", name, key, "per") {
			spec.Per = DefaultLimitPer
		}
		if spec.Rate > 0 && !l.isSet("limits", name, key, "burst") {
			spec.Burst = spec.EffectiveBurst()
		}
	}
	return limits
}

// report turns faults of values into faults with a place, unless they follow
// from a fault that has been reported already.
func (l *loader) report(found []keyFault) {
	for _, k := range found {
		path := strings.Join(k.path, separator)
		if l.follows(path) {
			continue
		}
		f := Fault{Key: dotted(k.path), Message: k.message, Suggestion: k.suggestion}
		for at := path; ; {
			if o, ok := l.origins[at]; ok {
				f.File, f.Line, f.Col = o.layer.label, o.at.line, o.at.col
				if !l.hidden[o.at.line] {
					f.Source = o.layer.line(o.at.line)
				}
				break
			}
			cut := strings.LastIndex(at, separator)
			if cut < 0 {
				break
			}
			at = at[:cut]
		}
		l.faults = append(l.faults, f)
	}
	for _, k := range found {
		l.bad = append(l.bad, strings.Join(k.path, separator))
	}
}

// follows reports whether a fault at path lies above or below a known one.
func (l *loader) follows(path string) bool {
	for _, bad := range l.bad {
		if path == bad || strings.HasPrefix(bad, path+separator) || strings.HasPrefix(path, bad+separator) {
			return true
		}
	}
	return false
}

// lookupEnv finds a variable; of two of one name the last counts.
func lookupEnv(environ []string, name string) (string, bool) {
	for i := len(environ) - 1; i >= 0; i-- {
		if n, value, ok := strings.Cut(environ[i], "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// readBounded reads a file of at most maxFileSize bytes, and one byte more of a
// larger one.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("it is a folder")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}
