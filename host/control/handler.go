package control

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/valyala/bytebufferpool"
)

// handler routes and guards. Reading is open on loopback; everything else asks for
// the socket or the token.
func (s *Server) handler() http.Handler {
	open, guarded := http.NewServeMux(), http.NewServeMux()
	open.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	open.HandleFunc("GET /readyz", s.ready)
	open.HandleFunc("GET /health", s.health)
	open.HandleFunc("GET /health/{subsystem}", s.healthOf)
	open.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, s.c.Backend.Status()) })
	open.HandleFunc("GET /v1/policies", s.policies)
	open.HandleFunc("GET /v1/limits", s.limits)
	open.Handle("GET /metrics", promhttp.HandlerFor(s.c.Backend.Gatherer(), promhttp.HandlerOpts{}))
	open.HandleFunc("GET /metrics/{subsystem}", s.metricsOf)
	if s.c.Work != nil {
		open.Handle("GET /v1/{subsystem}", s.c.Work)
		guarded.Handle("POST /v1/{subsystem}/{action}", s.c.Work)
	}
	if s.c.Explain != nil {
		guarded.Handle("POST /v1/explain", s.c.Explain)
	}
	open.HandleFunc("/", notFound)

	guarded.HandleFunc("POST /v1/reload", s.reload)
	guarded.HandleFunc("POST /v1/rollback", s.rollback)
	guarded.HandleFunc("POST /v1/stop", s.stop)
	guarded.HandleFunc("POST /v1/limits/set", s.changeLimit(s.c.Backend.SetLimit))
	guarded.HandleFunc("POST /v1/limits/reset", s.changeLimit(s.c.Backend.ResetLimit))
	guarded.HandleFunc("POST /v1/limits/pause", s.changeLimit(s.c.Backend.PauseLimit))
	guarded.HandleFunc("GET /debug/pprof/", pprof.Index)
	guarded.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	guarded.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	guarded.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	guarded.HandleFunc("GET /debug/pprof/trace", pprof.Trace)

	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !overSocket(r) && !s.hostAllowed(r.Host) {
			problem(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host %q is not served here", r.Host), "use 127.0.0.1, or add the name to allowed_hosts", 0)
			return
		}
		if err := origin.Check(r); err != nil {
			problem(w, http.StatusForbidden, "cross-site requests are refused", "", 0)
			return
		}
		if _, pattern := guarded.Handler(r); pattern != "" {
			if !s.authorised(r) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="gaia"`)
				problem(w, http.StatusUnauthorized, "this needs the unix socket or the bearer token", "the token is in "+s.c.TokenFile, 5)
				return
			}
			guarded.ServeHTTP(w, r)
			return
		}
		open.ServeHTTP(w, r)
	})
}

func (s *Server) authorised(r *http.Request) bool {
	if overSocket(r) {
		return true
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && s.token != "" && subtle.ConstantTimeCompare([]byte(strings.TrimSpace(given)), []byte(s.token)) == 1
}

func (s *Server) hostAllowed(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if ip := net.ParseIP(name); strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback() {
		return true
	}
	for _, h := range s.c.AllowedHosts {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.c.Backend.Ready(); err != nil {
		problem(w, http.StatusServiceUnavailable, err.Error(), "", 1)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) { writeHealth(w, s.c.Backend.Health()) }

func (s *Server) healthOf(w http.ResponseWriter, r *http.Request) {
	h, ok := s.c.Backend.Health().Subsystems[r.PathValue("subsystem")]
	if !ok {
		notFound(w, r)
		return
	}
	h.Schema = SchemaHealth
	writeHealth(w, h)
}

func writeHealth(w http.ResponseWriter, h Health) {
	code := http.StatusOK
	if h.Status == HealthFailing {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, h)
}

func (s *Server) policies(w http.ResponseWriter, _ *http.Request) {
	st := s.c.Backend.Status()
	writeJSON(w, 200, struct {
		Schema     string   `json:"schema"`
		Generation uint64   `json:"generation"`
		Policies   []Policy `json:"policies"`
		LastReload Reload   `json:"last_reload"`
	}{SchemaPolicies, st.Generation, st.Policies, st.LastReload})
}

func (s *Server) metricsOf(w http.ResponseWriter, r *http.Request) {
	for _, src := range s.c.Backend.Sources() {
		if src.Schema().Subsystem() == r.PathValue("subsystem") {
			buf := bytebufferpool.Get()
			defer bytebufferpool.Put(buf)
			metrics.AppendJSONOne(buf, src)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(buf.B)
			return
		}
	}
	notFound(w, r)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	c, err := s.c.Backend.Reload(r.Context(), r.URL.Query().Get("force") == "true")
	answer(w, c, err)
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) {
	c, err := s.c.Backend.Rollback(r.Context())
	answer(w, c, err)
}

func (s *Server) stop(w http.ResponseWriter, r *http.Request) {
	var drain time.Duration
	if text := r.URL.Query().Get("drain"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			problem(w, http.StatusBadRequest, fmt.Sprintf("drain: want a duration such as 30s, got %q", text), "", 2)
			return
		}
		drain = d
	}
	w.WriteHeader(http.StatusAccepted)
	s.c.Backend.RequestStop(drain)
}

func answer(w http.ResponseWriter, c Changed, err error) {
	if err == nil {
		c.Schema = SchemaReload
		writeJSON(w, http.StatusOK, c)
		return
	}
	exit := 1
	var coder Coder
	if errors.As(err, &coder) {
		exit = coder.ExitCode()
	}
	var load *policy.LoadError
	if errors.As(err, &load) {
		exit = 3
	}
	code := http.StatusConflict
	if exit == 3 {
		code = http.StatusUnprocessableEntity
	}
	problem(w, code, err.Error(), "", exit)
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem(w, http.StatusNotFound, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path), "see docs/operations.md for the addresses of the control plane", 0)
}

// Problem is the body of an answer that is no success (RFC 9457).
type Problem struct {
	Schema string `json:"schema"`
	Type   string `json:"type,omitempty"` // urn:gaia:problem:CODE
	Code   string `json:"code,omitempty"` // stable
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Exit   int    `json:"exit,omitempty"` // the exit code for a command

	// Of a denial.
	DeniedBy          string  `json:"denied_by,omitempty"`
	Policy            string  `json:"policy,omitempty"`
	Generation        uint64  `json:"generation,omitempty"`
	Attempt           int     `json:"attempt,omitempty"`
	Limiter           string  `json:"limiter,omitempty"`
	Key               string  `json:"key,omitempty"`
	Level             *Level  `json:"level,omitempty"`
	RetryAfterSeconds float64 `json:"retry_after_seconds,omitempty"`
	WouldPass         string  `json:"would_pass,omitempty"`
}

// Level is how far a limiter is spent.
type Level struct {
	Limit        int64   `json:"limit"`
	Remaining    int64   `json:"remaining"`
	ResetSeconds float64 `json:"reset_seconds"`
}

func problem(w http.ResponseWriter, code int, title, detail string, exit int) {
	w.Header().Set("Content-Type", "application/problem+json")
	writeBody(w, code, Problem{Schema: SchemaProblem, Title: title, Status: code, Detail: detail, Exit: exit})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, code, v)
}

func writeBody(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
