package work

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/gaia-host/gaia/host/config"
)

// Duration is a time in an input: "250ms", "2s", or a number of milliseconds.
type Duration time.Duration

// Std returns it as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalJSON reads a text with a unit or a number of milliseconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	text, err := textOf(b)
	if err != nil {
		return err
	}
	v, err := config.ParseDuration(text)
	*d = Duration(v)
	return err
}

// MarshalJSON gives the text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(config.Duration(d).String()) }

// Size is a number of bytes in an input: "64KiB", "1MB", or a number.
type Size int64

// UnmarshalJSON reads a text with a unit or a number of bytes.
func (s *Size) UnmarshalJSON(b []byte) error {
	text, err := textOf(b)
	if err != nil {
		return err
	}
	v, err := config.ParseByteSize(text)
	*s = Size(v)
	return err
}

// textOf is a JSON text or number as text.
func textOf(b []byte) (string, error) {
	if !bytes.HasPrefix(b, []byte{'"'}) {
		return string(b), nil
	}
	var text string
	err := json.Unmarshal(b, &text)
	return text, err
}
