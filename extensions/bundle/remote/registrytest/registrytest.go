// Package registrytest runs Debian's docker-registry for tests, on the loopback and in
// a folder of its own. It is no registry itself.
package registrytest

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/gaia-host/gaia/internal/testkit"
)

// The one user that a registry with Login knows.
const (
	User     = "team"
	Password = "quota-pass"
)

// userLine is what htpasswd -B writes of them.
const userLine = User + ":$2a$04$fTWIJm3uhULomzaHi6K8D.gI1RxV0DPfz44C7/lynY3ZIuAlNpcEC\n"

// ErrMissing is returned where docker-registry is not installed.
var ErrMissing = errors.New("docker-registry is not installed")

// Config says what a registry is like. Dir is required: what it keeps, for another to
// start from.
type Config struct {
	Dir   string
	Login bool   // it takes nobody but User
	Addr  string // HOST:PORT on the loopback, "" for any port
}

// Registry is one process. Stop ends it.
type Registry struct {
	Host    string // 127.0.0.1:PORT
	cmd     *exec.Cmd
	drained chan struct{}
}

// Run starts a registry that ends with the test. Where none is installed the test is
// skipped by name, and fails in CI.
func Run(t testing.TB, c Config) *Registry {
	t.Helper()
	r, err := Start(c)
	if errors.Is(err, ErrMissing) {
		testkit.Missing(t, "%v; make deps installs it", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// Start starts a registry and returns once it listens.
func Start(c Config) (*Registry, error) {
	tool, err := exec.LookPath("docker-registry")
	if err != nil {
		return nil, ErrMissing
	}
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	config := fmt.Sprintf("version: 0.1\nstorage: { filesystem: { rootdirectory: %q } }\nhttp: { addr: %q }\n", filepath.Join(c.Dir, "blobs"), c.Addr)
	if c.Login {
		users := filepath.Join(c.Dir, "users")
		if err := os.WriteFile(users, []byte(userLine), 0o600); err != nil {
			return nil, fmt.Errorf("write the users: %w", err)
		}
		config += fmt.Sprintf("auth: { htpasswd: { realm: gaia, path: %q } }\n", users)
	}
	file := filepath.Join(c.Dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	r := &Registry{cmd: exec.Command(tool, "serve", file), drained: make(chan struct{})}
	out, err := r.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start docker-registry: %w", err)
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start docker-registry: %w", err)
	}
	return r, r.listening(bufio.NewReader(out))
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// listening reads on until the registry says where it listens.
func (r *Registry) listening(lines *bufio.Reader) error {
	for {
		line, err := lines.ReadString('\n')
		if m := listening.FindStringSubmatch(line); m != nil {
			r.Host = m[1]
			go func() {
				defer close(r.drained)
				_, _ = io.Copy(io.Discard, lines)
			}()
			return nil
		}
		if err != nil {
			close(r.drained)
			return fmt.Errorf("docker-registry ended before it listened: %s: %w", line, errors.Join(err, r.cmd.Wait()))
		}
	}
}

// Stop ends the registry. What it keeps stays.
func (r *Registry) Stop() {
	_ = r.cmd.Process.Kill()
	<-r.drained
	_ = r.cmd.Wait()
}

// DockerConfig is a config.json of docker with a login at a host.
func DockerConfig(host, user, password string) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}
