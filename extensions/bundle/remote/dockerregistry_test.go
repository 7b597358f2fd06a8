package remote

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/bundle/remote/registrytest"
)

// dockerRegistry starts Debian's registry and returns its host.
func dockerRegistry(t *testing.T, login bool) string {
	t.Helper()
	return registrytest.Run(t, registrytest.Config{Dir: t.TempDir(), Login: login}).Host
}

// dockerConfig makes a folder for DOCKER_CONFIG.
func dockerConfig(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDockerRegistry(t *testing.T) {
	host := dockerRegistry(t, false)
	anonymous(t)
	secret, public := keys(t)
	s := New(Config{Dir: t.TempDir()})
	for name, code := range map[string]string{"p.js": module, "p.wasm": wasmModule} {
		f := File{Name: name, Code: []byte(code), Signature: sign(t, code, secret)}
		to := "oci://" + host + "/team/" + name[2:] + ":1.2"
		pushed, err := s.Push(t.Context(), to, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Push(t.Context(), to, f, nil); err != nil {
			t.Errorf("pushed again: %v", err)
		}
		for _, use := range []string{pushed.Address, pushed.Resolved} {
			m, err := New(Config{Dir: t.TempDir()}).Fetch(t.Context(), use, Want{Keys: []string{public}})
			if err != nil || string(m.Code) != code || m.Resolved != pushed.Resolved || m.Signer == "" {
				t.Errorf("%s: %v", use, err)
			}
		}
		if _, err := s.Fetch(t.Context(), "oci://"+host+"/team/"+name[2:]+":none", Want{Look: true}); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "has no team/") {
			t.Error(err)
		}
	}
}

func TestDockerRegistryWantsCredentials(t *testing.T) {
	host := dockerRegistry(t, true)
	s := New(Config{})
	to, f := "oci://"+host+"/team/p:1", File{Name: "p.js", Code: []byte(module)}
	refused := func(contains string) {
		t.Helper()
		if _, err := s.Push(t.Context(), to, f, nil); !errors.Is(err, ErrPush) || !strings.Contains(err.Error(), contains) || !strings.Contains(hintOf(err), "docker login "+host) {
			t.Errorf("push: %v, hint %q", err, hintOf(err))
		}
		if _, err := s.Fetch(t.Context(), to, Want{Look: true}); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), contains) {
			t.Errorf("pull: %v", err)
		}
	}
	works := func() {
		t.Helper()
		if _, err := s.Push(t.Context(), to, f, nil); err != nil {
			t.Errorf("push: %v", err)
		}
		if _, err := s.Fetch(t.Context(), to, Want{Look: true}); err != nil {
			t.Errorf("pull: %v", err)
		}
	}
	anonymous(t)
	refused("wants credentials")
	dockerConfig(t, registrytest.DockerConfig("other.example:5000", registrytest.User, registrytest.Password))
	refused("wants credentials")
	dockerConfig(t, registrytest.DockerConfig(host, registrytest.User, "wrong"))
	refused("does not take the credentials")
	dockerConfig(t, registrytest.DockerConfig(host, registrytest.User, registrytest.Password))
	works()
	dockerConfig(t, "{")
	if _, err := s.Push(t.Context(), to, f, nil); err == nil || !strings.Contains(hintOf(err), "config.json") {
		t.Errorf("a configuration that cannot be read: %v", err)
	}

	// A helper is a program docker-credential-NAME on the PATH.
	bin := t.TempDir()
	helper := fmt.Sprintf("#!/bin/sh\nread host\nif [ \"$1\" = get ] && [ \"$host\" = %s ]; then echo '{\"Username\":%q,\"Secret\":%q}'; else echo 'credentials not found in native keychain'; exit 1; fi\n", host, registrytest.User, registrytest.Password)
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-gaiatest"), []byte(helper), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	dockerConfig(t, fmt.Sprintf(`{"credHelpers": {%q: "gaiatest"}}`, host))
	works()
	dockerConfig(t, `{"credsStore": "gaiatest"}`)
	works()
	dockerConfig(t, `{"credsStore": "none-such"}`)
	if _, err := s.Fetch(t.Context(), to, Want{Look: true}); !errors.Is(err, ErrFetch) || !strings.Contains(err.Error(), "docker-credential-none-such") {
		t.Errorf("a helper that is missing: %v", err)
	}
	// A user without a home, such as a service, has none, and needs none for what is public.
	t.Setenv("HOME", "")
	if err := os.Unsetenv("DOCKER_CONFIG"); err != nil {
		t.Fatal(err)
	}
	refused("wants credentials")
}
