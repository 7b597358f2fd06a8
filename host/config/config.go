package config

import (
	"path/filepath"
	"strconv"
	"time"
)

// Defaults, by key.
const (
	DefaultListen    = "127.0.0.1:8080"
	DefaultControl   = "127.0.0.1:4242"
	DefaultLogLevel  = "info"
	DefaultLogFormat = "auto"

	DefaultOperationWait = Duration(60 * time.Second) // api.max_wait and limits.*.max_wait
	DefaultLimitPer      = Duration(time.Second)
	DefaultMaxKeys       = 100_000
	DefaultWhenFull      = "share"
	DefaultQueueMax      = 10_000

	DefaultDialTimeout         = Duration(10 * time.Second)
	DefaultHeaderTimeout       = Duration(60 * time.Second)
	DefaultAPIIdleConnTimeout  = Duration(90 * time.Second)
	DefaultMaxIdleConnsPerHost = 256
	DefaultReplayMax           = MiB
	DefaultMaxAttempts         = 4

	DefaultRetryBudgetRatio     = 0.2
	DefaultRetryBudgetPerSecond = 10.0
	DefaultRetryBase            = Duration(100 * time.Millisecond)
	DefaultRetryMax             = Duration(10 * time.Second)

	DefaultBreakerFailureRatio = 0.5
	DefaultBreakerMinRequests  = 20
	DefaultBreakerConsecutive  = 5
	DefaultBreakerWindow       = Duration(10 * time.Second)
	DefaultBreakerOpenFor      = Duration(30 * time.Second)
	DefaultBreakerHalfOpen     = 3

	DefaultBalance        = "round_robin"
	DefaultHealthInterval = Duration(5 * time.Second)
	DefaultHealthTimeout  = Duration(2 * time.Second)
	DefaultHealthRise     = 1
	DefaultHealthFall     = 2

	DefaultOutlierConsecutive = 5
	DefaultOutlierMinRequests = 20
	DefaultOutlierEjectFor    = Duration(5 * time.Second)
	DefaultOutlierMaxEjectFor = Duration(time.Minute)
	DefaultOutlierMaxShare    = 0.5

	DefaultMaxHeaderBytes    = 64 * KiB
	DefaultReadHeaderTimeout = Duration(10 * time.Second)
	DefaultIdleTimeout       = Duration(120 * time.Second)
	DefaultDrainTimeout      = Duration(30 * time.Second)

	DefaultProcessGrace     = Duration(5 * time.Second)
	DefaultProcessWaitDelay = Duration(time.Second)
	DefaultOutputRing       = 64 * KiB
	DefaultLogMax           = 10 * MiB
	DefaultLogKeep          = 3
	DefaultProcessHistory   = 256
	DefaultCgroup           = "auto"
	DefaultWatchInterval    = Duration(time.Second)

	DefaultRecordMax  = 64 * MiB
	DefaultRecordKeep = 5
)

// Config is the whole configuration. It is read-only once Load has returned
// it, and then safe for concurrent use; a change is a new Config.
// A field tagged reload:"restart" takes effect at the next start only; in a map
// tagged reload:"entries" that holds for entries that come or go.
type Config struct {
	// Listen is the gateway's address, HOST:PORT; port 0 takes a free one.
	Listen string `koanf:"listen" reload:"restart"`
	// Control is the loopback address of the control plane; "" opens none.
	Control string `koanf:"control" reload:"restart"`
	// Socket is the path of the control plane's unix socket; "" opens none.
	Socket string `koanf:"socket" reload:"restart"`
	// TokenFile holds the bearer token of the control address, mode 0600.
	// Unset it is the socket's path with ".token" appended.
	TokenFile string `koanf:"token_file" reload:"restart"`
	// Watch reloads policies and configuration when their files change.
	Watch bool `koanf:"watch" reload:"restart"`
	// StateFile is where state and long limits survive a restart; "" keeps none.
	StateFile string `koanf:"state_file" reload:"restart"`
	// AllowedHosts are further values of Host that routes answer to, HOST or HOST:PORT.
	AllowedHosts []string `koanf:"allowed_hosts"`

	// Shadow is a policy that decides on live traffic in dry mode: a path, std/NAME or an
	// address; "" none. An entry of Policies with its name configures it too.
	Shadow string `koanf:"shadow"`
	// RequireSigned are public keys of minisign; if there are any, every policy but
	// std/NAME must be signed by one of them.
	RequireSigned []string `koanf:"require_signed"`
	// PlainHTTP are registries of policies that are asked without TLS, HOST or HOST:PORT.
	// Those on the loopback always are.
	PlainHTTP []string `koanf:"plain_http"`

	Log Log `koanf:"log"`
	// Record is what is written about the traffic.
	Record Record `koanf:"record"`
	// Routes are what the gateway serves, by name: the key that limits count on.
	Routes map[string]Route `koanf:"routes"`
	// Policies configures policies by name. An entry without Use configures the
	// policy of that name from the command line.
	Policies map[string]Policy `koanf:"policies"`
	// Limits are the configured limits by subsystem: api, files, browser, process, network.
	Limits map[string]SubsystemLimits `koanf:"limits"`
	// Targets are what a subsystem is to achieve, by subsystem; /health judges them.
	Targets map[string]Target `koanf:"targets"`
	API     API               `koanf:"api"`
	Network Network           `koanf:"network"`
	Browser Browser           `koanf:"browser"`
	Gateway Gateway           `koanf:"gateway"`
	Process Process           `koanf:"process"`
	Files   Files             `koanf:"files"`
}

// Log says what is logged and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `koanf:"level"`
	// Format is text, json, or auto: text on a terminal, else JSON.
	Format string `koanf:"format" reload:"restart"`
}

// Record says where attempts are recorded, and what of their headers and bodies.
type Record struct {
	// File is JSON lines; "" records nothing.
	File string `koanf:"file" reload:"restart"`
	// MaxSize is the size at which the file is rotated, Keep how many older ones stay.
	MaxSize ByteSize `koanf:"max_size" reload:"restart"`
	Keep    int      `koanf:"keep" reload:"restart"`
	// Headers are the fields recorded besides those of answers that announce limits;
	// the values of those in Mask, and of the usual ones with credentials, are not.
	Headers []string `koanf:"headers" reload:"restart"`
	Mask    []string `koanf:"mask" reload:"restart"`
	// Body names the JSON scalars of bodies that are recorded where a policy reads them.
	Body []string `koanf:"body" reload:"restart"`
}

// Route is one reverse route. Exactly one of URL and Upstreams is given.
type Route struct {
	// URL is the short form: one upstream, named after the route.
	URL URL `koanf:"url"`
	// PathPrefix begins with "/". With neither PathPrefix nor Host the route
	// is served under /NAME/.
	PathPrefix string `koanf:"path_prefix"`
	// Host serves the route for this Host only.
	Host string `koanf:"host"`
	// StripPrefix takes PathPrefix off before the upstream. Unset: true for a
	// route served under /NAME/, else false.
	StripPrefix *bool `koanf:"strip_prefix"`
	// Headers are set on every request of the route.
	Headers   map[string]Secret   `koanf:"headers"`
	Upstreams map[string]Upstream `koanf:"upstreams"`
	// Balance is round_robin, least_in_flight, p2c or rendezvous; "" is round_robin.
	Balance string `koanf:"balance"`
	// Sticky keeps requests together at one upstream: tenant, key, or header:NAME.
	Sticky string `koanf:"sticky"`
	// Health probes the upstreams; nil: nobody does.
	Health *HealthProbe `koanf:"health"`
	// Outlier ejects upstreams that keep failing; nil: with its defaults.
	Outlier *Outlier `koanf:"outlier"`
}

// HealthProbe asks each upstream of a route for Path again and again. Any status from
// 200 to 399 is well.
type HealthProbe struct {
	// Path begins with "/" and may hold a query; it follows the upstream's URL.
	Path string `koanf:"path"`
	// Interval is the time between two probes of one upstream, give or take a tenth.
	// Unset: 5s.
	Interval Duration `koanf:"interval"`
	// Timeout bounds one probe. Unset: 2s, or the interval where that is shorter.
	Timeout Duration `koanf:"timeout"`
	// Rise probes in a row that are well make it well, Fall that are not take it out.
	// Unset: 1 and 2.
	Rise int `koanf:"rise"`
	Fall int `koanf:"fall"`
}

// Outlier says when an upstream is ejected for how it answers real requests.
type Outlier struct {
	// Consecutive failures in a row eject. Unset: 5; 0: never for that.
	Consecutive *int `koanf:"consecutive"`
	// Ratio of at least MinRequests of the last seconds that failed ejects; 0: never
	// for that.
	Ratio       float64 `koanf:"ratio"`
	MinRequests int     `koanf:"min_requests"`
	// EjectFor is how long the first time, twice that the second, up to MaxEjectFor.
	// Unset: 5s and 1m.
	EjectFor    Duration `koanf:"eject_for"`
	MaxEjectFor Duration `koanf:"max_eject_for"`
	// MaxShare of the upstreams may be ejected at a time, rounded down. Unset: 0.5.
	MaxShare *float64 `koanf:"max_share"`
}

// Upstream is one of the servers behind a route.
type Upstream struct {
	URL URL `koanf:"url"`
	// Weight is the share of requests. Unset 1; 0 only when named by a policy.
	Weight *int `koanf:"weight"`
	// Tier orders upstreams: those of a higher one serve only while none of a lower one
	// is well. Unset: 0.
	Tier int `koanf:"tier"`
	// Headers are set on requests to this upstream, after the route's.
	Headers map[string]Secret `koanf:"headers"`
	// Limits are its own, in the place of limits.api.per_upstream; nil: it has none.
	Limits *LimitSpec `koanf:"limits"`
}

// Policy configures one policy. What it leaves unset is the policy's own choice.
type Policy struct {
	// Use is a path to .js, .ts or .wasm, or std/NAME. A path in a file counts
	// from that file's folder.
	Use string `koanf:"use"`
	// Order sorts policies after those of the command line, lowest first, then by name.
	Order int `koanf:"order"`
	// OnFailure is open, closed or previous; "" is the policy's own.
	OnFailure string `koanf:"on_failure"`
	// Match replaces the policy's own match; nil keeps it.
	Match []MatchRule `koanf:"match"`
	// Isolation is single, key or pool; "" is the policy's own.
	Isolation string `koanf:"isolation"`
	// Budget bounds one hook call, waiting for a guest included; 0 is the policy's own.
	Budget Duration `koanf:"budget"`
	// Instances is the number of guests; 0 is the engine's default.
	Instances int `koanf:"instances"`
	// Fuel bounds one Wasm hook call in instructions; 0 is the engine's default.
	Fuel int64 `koanf:"fuel"`
	// MemoryPages bounds a Wasm guest's memory in pages of 64 KiB; 0 is the engine's default.
	MemoryPages int    `koanf:"memory_pages"`
	Grants      Grants `koanf:"grants"`
	// Params are the operator's parameters. A value with a reference to a
	// secret is a Secret; RevealParams gives the plain values.
	Params map[string]any `koanf:"params"`
	// Enabled false leaves the policy out. Unset: true.
	Enabled *bool `koanf:"enabled"`
}

// IsEnabled reports whether the policy takes part.
func (p Policy) IsEnabled() bool { return p.Enabled == nil || *p.Enabled }

// MatchRule says which operations a policy is asked about: those that fit every
// list which is not empty. Patterns may hold "*".
type MatchRule struct {
	Subsystem []string `koanf:"subsystem"`
	Host      []string `koanf:"host"`
	Path      []string `koanf:"path"`
	Method    []string `koanf:"method"`
	Tenant    []string `koanf:"tenant"`
}

// Grants are what a policy may reach beyond its own names.
type Grants struct {
	// State lets a module that is no local file keep state.
	State bool `koanf:"state"`
	// Limiters lets a module that is no local file declare limiters.
	Limiters bool `koanf:"limiters"`
	// SharedState and SharedLimiters open the names under shared/.
	SharedState    bool `koanf:"shared_state"`
	SharedLimiters bool `koanf:"shared_limiters"`
	// Env are the environment variables that the policy may read.
	Env []string `koanf:"env"`
	// Headers are the fields that a module which is no local file may read and set.
	Headers []string `koanf:"headers"`
	// LogRate is how many lines a second the policy may log; 0 is the default: 10 for a
	// local file, 1 for another module.
	LogRate int `koanf:"log_rate"`
}

// SubsystemLimits are the configured limits of one subsystem.
type SubsystemLimits struct {
	Global      LimitSpec `koanf:"global"`
	PerKey      LimitSpec `koanf:"per_key"`
	PerUpstream LimitSpec `koanf:"per_upstream"`
	// MaxWait bounds all waits of one operation together; 0 never waits. Unset: 60s.
	MaxWait Duration `koanf:"max_wait"`
	// MaxKeys bounds the keys that are counted at once.
	MaxKeys int `koanf:"max_keys" reload:"restart"`
	// WhenFull says what a new key gets beyond MaxKeys: share (one common
	// count for all of them), deny or allow.
	WhenFull string `koanf:"when_full" reload:"restart"`
	// QueueMax bounds the operations that wait; 0 lets none wait. Unset: 10000.
	QueueMax int `koanf:"queue_max"`
}

// DefaultSubsystemLimits is an entry of Limits that limits nothing.
func DefaultSubsystemLimits() SubsystemLimits {
	return SubsystemLimits{
		MaxWait: DefaultOperationWait, MaxKeys: DefaultMaxKeys, WhenFull: DefaultWhenFull, QueueMax: DefaultQueueMax,
	}
}

// LimitSpec is one limit. The zero value limits nothing.
type LimitSpec struct {
	// Rate is how many may begin in each Per; 0 does not limit the rate.
	Rate float64 `koanf:"rate"`
	// Per is the time that Rate counts in. Unset: 1s.
	Per Duration `koanf:"per"`
	// Burst is how many may begin at once. Unset: Rate, rounded up.
	Burst int64 `koanf:"burst"`
	// MaxWait bounds the wait for this limit; 0 never waits, nil is the subsystem's.
	MaxWait *Duration `koanf:"max_wait"`
	// Concurrency is how many may run at once; 0 does not limit them.
	Concurrency int64 `koanf:"concurrency"`
}

// Target is what a subsystem is to achieve over the last minute. A value of 0 is no
// target.
type Target struct {
	// P95 and P99 bound the time of 95 and 99 of 100 attempts.
	P95 Duration `koanf:"p95"`
	P99 Duration `koanf:"p99"`
	// ErrorRate bounds the share of attempts that fail, 0 to 1.
	ErrorRate float64 `koanf:"error_rate"`
	// Throughput is how many attempts are to end in a second while some wait.
	Throughput float64 `koanf:"throughput"`
}

// API are the settings of the outbound HTTP pool. A time or size of 0 is no bound.
type API struct {
	DialTimeout Duration `koanf:"dial_timeout" reload:"restart"`
	// HeaderTimeout bounds the time from the request's end to the response's headers.
	HeaderTimeout       Duration `koanf:"header_timeout" reload:"restart"`
	TotalTimeout        Duration `koanf:"total_timeout"`
	IdleConnTimeout     Duration `koanf:"idle_conn_timeout" reload:"restart"`
	MaxIdleConnsPerHost int      `koanf:"max_idle_conns_per_host" reload:"restart"`
	MaxConnsPerHost     int      `koanf:"max_conns_per_host" reload:"restart"`
	MaxResponseBody     ByteSize `koanf:"max_response_body"`
	// ReplayMax is the largest request body that is kept for a retry; 0 keeps none.
	ReplayMax ByteSize `koanf:"replay_max"`
	// MaxAttempts counts the first attempt too.
	MaxAttempts int `koanf:"max_attempts"`
	// MaxWait bounds all waits of one operation between its attempts.
	MaxWait            Duration `koanf:"max_wait"`
	HTTP2              bool     `koanf:"http2" reload:"restart"`
	InsecureSkipVerify bool     `koanf:"insecure_skip_verify" reload:"restart"`
	// CAFile holds PEM certificates that are trusted besides the system's.
	CAFile  string  `koanf:"ca_file" reload:"restart"`
	Retry   Retry   `koanf:"retry"`
	Breaker Breaker `koanf:"breaker"`
}

// Retry shapes the retries. Retries stay below BudgetRatio of the requests,
// with BudgetMinPerSecond always allowed.
type Retry struct {
	BudgetRatio        float64  `koanf:"budget_ratio"`
	BudgetMinPerSecond float64  `koanf:"budget_min_per_second"`
	Base               Duration `koanf:"base"`
	Max                Duration `koanf:"max"`
}

// Breaker opens for a key that keeps failing: after Consecutive failures in a
// row (0: never for that), or at FailureRatio of at least MinRequests in Window.
// After OpenFor it lets HalfOpen probes through.
type Breaker struct {
	Enabled      bool     `koanf:"enabled"`
	FailureRatio float64  `koanf:"failure_ratio"`
	MinRequests  int      `koanf:"min_requests"`
	Consecutive  int      `koanf:"consecutive"`
	Window       Duration `koanf:"window"`
	OpenFor      Duration `koanf:"open_for"`
	HalfOpen     int      `koanf:"half_open"`
}

// Process are the settings of the process manager. A time of 0 is no bound.
type Process struct {
	// Grace is the time from the stop signal to SIGKILL.
	Grace Duration `koanf:"grace"`
	// Timeout bounds the run of a process that names no bound of its own.
	Timeout Duration `koanf:"timeout"`
	// WaitDelay is how long output is awaited from a pipe that somebody still holds.
	WaitDelay Duration `koanf:"wait_delay"`
	// OutputRing is how much of each stream is kept in memory.
	OutputRing ByteSize `koanf:"output_ring"`
	// LogDir is where output files are kept; "" keeps none.
	LogDir string `koanf:"log_dir" reload:"restart"`
	// LogMax is the size at which an output file is rotated, LogKeep how many older
	// ones stay.
	LogMax  ByteSize `koanf:"log_max"`
	LogKeep int      `koanf:"log_keep"`
	// History is how many ended processes are remembered.
	History int `koanf:"history"`
	// Cgroup is auto, off, or the folder of a cgroup v2 to make groups in.
	Cgroup string `koanf:"cgroup" reload:"restart"`
	// WatchInterval is how often memory and processor time are looked at.
	WatchInterval Duration `koanf:"watch_interval" reload:"restart"`
}

// Gateway are the settings of the listener. A time or size of 0 is no bound.
type Gateway struct {
	MaxHeaderBytes    ByteSize `koanf:"max_header_bytes" reload:"restart"`
	ReadHeaderTimeout Duration `koanf:"read_header_timeout" reload:"restart"`
	IdleTimeout       Duration `koanf:"idle_timeout" reload:"restart"`
	MaxRequestBody    ByteSize `koanf:"max_request_body"`
	// DrainTimeout is how long Stop lets requests finish.
	DrainTimeout Duration `koanf:"drain_timeout"`
	// ForwardProxy serves absolute-form requests and CONNECT.
	ForwardProxy bool `koanf:"forward_proxy"`
}

// Default returns a new configuration with every default but Socket and
// TokenFile, which depend on the environment: see DefaultSocket.
func Default() *Config {
	return &Config{
		Listen:  DefaultListen,
		Control: DefaultControl,
		Watch:   true,
		Log:     Log{Level: DefaultLogLevel, Format: DefaultLogFormat},
		Record:  Record{MaxSize: DefaultRecordMax, Keep: DefaultRecordKeep},
		API: API{
			DialTimeout:         DefaultDialTimeout,
			HeaderTimeout:       DefaultHeaderTimeout,
			IdleConnTimeout:     DefaultAPIIdleConnTimeout,
			MaxIdleConnsPerHost: DefaultMaxIdleConnsPerHost,
			ReplayMax:           DefaultReplayMax,
			MaxAttempts:         DefaultMaxAttempts,
			MaxWait:             DefaultOperationWait,
			HTTP2:               true,
			Retry: Retry{
				BudgetRatio:        DefaultRetryBudgetRatio,
				BudgetMinPerSecond: DefaultRetryBudgetPerSecond,
				Base:               DefaultRetryBase,
				Max:                DefaultRetryMax,
			},
			Breaker: Breaker{
				Enabled:      true,
				FailureRatio: DefaultBreakerFailureRatio,
				MinRequests:  DefaultBreakerMinRequests,
				Consecutive:  DefaultBreakerConsecutive,
				Window:       DefaultBreakerWindow,
				OpenFor:      DefaultBreakerOpenFor,
				HalfOpen:     DefaultBreakerHalfOpen,
			},
		},
		Network: DefaultNetwork(),
		Browser: DefaultBrowser(),
		Gateway: Gateway{
			MaxHeaderBytes:    DefaultMaxHeaderBytes,
			ReadHeaderTimeout: DefaultReadHeaderTimeout,
			IdleTimeout:       DefaultIdleTimeout,
			DrainTimeout:      DefaultDrainTimeout,
			ForwardProxy:      true,
		},
		Process: Process{
			Grace: DefaultProcessGrace, WaitDelay: DefaultProcessWaitDelay, OutputRing: DefaultOutputRing,
			LogMax: DefaultLogMax, LogKeep: DefaultLogKeep, History: DefaultProcessHistory,
			Cgroup: DefaultCgroup, WatchInterval: DefaultWatchInterval,
		},
		Files: defaultFiles(),
	}
}

// DefaultSocket is where daemon and client meet when nobody says otherwise:
// $XDG_RUNTIME_DIR/gaia.sock, else gaia-UID.sock in tempDir.
func DefaultSocket(getenv func(string) string, tempDir string, uid int) string {
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "gaia.sock")
	}
	return filepath.Join(tempDir, "gaia-"+strconv.Itoa(uid)+".sock")
}

// TokenFileFor is the default token file of a socket; "" for none.
func TokenFileFor(socket string) string {
	if socket == "" {
		return ""
	}
	return socket + ".token"
}
