package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, " 2s ": 2 * time.Second, "1m30s": 90 * time.Second, "1500": 1500 * time.Millisecond,
		"0.5": 500 * time.Microsecond, "0": 0, "-1s": -time.Second, "1e3": time.Second,
	} {
		if got, err := ParseDuration(in); err != nil || got.Std() != want {
			t.Errorf("ParseDuration(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "soon", "2 s", "1d", "1e300", "NaN", "Inf", "300y"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v", in, got)
		}
	}
	if _, err := ParseDuration("soon"); err.Error() != `want a duration such as "250ms", "2s", "1m", got "soon"` {
		t.Error(err)
	}
}

func TestParseByteSize(t *testing.T) {
	for in, want := range map[string]ByteSize{
		"0": 0, "64KiB": 64 << 10, "1MB": 1e6, "1.5 MiB": 3 << 19, "10 b": 10, "2gib": 2 << 30, "1TiB": TiB, "-1": -1, "7": 7,
	} {
		if got, err := ParseByteSize(in); err != nil || got != want {
			t.Errorf("ParseByteSize(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "KiB", "1 kilo", "1..5MB", "1.5", "9e18TiB", "99999999999TiB", "1K"} {
		if got, err := ParseByteSize(in); err == nil {
			t.Errorf("ParseByteSize(%q) = %v", in, got)
		}
	}
}

func TestTypesReadWhatTheyPrint(t *testing.T) {
	for _, want := range []ByteSize{0, 1, 1000, KiB, 64 * KiB, 3 * MiB, GiB + 1, 5 * TiB} {
		text, _ := want.MarshalText()
		var got ByteSize
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("%d: %q, %d, %v", want, text, got, err)
		}
	}
	for _, want := range []Duration{0, 1, DefaultDialTimeout, Duration(90 * time.Minute)} {
		text, _ := want.MarshalText()
		var got Duration
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("%d: %q, %d, %v", want, text, got, err)
		}
	}
}

func TestValidateByHand(t *testing.T) {
	cfg := Default()
	cfg.Routes = map[string]Route{"a": {}}
	cfg.Limits = map[string]SubsystemLimits{"api": DefaultSubsystemLimits(), "disk": {}}
	cfg.API.MaxAttempts = -1
	err := cfg.Validate()
	want := "api.max_attempts: must not be negative, got -1\n" +
		"routes.a: has no upstream; give url or upstreams\n" +
		"limits.disk: want a subsystem: api, files, browser, process, network\n3 errors"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
