package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time. In a configuration it is a string such as
// "250ms" or "1m", or a bare number of milliseconds. It is printed as a string.
type Duration time.Duration

// ParseDuration reads "250ms", "2s", "1m30s" or a bare number of milliseconds.
func ParseDuration(text string) (Duration, error) {
	text = strings.TrimSpace(text)
	if ms, err := strconv.ParseFloat(text, 64); err == nil {
		return milliseconds(ms)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf(`want a duration such as "250ms", "2s", "1m", got %s`, quote(text))
	}
	return Duration(d), nil
}

func milliseconds(ms float64) (Duration, error) {
	ns := ms * float64(time.Millisecond)
	if math.IsNaN(ns) || math.Abs(ns) >= math.MaxInt64 {
		return 0, fmt.Errorf("want a duration below 292 years, got %g ms", ms)
	}
	return Duration(math.Round(ns)), nil
}

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String formats d as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText formats d for JSON and YAML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// ByteSize is a number of bytes. In a configuration it is a bare number, or a
// string with a unit: B, KB, MB, GB, TB count by 1000; KiB, MiB, GiB, TiB by 1024.
type ByteSize int64

// Sizes of binary units.
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
	GiB ByteSize = 1 << 30
	TiB ByteSize = 1 << 40
)

func byteUnit(name string) (float64, bool) {
	switch strings.ToLower(name) {
	case "", "b":
		return 1, true
	case "kb":
		return 1e3, true
	case "mb":
		return 1e6, true
	case "gb":
		return 1e9, true
	case "tb":
		return 1e12, true
	case "kib":
		return float64(KiB), true
	case "mib":
		return float64(MiB), true
	case "gib":
		return float64(GiB), true
	case "tib":
		return float64(TiB), true
	}
	return 0, false
}

// ParseByteSize reads "64KiB", "1.5 MB" or a bare number of bytes.
func ParseByteSize(text string) (ByteSize, error) {
	trimmed := strings.TrimSpace(text)
	end := strings.IndexFunc(trimmed, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '-' })
	if end < 0 {
		end = len(trimmed)
	}
	number, numberErr := strconv.ParseFloat(trimmed[:end], 64)
	unit, known := byteUnit(strings.TrimSpace(trimmed[end:]))
	if numberErr != nil || !known {
		return 0, fmt.Errorf(`want a size such as "64KiB", "1MB" or a number of bytes, got %s`, quote(text))
	}
	return wholeBytes(number * unit)
}

func wholeBytes(n float64) (ByteSize, error) {
	if math.IsNaN(n) || math.Abs(n) >= math.MaxInt64 {
		return 0, fmt.Errorf("want a size below 8 EiB, got %g", n)
	}
	if n != math.Trunc(n) {
		return 0, fmt.Errorf("want a whole number of bytes, got %g", n)
	}
	return ByteSize(n), nil
}

// String prints the largest binary unit that divides b, such as "64KiB".
func (b ByteSize) String() string {
	for _, u := range [...]struct {
		size ByteSize
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText formats b for JSON and YAML.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what ParseByteSize reads.
func (b *ByteSize) UnmarshalText(text []byte) error {
	v, err := ParseByteSize(string(text))
	if err == nil {
		*b = v
	}
	return err
}

// quote shows a value of the user's in a message, shortened and with control
// characters escaped.
func quote(text string) string {
	const longest = 40
	runes := []rune(text)
	if len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return strconv.Quote(text)
}
