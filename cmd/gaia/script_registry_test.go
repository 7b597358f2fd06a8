package main

import (
	"os"
	"sync"

	"github.com/gaia-host/gaia/extensions/bundle/remote/registrytest"
	"github.com/rogpeppe/go-internal/testscript"
)

// registries are the registries of scripts.
var registries sync.Map

// registry starts a registry that wants a login; its host is in $REGISTRY, and docker's
// configuration with the login in the folder docker. With ! it ends, and the next one
// has what it had, at the same place.
func registry(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		r, _ := registries.LoadAndDelete(ts)
		r.(*registrytest.Registry).Stop()
		return
	}
	dir := ts.MkAbs("registry")
	ts.Check(os.MkdirAll(dir, 0o700))
	r, err := registrytest.Start(registrytest.Config{Dir: dir, Login: true, Addr: ts.Getenv("REGISTRY")})
	ts.Check(err)
	registries.Store(ts, r)
	ts.Defer(func() {
		if r, ok := registries.LoadAndDelete(ts); ok {
			r.(*registrytest.Registry).Stop()
		}
	})
	ts.Setenv("REGISTRY", r.Host)
	ts.Check(os.MkdirAll(ts.MkAbs("docker"), 0o700))
	ts.Check(os.WriteFile(ts.MkAbs("docker/config.json"), []byte(registrytest.DockerConfig(r.Host, registrytest.User, registrytest.Password)), 0o600))
}
