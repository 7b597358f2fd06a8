package control

import (
	"context"
	"time"

	"github.com/gaia-host/gaia/extensions/metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// Schemas of the JSON answers.
const (
	SchemaStatus   = "gaia.status/v1"
	SchemaPolicies = "gaia.policies/v1"
	SchemaReload   = "gaia.reload/v1"
	SchemaHealth   = "gaia.health/v1"
	SchemaProblem  = "gaia.problem/v1"
	SchemaLimits   = "gaia.limits/v1"

	SchemaLimitChanged = "gaia.limit.changed/v1"
)

// Status is the answer of /v1/status. Its field names are stable.
type Status struct {
	Schema        string                        `json:"schema"`
	Version       string                        `json:"version"`
	PID           int                           `json:"pid"`
	Generation    uint64                        `json:"generation"`
	CanRollBack   bool                          `json:"can_roll_back"`
	Policies      []Policy                      `json:"policies"`
	LastReload    Reload                        `json:"last_reload"`
	UptimeSeconds float64                       `json:"uptime_seconds"`
	Listen        string                        `json:"listen"`
	Routes        []Route                       `json:"routes"`
	Subsystems    map[string]map[string]float64 `json:"subsystems"`
	Shadow        *Shadow                       `json:"shadow,omitempty"`
	Record        *Record                       `json:"record,omitempty"`
}

// Shadow is a policy that decides on live traffic and enforces nothing.
type Shadow struct {
	Name    string            `json:"name"`
	Use     string            `json:"use"`
	Digest  string            `json:"digest"`
	Would   map[string]uint64 `json:"would"` // attempts by what it would do: allow, deny, delay, route
	Differs map[string]uint64 `json:"differs"`
	Agrees  uint64            `json:"agrees"`
	Dropped uint64            `json:"dropped"` // hooks not run, as it was behind or had its share of time
	Calls   uint64            `json:"calls"`
	Faults  uint64            `json:"faults"`
	Latest  *Disagreement     `json:"latest,omitempty"`
}

// Disagreement is the newest attempt that the shadow would have decided otherwise.
// Waits are milliseconds.
type Disagreement struct {
	At        time.Time `json:"at"`
	Differs   string    `json:"differs"`
	Subsystem string    `json:"subsystem"`
	Key       string    `json:"key"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	Live      Said      `json:"live"`
	Shadow    Said      `json:"shadow"`
	Reason    string    `json:"reason,omitempty"`
}

// Said is what policies said of an attempt: allow, delay or deny.
type Said struct {
	Action   string  `json:"action"`
	Delay    float64 `json:"delay,omitempty"`
	Upstream string  `json:"upstream,omitempty"`
}

// Record is the recording that is being written.
type Record struct {
	File    string `json:"file"`
	Written uint64 `json:"written"`
	Dropped uint64 `json:"dropped"` // lines for which there was no room in the queue
	Failed  uint64 `json:"failed"`  // lines that could not be written
	Error   string `json:"error,omitempty"`
}

// Policy is one policy in force.
type Policy struct {
	Name        string            `json:"name"`
	Engine      string            `json:"engine"`
	Use         string            `json:"use"`
	Digest      string            `json:"digest"`
	Resolved    string            `json:"resolved,omitempty"` // address of these bytes for ever, of what was fetched
	Signer      string            `json:"signer,omitempty"`   // identifier of the key, where one had to sign it
	Hooks       []string          `json:"hooks"`
	OnFailure   string            `json:"on_failure"`
	Isolation   string            `json:"isolation"`
	BudgetMS    float64           `json:"budget_ms"`
	Calls       uint64            `json:"calls"`
	Faults      uint64            `json:"faults"`
	FaultKinds  map[string]uint64 `json:"fault_kinds,omitempty"`
	BreakerOpen bool              `json:"breaker_open"`
	Guests      int               `json:"guests"`
	GuestsIdle  int               `json:"guests_idle"`
}

// Reload says how the last change of policies or configuration ended.
type Reload struct {
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
	At    time.Time `json:"at"`
}

// Route is one reverse route being served.
type Route struct {
	Name      string     `json:"name"`
	Host      string     `json:"host,omitempty"`
	Path      string     `json:"path"`
	Balance   string     `json:"balance"`
	Upstreams []Upstream `json:"upstreams"`
}

// Upstream is one upstream of a route.
type Upstream struct {
	Name      string  `json:"name"`
	URL       string  `json:"url"` // without credentials
	Weight    int     `json:"weight"`
	Tier      int     `json:"tier"`
	Health    string  `json:"health"` // healthy, paused, trying, ejected or down
	InFlight  int64   `json:"in_flight"`
	ErrorRate float64 `json:"error_rate"`
	P50MS     float64 `json:"p50_ms"`
	P95MS     float64 `json:"p95_ms"`
}

// Changed is the answer to a reload or a rollback that succeeded.
type Changed struct {
	Schema    string   `json:"schema"`
	From      uint64   `json:"from"`
	To        uint64   `json:"to"`
	Unchanged bool     `json:"unchanged"`
	Policies  []string `json:"policies"`
	TookMS    float64  `json:"took_ms"`
	// NeedRestart names configuration keys that changed and take effect only then.
	NeedRestart []string `json:"need_restart,omitempty"`
}

// Health is the answer of /health and /health/{subsystem}.
type Health struct {
	Schema     string            `json:"schema"`
	Status     string            `json:"status"` // "ok", "degraded" or "failing"
	Reasons    []string          `json:"reasons,omitempty"`
	Notes      []string          `json:"notes,omitempty"` // what the machine lacks, which is no fault
	Subsystems map[string]Health `json:"subsystems,omitempty"`
}

// Healths, from best to worst.
const (
	HealthOK       = "ok"
	HealthDegraded = "degraded"
	HealthFailing  = "failing"
)

// Backend is what the control plane controls; the host is one. All methods are
// safe for concurrent use.
type Backend interface {
	Status() Status
	Reload(ctx context.Context, force bool) (Changed, error)
	Rollback(ctx context.Context) (Changed, error)
	// RequestStop asks the process to drain and end, and returns at once.
	RequestStop(drain time.Duration)
	// Ready is nil when traffic is served.
	Ready() error
	Health() Health
	// Limits shows the limiters in force; the others change one. An error of who
	// asked is a *BadRequest.
	Limits(q LimitsQuery) (Limits, error)
	SetLimit(c LimitChange) (LimitChanged, error)
	ResetLimit(c LimitChange) (LimitChanged, error)
	PauseLimit(c LimitChange) (LimitChanged, error)
	Sources() []metrics.Source
	Gatherer() prometheus.Gatherer
}

// Coder is an error that knows the exit code a command should end with.
type Coder interface{ ExitCode() int }
