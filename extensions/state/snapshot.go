package state

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Entry is one entry of a store as it is written to a snapshot and read from one. In JSON, a key or text that is not UTF-8 and the bytes of KindBytes
// are base64 in the fields key_base64 and text_base64.
type Entry struct {
	Key     string
	Kind    Kind
	Num     float64
	Text    string
	Expires int64 // nanoseconds since the Unix epoch; 0: never
}

// Export calls fn with every live entry, in no order, until fn returns false. Each entry is as it was at one moment, the whole is not.
func (s *Store) Export(now int64, fn func(Entry) bool) {
	s.Range(now, "", func(key string, v Value, expires int64) bool {
		return fn(Entry{Key: key, Kind: v.Kind, Num: v.Num, Text: v.Text, Expires: expires})
	})
}

// Import stores e, replacing what is there; an entry that has expired is passed over. It makes the checks of Set, with the same errors.
func (s *Store) Import(now int64, e Entry) error {
	v, expires, err := s.check(now, e.Key, Value{Kind: e.Kind, Num: e.Num, Text: e.Text}, 0)
	if err != nil {
		return fmt.Errorf("import %.64q: %w", e.Key, err)
	}
	if e.Expires != 0 {
		expires = e.Expires
	}
	if now >= expires {
		return nil
	}
	err = s.update(now, e.Key, func(Value, int64) (edit, error) {
		return put(v, expires), nil
	})
	if err != nil {
		return fmt.Errorf("import %.64q: %w", e.Key, err)
	}
	return nil
}

// entryJSON is the JSON form of an Entry.
type entryJSON struct {
	Key      string  `json:"key,omitempty"`
	RawKey   []byte  `json:"key_base64,omitempty"`
	Kind     Kind    `json:"kind"`
	Num      float64 `json:"num,omitempty"`
	Text     string  `json:"text,omitempty"`
	RawText  []byte  `json:"text_base64,omitempty"`
	ExpireNS int64   `json:"expires,omitempty"`
}

// MarshalJSON writes the form described at Entry. It fails on an unknown kind and on a number that JSON has not.
func (e Entry) MarshalJSON() ([]byte, error) {
	w := entryJSON{Kind: e.Kind, Num: e.Num, ExpireNS: e.Expires}
	if utf8.ValidString(e.Key) {
		w.Key = e.Key
	} else {
		w.RawKey = []byte(e.Key)
	}
	if e.Kind != KindBytes && utf8.ValidString(e.Text) {
		w.Text = e.Text
	} else {
		w.RawText = []byte(e.Text)
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads what MarshalJSON writes. It checks the form; Import checks what it says.
func (e *Entry) UnmarshalJSON(data []byte) error {
	var w entryJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	if w.Key != "" && w.RawKey != nil || w.Text != "" && w.RawText != nil {
		return fmt.Errorf("read entry %.64q: both plain and base64: %w", w.Key, ErrEntry)
	}
	*e = Entry{Key: w.Key + string(w.RawKey), Kind: w.Kind, Num: w.Num, Text: w.Text + string(w.RawText), Expires: w.ExpireNS}
	return nil
}
