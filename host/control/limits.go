package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gaia-host/gaia/host/config"
)

// Bounds of what is asked about limiters.
const (
	// DefaultLimitKeys and MaxLimitKeys are how many keys one answer shows.
	DefaultLimitKeys = 100
	MaxLimitKeys     = 1000
	// MaxLimitText bounds a filter, a place and a name, in bytes.
	MaxLimitText = 4096
	maxLimitBody = 64 << 10
)

// LimitsQuery chooses what GET /v1/limits shows. The zero LimitsQuery shows all
// limiters and the first keys.
type LimitsQuery struct {
	Limiter string // only this one; "" all
	Key     string // keys that begin so, or match it where it has * or ?; "" all
	After   string // Next of the page before
	Count   int    // keys in the answer; 0 is DefaultLimitKeys
}

// Limits is the answer of GET /v1/limits.
type Limits struct {
	Schema     string    `json:"schema"`
	Generation uint64    `json:"generation"`
	Limiters   []Limiter `json:"limiters"`
	Next       string    `json:"next,omitempty"` // where the next page begins; "" there is none
}

// Limiter is one limiter in force. A configured limit that bounds a rate and a number
// at once is two of them with one name.
type Limiter struct {
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Policies   []string       `json:"policies,omitempty"`   // that declare it; none: the configuration does
	Generation uint64         `json:"generation,omitempty"` // since which it is declared so
	Params     map[string]any `json:"params"`               // in force; times as texts
	Altered    bool           `json:"altered,omitempty"`    // they were set at run time
	Held       int            `json:"held"`                 // keys held
	Keys       []LimitKey     `json:"keys"`
}

// LimitKey is the level of one key. A key of more than 256 bytes, or one that is no
// text, is shown shortened with a hash; reset and pause take that form too.
type LimitKey struct {
	Key       string  `json:"key"`
	Limit     int64   `json:"limit"`     // 0 unknown
	Remaining int64   `json:"remaining"` // -1 unknown
	ResetMS   float64 `json:"reset_ms"`  // until it is full again
	PausedMS  float64 `json:"paused_ms,omitempty"`
	InFlight  int64   `json:"in_flight,omitempty"` // of a bound on what runs at once
	Waiting   int64   `json:"waiting,omitempty"`   // for a slot of it
}

// LimitChange is the body of POST /v1/limits/set, reset and pause.
type LimitChange struct {
	Limiter string         `json:"limiter"`
	Key     *string        `json:"key,omitempty"`    // reset: nil is every key; set: none
	Params  map[string]any `json:"params,omitempty"` // set
	For     string         `json:"for,omitempty"`    // pause: "30s"; "0" lifts it
}

// LimitChanged is the answer to a change that was made.
type LimitChanged struct {
	Schema  string  `json:"schema"`
	Limiter Limiter `json:"limiter"` // as it is now, with the one key that was named
	Keys    int     `json:"keys"`    // reset and pause: how many were touched
}

// BadRequest is an error of who asked: the answer is 400, or 404 for Missing.
type BadRequest struct {
	Title, Hint string
	Missing     bool
}

// Error is the title.
func (e *BadRequest) Error() string { return e.Title }

// ExitCode is that of a usage error.
func (e *BadRequest) ExitCode() int { return 2 }

func (s *Server) limits(w http.ResponseWriter, r *http.Request) {
	q, err := readLimitsQuery(r.URL.Query())
	if err != nil {
		refuse(w, err)
		return
	}
	l, err := s.c.Backend.Limits(q)
	if err != nil {
		refuse(w, err)
		return
	}
	l.Schema = SchemaLimits
	writeJSON(w, http.StatusOK, l)
}

func readLimitsQuery(v url.Values) (LimitsQuery, error) {
	var q LimitsQuery
	known := []string{"limiter", "key", "after", "count"}
	for name, values := range v {
		text := values[0]
		if len(text) > MaxLimitText {
			return q, &BadRequest{Title: fmt.Sprintf("%s: want at most %d bytes, got %d", name, MaxLimitText, len(text))}
		}
		switch name {
		case "limiter":
			q.Limiter = text
		case "key":
			q.Key = text
		case "after":
			q.After = text
		case "count":
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > MaxLimitKeys {
				return q, &BadRequest{Title: fmt.Sprintf("count: want 1 to %d, got %.40q", MaxLimitKeys, text)}
			}
			q.Count = n
		default:
			return q, Unknown("field", name, known)
		}
	}
	return q, nil
}

// Unknown is the error of a name that is none of the known ones: it says what was
// probably meant.
func Unknown(what, name string, known []string) *BadRequest {
	e := &BadRequest{Title: fmt.Sprintf("there is no %s %.80q", what, name)}
	switch near := config.Suggest(name, known); {
	case near != "":
		e.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(known) > 0:
		e.Hint = "there are: " + strings.Join(known[:min(len(known), 20)], ", ")
	}
	return e
}

// changeLimit does one of set, reset and pause.
func (s *Server) changeLimit(do func(LimitChange) (LimitChanged, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var c LimitChange
		if err := readBody(w, r, &c, []string{"limiter", "key", "params", "for"}); err != nil {
			refuse(w, err)
			return
		}
		done, err := do(c)
		if err != nil {
			refuse(w, err)
			return
		}
		done.Schema = SchemaLimitChanged
		s.c.Log.Info("a limiter was changed by hand", "change", r.URL.Path, "limiter", c.Limiter, "params", c.Params, "for", c.For)
		writeJSON(w, http.StatusOK, done)
	}
}

// readBody reads one JSON object, strictly.
func readBody(w http.ResponseWriter, r *http.Request, into any, known []string) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLimitBody))
	if err != nil {
		return &BadRequest{Title: fmt.Sprintf("the body could not be read: want at most %d bytes of JSON", maxLimitBody)}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return Unknown("field", strings.Trim(quoted, `"`), known)
		}
		return &BadRequest{Title: fmt.Sprintf("the body is not as wanted: %.200v", err), Hint: "the fields are: " + strings.Join(known, ", ")}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &BadRequest{Title: "there is more after the JSON object"}
	}
	return nil
}

func refuse(w http.ResponseWriter, err error) {
	var bad *BadRequest
	if !errors.As(err, &bad) {
		problem(w, http.StatusInternalServerError, err.Error(), "", 1)
		return
	}
	code := http.StatusBadRequest
	if bad.Missing {
		code = http.StatusNotFound
	}
	problem(w, code, bad.Title, bad.Hint, bad.ExitCode())
}
