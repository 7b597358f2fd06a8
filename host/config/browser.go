package config

import (
	"net/url"
	"time"
)

// Defaults of browser, by key.
const (
	DefaultMaxBrowsers   = 4
	DefaultMaxTabs       = 10
	DefaultLaunchTimeout = Duration(30 * time.Second)
	DefaultJobTimeout    = Duration(60 * time.Second)
	DefaultLeaseTimeout  = Duration(5 * time.Minute)
	DefaultBrowserAge    = Duration(time.Hour)
	DefaultBrowserTasks  = 1000
	DefaultBrowserMemory = GiB
	DefaultBrowserIdle   = Duration(2 * time.Minute)
	DefaultMaxResult     = 64 * MiB
)

// Browser are the settings of the browsers. None is launched before it is needed.
type Browser struct {
	// HeadlessShell and Chromium are the programs, a path or a name in PATH. Unset:
	// what Debian and others install.
	HeadlessShell string `koanf:"headless_shell" reload:"restart"`
	Chromium      string `koanf:"chromium" reload:"restart"`
	// Args are more flags of their command lines.
	Args []string `koanf:"args" reload:"restart"`
	// Extensions are folders of unpacked extensions, by the name that a job gives.
	Extensions map[string]string `koanf:"extensions"`
	// Dir is where their files are kept while they run. Unset: gaia-browser-UID in
	// the temporary folder.
	Dir string `koanf:"dir" reload:"restart"`
	// Proxy is what pages reach the network through; "" is a guarded one of gaia's own.
	Proxy string `koanf:"proxy" reload:"restart"`
	// NoSandbox switches Chromium's sandbox off; as root it is off in any case.
	NoSandbox bool `koanf:"no_sandbox" reload:"restart"`

	// MinBrowsers are kept ready; 0 launches the first with the first job.
	MinBrowsers int `koanf:"min_browsers"`
	MaxBrowsers int `koanf:"max_browsers"`
	// MaxTabs of one browser.
	MaxTabs int `koanf:"max_tabs"`

	LaunchTimeout Duration `koanf:"launch_timeout" reload:"restart"`
	// JobTimeout bounds a job with its waits, LeaseTimeout a lease.
	JobTimeout   Duration `koanf:"job_timeout"`
	LeaseTimeout Duration `koanf:"lease_timeout"`
	// A browser is replaced when it is older than MaxAge, has opened MaxTasks tabs
	// or takes more than MaxMemory; 0: never for that.
	MaxAge    Duration `koanf:"max_age"`
	MaxTasks  int      `koanf:"max_tasks"`
	MaxMemory ByteSize `koanf:"max_memory"`
	// IdleTimeout ends a browser beyond MinBrowsers that nobody uses; 0: never.
	IdleTimeout Duration `koanf:"idle_timeout"`
	// MaxResult is the largest screenshot, PDF, HTML text or value.
	MaxResult ByteSize `koanf:"max_result" reload:"restart"`
}

// DefaultBrowser is the section with every default.
func DefaultBrowser() Browser {
	return Browser{
		MaxBrowsers: DefaultMaxBrowsers, MaxTabs: DefaultMaxTabs,
		LaunchTimeout: DefaultLaunchTimeout, JobTimeout: DefaultJobTimeout, LeaseTimeout: DefaultLeaseTimeout,
		MaxAge: DefaultBrowserAge, MaxTasks: DefaultBrowserTasks, MaxMemory: DefaultBrowserMemory, IdleTimeout: DefaultBrowserIdle,
		MaxResult: DefaultMaxResult,
	}
}

func (v *validator) browser(b *Browser) {
	at := func(key string) []string { return []string{"browser", key} }
	const most = 1000
	for key, n := range map[string]int{"max_browsers": b.MaxBrowsers, "max_tabs": b.MaxTabs} {
		if n == 0 || n > most {
			v.fail(at(key), "must be from 1 to %d", most)
		}
	}
	if b.MinBrowsers > b.MaxBrowsers {
		v.fail(at("min_browsers"), "must be at most max_browsers, %d", b.MaxBrowsers)
	}
	for key, d := range map[string]Duration{"launch_timeout": b.LaunchTimeout, "job_timeout": b.JobTimeout, "lease_timeout": b.LeaseTimeout} {
		if d == 0 {
			v.fail(at(key), "must be greater than 0")
		}
	}
	if b.MaxResult == 0 || b.MaxResult > GiB {
		v.fail(at("max_result"), "must be from 1 to 1GiB")
	}
	for _, name := range sortedKeys(b.Extensions) {
		if !isName(name, false) {
			v.fail([]string{"browser", "extensions", name}, "a name of an extension is made of letters, digits, - and _")
		}
		if b.Extensions[name] == "" {
			v.fail([]string{"browser", "extensions", name}, "is empty; want the folder of an unpacked extension")
		}
	}
	if b.Proxy == "" {
		return
	}
	u, err := url.Parse(b.Proxy)
	if err != nil || u.Scheme != "http" && u.Scheme != "socks5" || u.Port() == "" || u.Hostname() == "" || u.User != nil || u.Path != "" {
		v.fail(at("proxy"), "want http://HOST:PORT or socks5://HOST:PORT, got %s", quote(b.Proxy))
	}
}
