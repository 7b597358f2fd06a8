package browser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// Config describes a Pool. DefaultConfig is where to start from. Fields marked live
// are what SetConfig changes; browsers that run go on with what they were started
// with.
type Config struct {
	Admission admission.Config // live; the global concurrency is at most MaxBrowsers*MaxTabs
	Slot      *policy.Slot     // the policies; nil: none
	Log       *slog.Logger     // nil discards
	Launcher  Launcher         // nil: ExecLauncher

	// HeadlessShell and Chromium are the programs of the engines, a path or a name
	// in PATH. "": those that Debian and others install.
	HeadlessShell, Chromium string
	Args                    []string          // more flags of the command line
	Env                     []string          // more of the environment: KEY=VALUE. Nothing of gaia's own reaches a browser
	Extensions              map[string]string // live: unpacked extensions that leases name, by name; absolute folders
	Dir                     string            // where profiles are kept; "": gaia-browser-UID in the temporary folder
	// Proxy is what pages reach the network through: http://HOST:PORT or
	// socks5://HOST:PORT. "": directly.
	Proxy string
	// ProxyAddr is asked at each launch where Proxy is "": HOST:PORT of an HTTP
	// proxy, "" for none. An error fails the launch. nil: none.
	ProxyAddr func(context.Context) (string, error)
	// NoSandbox switches Chromium's sandbox off. It is off as root in any case:
	// Chromium does not start otherwise.
	NoSandbox bool

	MinBrowsers int // live: browsers of the default engine that are kept ready; 0: the first job launches one
	MaxBrowsers int // live
	MaxTabs     int // live: of one browser
	// LaunchConcurrency is how many may be launched at once; 0 is 2 for each CPU.
	LaunchConcurrency int

	LaunchTimeout time.Duration
	JobTimeout    time.Duration // live: of one job with all its waits, the caller may want less
	LeaseTimeout  time.Duration // live: of one lease, the caller may want less
	// A browser is replaced, once nobody uses it, when it is older, has opened more
	// tabs, or has more memory (proportional set size). 0: never for that.
	MaxAge    time.Duration // live
	MaxTasks  int           // live
	MaxMemory int64         // live: bytes
	// IdleTimeout is how long one beyond MinBrowsers is kept that nobody uses; 0: for ever.
	IdleTimeout time.Duration // live
	// CheckInterval is how often browsers are asked whether they live and are
	// measured; PingTimeout is how long one may take to answer.
	CheckInterval, PingTimeout time.Duration
	MaxResult                  int64 // bytes of a screenshot, a PDF, an HTML text or a value

	// Clock, After and Random replace time and chance in tests.
	Clock  admission.Clock
	After  admission.After
	Random func() float64
}

// DefaultConfig keeps up to 4 browsers of up to 10 tabs, none of them before the
// first job, and replaces one after 1000 tabs, an hour or 1 GiB.
func DefaultConfig() Config {
	return Config{
		Admission:   admission.DefaultConfig(),
		MaxBrowsers: 4, MaxTabs: 10,
		LaunchTimeout: 30 * time.Second, JobTimeout: 60 * time.Second, LeaseTimeout: 5 * time.Minute,
		MaxAge: time.Hour, MaxTasks: 1000, MaxMemory: 1 << 30, IdleTimeout: 2 * time.Minute,
		CheckInterval: 5 * time.Second, PingTimeout: 10 * time.Second, MaxResult: 64 << 20,
	}
}

// Bounds of what a Config may ask for.
const (
	maxBrowsers = 1000
	maxTabs     = 1000
	maxResult   = 1 << 30
)

// Check returns every fault of c, joined; nil if there is none. It looks for no
// program and reads no file.
func (c *Config) Check() error {
	faults := []error{c.Admission.Check()}
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.MaxBrowsers < 1 || c.MaxBrowsers > maxBrowsers, "max_browsers must be from 1 to %d", maxBrowsers)
	fault(c.MinBrowsers < 0 || c.MinBrowsers > c.MaxBrowsers, "min_browsers must be from 0 to max_browsers")
	fault(c.MaxTabs < 1 || c.MaxTabs > maxTabs, "max_tabs must be from 1 to %d", maxTabs)
	fault(c.LaunchConcurrency < 0 || c.MaxTasks < 0 || c.MaxMemory < 0 || c.MaxAge < 0 || c.IdleTimeout < 0,
		"launch_concurrency, max_tasks, max_memory, max_age and idle_timeout must be 0 or more")
	fault(c.LaunchTimeout <= 0 || c.JobTimeout <= 0 || c.LeaseTimeout <= 0 || c.CheckInterval <= 0 || c.PingTimeout <= 0,
		"launch_timeout, job_timeout, lease_timeout, check_interval and ping_timeout must be greater than 0")
	fault(c.MaxResult < 1 || c.MaxResult > maxResult, "max_result must be from 1 byte to 1 GiB")
	fault(c.Dir != "" && !filepath.IsAbs(c.Dir), "dir must be an absolute path")
	for name, dir := range c.Extensions {
		fault(name == "" || strings.ContainsAny(name, ", "), "extensions: %q is not a name", name)
		fault(!filepath.IsAbs(dir), "extensions.%s must be an absolute path", name)
	}
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy)
		fault(err != nil || u.Host == "" || u.Port() == "" || u.User != nil || u.Path != "" || u.Scheme != "http" && u.Scheme != "socks5",
			"proxy must be http://HOST:PORT or socks5://HOST:PORT")
	}
	return errors.Join(faults...)
}

// proxy is what a browser that is launched now is to use.
func (c *Config) proxy(ctx context.Context) (string, error) {
	if c.Proxy != "" || c.ProxyAddr == nil {
		return c.Proxy, nil
	}
	addr, err := c.ProxyAddr(ctx)
	if addr == "" || err != nil {
		return "", err
	}
	return "http://" + addr, nil
}

func proxyHost(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func (c *Config) noSandbox() bool { return c.NoSandbox || os.Geteuid() == 0 }

func (c *Config) launches() int {
	if c.LaunchConcurrency > 0 {
		return c.LaunchConcurrency
	}
	return 2 * runtime.NumCPU()
}

// admission bounds what runs at once by what there is room for, so that what does
// not fit waits in the queue of the admission and is shed there.
func (c *Config) admission() admission.Config {
	a := c.Admission
	room := int64(c.MaxBrowsers) * int64(c.MaxTabs)
	if n := a.Limits.Global.Concurrency; n == 0 || n > room {
		a.Limits.Global.Concurrency = room
	}
	return a
}
