package browser

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Engine is which build of Chromium shows a page.
type Engine string

// The engines. HeadlessShell is the default: it takes less than half the memory
// and opens tabs faster. Chromium is the whole browser, which extensions need.
const (
	HeadlessShell Engine = "headless-shell"
	Chromium      Engine = "chromium"
)

func (e Engine) debianPackage() string {
	if e == Chromium {
		return "chromium"
	}
	return "chromium-headless-shell"
}

func (e Engine) configKey() string {
	if e == Chromium {
		return "chromium"
	}
	return "headless_shell"
}

// programs are what an engine is looked for under. Debian's own path comes first:
// what it has in PATH is a script, which stays the parent of the browser.
func (e Engine) programs() []string {
	if e == Chromium {
		return []string{"/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	}
	return []string{"/usr/lib/chromium/chromium-headless-shell", "chromium-headless-shell", "chrome-headless-shell", "headless-shell", "headless_shell"}
}

// program finds the engine's program: the configured one, or the first installed.
func (c *Config) program(e Engine) (string, error) {
	configured := c.HeadlessShell
	if e == Chromium {
		configured = c.Chromium
	}
	names := e.programs()
	if configured != "" {
		names = []string{configured}
	}
	var last error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			return filepath.Abs(path)
		}
		last = err
	}
	if configured == "" {
		configured = e.debianPackage()
	}
	return "", notInstalled(e, configured, last)
}

// kind is what browsers that can stand in for each other have in common.
type kind struct {
	engine     Engine
	extensions string // names, sorted, with a comma between
}

func kindFor(e Engine, extensions []string) kind {
	names := slices.Clone(extensions)
	slices.Sort(names)
	return kind{e, strings.Join(slices.Compact(names), ",")}
}

func (k kind) names() []string {
	if k.extensions == "" {
		return nil
	}
	return strings.Split(k.extensions, ",")
}

// argv is the command line of a browser of this kind with its files in profile.
func (c *Config) argv(k kind, program, profile, proxy string, smallShm bool) []string {
	args := []string{
		program, "--remote-debugging-pipe", "--user-data-dir=" + profile,
		"--no-first-run", "--no-default-browser-check", "--disable-default-apps", "--no-pings",
		// Nothing that the browser does on its own reaches the network.
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-domain-reliability",
		"--disable-client-side-phishing-detection", "--disable-quic", "--metrics-recording-only",
		"--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,AutofillServerCommunication," +
			"CertificateTransparencyComponentUpdater,InterestFeedContentSuggestions",
		"--disable-breakpad", "--disable-crash-reporter", "--password-store=basic", "--use-mock-keychain",
		// A tab nobody looks at works as fast as one in front.
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
		"--disable-gpu", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb",
	}
	if k.engine == Chromium {
		args = append(args, "--headless=new", "--no-startup-window")
	}
	if k.extensions == "" {
		args = append(args, "--disable-extensions")
	} else {
		args = append(args, "--enable-unsafe-extension-debugging")
	}
	if c.noSandbox() {
		args = append(args, "--no-sandbox")
	}
	if smallShm {
		args = append(args, "--disable-dev-shm-usage")
	}
	if proxy != "" {
		args = append(args, "--proxy-server="+proxy, "--proxy-bypass-list=<-loopback>",
			// Nor may WebRTC and look-ups of names go around the proxy.
			"--webrtc-ip-handling-policy=disable_non_proxied_udp", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
			"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE "+proxyHost(proxy))
	}
	return append(args, c.Args...)
}
