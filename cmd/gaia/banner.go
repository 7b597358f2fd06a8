package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gaia-host/gaia/host"
	"github.com/gaia-host/gaia/host/control"
)

// printBanner says what runs and gives the lines to paste next.
func printBanner(w io.Writer, h *host.Host, file, lock string, took time.Duration) {
	st := h.Status()
	base := "http://" + h.Addr()
	fmt.Fprintf(w, "gaia %s  ready in %d ms\n", st.Version, took.Milliseconds())
	for _, p := range st.Policies {
		fmt.Fprintf(w, "  policy     %s@%s (%s: %s)\n", p.Name, short(p.Digest), p.Engine, strings.Join(p.Hooks, ", "))
		if p.Resolved != "" {
			fmt.Fprintf(w, "             %s\n", fetched(p.Resolved, p.Signer))
		}
	}
	if len(st.Policies) == 0 {
		fmt.Fprintln(w, "  policy     none: only the configured limits hold")
	}
	if lock != "" {
		fmt.Fprintf(w, "  locked     %s\n", lock)
	}
	for _, r := range st.Routes {
		var to []string
		for _, u := range r.Upstreams {
			to = append(to, u.URL)
		}
		fmt.Fprintf(w, "  route      %s -> %s   base URL: %s\n", r.Name, strings.Join(to, ", "), baseURL(base, r))
		if variable := clientVariable(base, r); variable != "" {
			fmt.Fprintf(w, "             %s\n", variable)
		}
	}
	if h.Config().Gateway.ForwardProxy {
		fmt.Fprintf(w, "  proxy      %s   try: curl -x %s http://example.com/\n", base, base)
	}
	cfg := h.Config()
	if addr := h.ControlAddr(); addr != "" {
		fmt.Fprintf(w, "  status     http://%s/v1/status   or: %s\n", addr, statusCommand(cfg.Socket))
	}
	if cfg.Socket != "" {
		fmt.Fprintf(w, "  control    %s   token %s\n", cfg.Socket, cfg.TokenFile)
	}
	if cfg.Watch {
		var files []string
		for _, p := range st.Policies {
			if p.Resolved == "" && !strings.HasPrefix(p.Use, "std/") {
				files = append(files, p.Use)
			}
		}
		for _, f := range []string{file, lock} {
			if f != "" {
				files = append(files, f)
			}
		}
		if len(files) > 0 {
			fmt.Fprintf(w, "  watching   %s\n", strings.Join(files, ", "))
		}
	}
}

// fetched says where a policy came from: an address that means it for ever, and who
// signed it.
func fetched(resolved, signer string) string {
	if signer == "" {
		return resolved
	}
	return resolved + ", signed by " + signer
}

// providers are those whose clients read a base URL from the environment: the route that
// a standard policy brings along, the host that it leads to, the variable, and what comes
// after the route's own path.
var providers = []struct{ route, host, variable, path string }{
	{"openai", "api.openai.com", "OPENAI_BASE_URL", "/v1"},
	{"anthropic", "api.anthropic.com", "ANTHROPIC_BASE_URL", ""},
	{"github", "api.github.com", "GITHUB_API_URL", ""},
}

// clientVariable is what to export so that the provider's own clients use the route, "" where it
// is none of those that are known.
func clientVariable(base string, r control.Route) string {
	for _, p := range providers {
		known := r.Name == p.route
		path := p.path
		for _, up := range r.Upstreams {
			if u, err := url.Parse(up.URL); err == nil {
				known = known || u.Hostname() == p.host
				if strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), p.path) {
					path = "" // the route leads there already
				}
			}
		}
		if known {
			return p.variable + "=" + strings.TrimSuffix(baseURL(base, r), "/") + path
		}
	}
	return ""
}

// statusCommand is what to type, with the socket where it is not the default.
func statusCommand(socket string) string {
	if socket == "" {
		return "gaia status --control ADDR"
	}
	return "gaia status --socket " + socket
}

func baseURL(base string, r control.Route) string {
	if r.Host == "" {
		return base + r.Path
	}
	_, port, ok := strings.Cut(strings.TrimPrefix(base, "http://"), ":")
	if ok {
		return "http://" + r.Host + ":" + port + r.Path
	}
	return "http://" + r.Host + r.Path
}

// short is a digest as people read it.
func short(digest string) string {
	hex := strings.TrimPrefix(digest, "sha256:")
	return hex[:min(len(hex), 8)]
}

// printReload prints one line for a change that was done, and what, where and why
// for one that was refused.
func printReload(w io.Writer, ev host.ReloadEvent) {
	what := "reload"
	if ev.Rollback {
		what = "rollback"
	}
	at := time.Now().Format("15:04:05")
	files := strings.Join(ev.Files, ", ")
	if files != "" {
		files = "  " + files
	}
	if ev.Err != nil {
		fmt.Fprintf(w, "%s %s%s  REFUSED, the policies in force stay\n", at, what, files)
		printError(indented{w}, ev.Err)
		return
	}
	result := fmt.Sprintf("generation %d -> %d", ev.Outcome.From, ev.Outcome.To)
	if ev.Outcome.Unchanged {
		result = fmt.Sprintf("generation %d: the policies did not change", ev.Outcome.To)
	}
	fmt.Fprintf(w, "%s %s%s  ok  %s  in %d ms\n", at, what, files, result, ev.Outcome.Took.Milliseconds())
	if len(ev.NeedRestart) > 0 {
		fmt.Fprintf(w, "  takes effect only after a restart: %s\n", strings.Join(ev.NeedRestart, ", "))
	}
}

// indented puts two spaces before every line.
type indented struct{ w io.Writer }

// Write implements io.Writer; p holds whole lines.
func (i indented) Write(p []byte) (int, error) {
	text := strings.TrimSuffix(string(p), "\n")
	_, err := fmt.Fprintln(i.w, indent(text))
	return len(p), err
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
