package main

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/template"
)

//go:embed conf
var conf embed.FS

// packages are the Debian packages of what is measured, besides nginx and wrk for the
// upstream and the load.
const packages = "nginx-light wrk libnginx-mod-http-lua libnginx-mod-http-js haproxy caddy"

// modules is where Debian keeps those of nginx.
const modules = "/usr/lib/nginx/modules"

// kase is a kind of work that all systems do.
type kase struct {
	name    string
	tenants int  // that take turns
	route   bool // each tenant has its upstream of two
	deny    bool // each tenant may have one request an hour
	half    bool // latency is measured at half of saturation too
}

func cases() []kase {
	return []kase{
		{name: "proxy", tenants: 100, half: true},                  // nothing but passing on
		{name: "limit", tenants: 100},                              // a limit for each key, by settings
		{name: "tenants", tenants: 10_000},                         // a limit for each of many tenants
		{name: "script", tenants: 10_000, route: true, half: true}, // by script: that, and the choice of an upstream
		{name: "deny", tenants: 10_000, route: true, deny: true},   // the same script, where everything is denied
	}
}

func caseNames() (list []string) {
	for _, k := range cases() {
		list = append(list, k.name)
	}
	return list
}

// system is one of those that are compared.
type system struct {
	name     string
	cases    []string
	programs []string // that must be installed
	files    []string // that must be there
	// argv writes the configuration into the settings' folder and returns the command.
	argv      func(settings) ([]string, error)
	uncounted bool // its script cannot count, so that it denies from the first request on
}

// systems are all of them, in the order of the table.
func systems() []system {
	all := caseNames()
	byScript := []string{"script", "deny"}
	bySettings := []string{"proxy", "limit", "tenants"}
	return []system{
		{name: "direct", cases: []string{"proxy"}},
		{name: "reverseproxy", cases: all, argv: roleArgv},
		{name: "fasthttp", cases: all, argv: roleArgv},
		{name: "nginx", cases: bySettings, programs: []string{"nginx"}, argv: nginxArgv("nginx.conf")},
		{name: "nginx-lua", cases: byScript, programs: []string{"nginx"}, files: []string{modules + "/ndk_http_module.so", modules + "/ngx_http_lua_module.so"}, argv: nginxArgv("nginx.conf")},
		{name: "nginx-njs", cases: byScript, programs: []string{"nginx"}, files: []string{modules + "/ngx_http_js_module.so"}, argv: nginxArgv("nginx.conf", "policy.njs.js", "policy.js"), uncounted: true},
		{name: "haproxy", cases: bySettings, programs: []string{"haproxy"}, argv: haproxyArgv},
		{name: "haproxy-lua", cases: byScript, programs: []string{"haproxy"}, argv: haproxyArgv},
		{name: "caddy", cases: []string{"proxy"}, programs: []string{"caddy"}, argv: caddyArgv},
		{name: "gaia", cases: []string{"proxy", "limit"}, argv: gaiaArgv("")},
		{name: "gaia-js", cases: []string{"tenants", "script", "deny"}, argv: gaiaArgv("tenants.js")},
		{name: "gaia-wasm", cases: []string{"tenants", "script", "deny"}, argv: gaiaArgv("tenants.wasm")},
	}
}

func systemNames() (list []string) {
	for _, s := range systems() {
		list = append(list, s.name)
	}
	return list
}

// isGaia reports whether a system is one of gaia's.
func isGaia(name string) bool { return name == "gaia" || strings.HasPrefix(name, "gaia-") }

// missing says what a system lacks, "" for nothing.
func (s system) missing(o options) string {
	for _, name := range s.programs {
		if program(name) == "" {
			return name + " is not installed"
		}
	}
	files := s.files
	if isGaia(s.name) {
		files = []string{o.gaia}
	}
	for _, path := range files {
		if _, err := os.Stat(path); err != nil {
			return path + " is not there"
		}
	}
	return ""
}

// program is the path of an installed one, "" where it is not.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", name) // not in everybody's PATH
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// settings are what the templates of conf/ read.
type settings struct {
	System, Case string
	Deny, Route  bool
	Dir, Addr    string
	A, B         string // upstreams
	Cores        int
	Root         bool   // who starts it: nginx gives its rights away otherwise
	Modules      string // folder of nginx's
	Policy       string // file of gaia's
	Answer       string // what the upstream says
	gaia, self   string // programs
}

func (b *bench) settings(sys system, k kase, dir, addr string) settings {
	return settings{System: sys.name, Case: k.name, Deny: k.deny, Route: k.route, Dir: dir, Addr: addr, A: b.a, B: b.b, Cores: runtime.NumCPU(),
		Root: os.Getuid() == 0, Modules: modules, Answer: strings.Repeat("x", answerSize), gaia: b.gaia, self: b.self}
}

const answerSize = 1024

// put fills in a file of conf/ and writes it into the folder of the settings as to.
func (s settings) put(file, to string) (string, error) {
	text, err := conf.ReadFile("conf/" + file)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.Dir, to)
	if strings.HasSuffix(file, ".js") || strings.HasSuffix(file, ".wasm") { // no templates
		return path, os.WriteFile(path, text, 0o644)
	}
	t, err := template.New(file).Parse(string(text))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, s); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, out.Bytes(), 0o644)
}

// nginxArgv puts a configuration, and a file beside it where one is named.
func nginxArgv(file string, beside ...string) func(settings) ([]string, error) {
	return func(s settings) ([]string, error) {
		if len(beside) == 2 {
			if _, err := s.put(beside[0], beside[1]); err != nil {
				return nil, err
			}
		}
		path, err := s.put(file, "nginx.conf")
		return []string{program("nginx"), "-c", path, "-e", filepath.Join(s.Dir, "error.log")}, err
	}
}

func haproxyArgv(s settings) ([]string, error) {
	if _, err := s.put("policy.lua", "policy.lua"); err != nil {
		return nil, err
	}
	path, err := s.put("haproxy.cfg", "haproxy.cfg")
	return []string{program("haproxy"), "-db", "-q", "-f", path}, err
}

func caddyArgv(s settings) ([]string, error) {
	path, err := s.put("Caddyfile", "Caddyfile")
	return []string{program("caddy"), "run", "--config", path, "--adapter", "caddyfile"}, err
}

// gaiaArgv starts gaia itself. Two of them would share the memory of their program and
// look smaller than one: each has its own copy.
func gaiaArgv(policy string) func(settings) ([]string, error) {
	return func(s settings) ([]string, error) {
		if policy != "" {
			path, err := s.put(policy, policy)
			if err != nil {
				return nil, err
			}
			s.Policy = path
		}
		own, err := copied(s.gaia, filepath.Join(s.Dir, "gaia"))
		if err != nil {
			return nil, err
		}
		path, err := s.put("gaia.yaml", "gaia.yaml")
		return []string{own, "run", "-c", path}, err
	}
}

func roleArgv(s settings) ([]string, error) {
	own, err := copied(s.self, filepath.Join(s.Dir, s.System))
	return []string{own, roleArg, s.System, s.Case, s.Addr, s.A, s.B}, err
}

func copied(from, to string) (string, error) {
	data, err := os.ReadFile(from)
	if err != nil {
		return "", fmt.Errorf("copy the program: %w", err)
	}
	return to, os.WriteFile(to, data, 0o755)
}

// free is an address of loopback at which nobody listens.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
