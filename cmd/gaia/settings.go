package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/gaia-host/gaia/host/config"
	"github.com/spf13/cobra"
)

// defaultConfigFile is read by `gaia run` in a folder that has it, when neither a
// file nor a policy is named.
const defaultConfigFile = "gaia.yaml"

// settings are the flags from which a configuration is made.
type settings struct {
	file   string
	routes []string
	set    []string
	locked bool
}

// add defines the flags; each sets the configuration key of its name.
func (s *settings) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.file, "config", "c", "", "configuration file (default "+defaultConfigFile+" where no policy is named)")
	f.String("listen", config.DefaultListen, "address of the gateway")
	f.String("control", config.DefaultControl, "loopback address of the control plane, \"\" for none")
	f.String("socket", "", "unix socket of the control plane")
	f.Bool("watch", true, "reload when a policy or the configuration changes on disk")
	f.StringArrayVar(&s.routes, "route", nil, "serve NAME=URL under /NAME/ (may be repeated)")
	f.StringArrayVar(&s.set, "set", nil, "set a configuration key, KEY=VALUE (may be repeated)")
}

// addLocked defines --locked.
func (s *settings) addLocked(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.locked, "locked", false, "run only what `gaia policy lock` wrote in "+config.LockName)
}

// lock is the lock file to hold policies to, "" for none.
func (s *settings) lock() string {
	if !s.locked {
		return ""
	}
	return config.LockFile(s.file)
}

// choose settles which file is read.
func (s *settings) choose(policies []string) error {
	if s.file != "" || len(policies) > 0 {
		return nil
	}
	if _, err := os.Stat(defaultConfigFile); err == nil {
		s.file = defaultConfigFile
	}
	return nil
}

// read makes the configuration: defaults, file, environment, flags, --set.
func (s *settings) read(cmd *cobra.Command, e env) (*config.Config, error) {
	flags := map[string]any{}
	for _, name := range []string{"listen", "control", "socket"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			flags[name] = f.Value.String()
		}
	}
	for name, key := range map[string]string{"record": "record.file", "shadow": "shadow"} { // of run alone
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			flags[key] = f.Value.String()
		}
	}
	if f := cmd.Flags().Lookup("watch"); f.Changed {
		flags["watch"] = f.Value.String() == "true"
	}
	for _, r := range s.routes {
		name, target, ok := strings.Cut(r, "=")
		if !ok || name == "" || target == "" {
			return nil, usageError{fmt.Errorf("--route %s: want NAME=URL, such as openai=https://api.openai.com", r)}
		}
		flags["routes."+name+".url"] = target
	}
	return config.Load(config.Options{File: s.file, Env: e.environ, Flags: flags, Set: s.set})
}
