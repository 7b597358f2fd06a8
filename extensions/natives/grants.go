package natives

import (
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
)

// ask is a thing that needs a grant.
type ask uint8

const (
	askState ask = iota
	askLimiters
	askSharedState
	askSharedLimiters
	askEnv
	askHeader
)

// maxAsked bounds the names that are noted: a guest may make them up without end.
const maxAsked = 64

// may reports whether the policy may use something of its own, and notes what it may
// not. Only a foreign one needs a grant for it.
func (s *Scope) may(granted bool, what ask, name string) bool {
	if !s.Foreign() || granted {
		return true
	}
	s.ask(what, name)
	return s.c.Survey
}

// mayShare is may for what policies have in common.
func (s *Scope) mayShare(granted bool, what ask) bool {
	if s.c.Local && !s.Foreign() || granted {
		return true
	}
	s.ask(what, "")
	return s.c.Survey
}

// MayHeader reports whether the policy may read or set a header.
func (s *Scope) MayHeader(name string) bool {
	return !s.Foreign() || s.may(s.c.Grants.HasHeader(name), askHeader, name)
}

// Foreign reports whether all that the policy uses needs a grant, or is noted as if it
// did.
func (s *Scope) Foreign() bool { return s.c.Foreign || s.c.Survey }

// Asked returns what the policy has tried to use so far without a grant. Of
// one that is not foreign that is the environment and shared names.
func (s *Scope) Asked() policy.Grants {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// ask notes what was used without a grant. The names are copied: a guest's memory is
// its own.
func (s *Scope) ask(what ask, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch what {
	case askState:
		s.asked.State = true
	case askLimiters:
		s.asked.Limiters = true
	case askSharedState:
		s.asked.SharedState = true
	case askSharedLimiters:
		s.asked.SharedLimiters = true
	case askEnv:
		s.asked.Env = noteName(s.asked.Env, name)
	case askHeader:
		s.asked.Headers = noteName(s.asked.Headers, strings.ToLower(name))
	}
}

func noteName(names []string, name string) []string {
	if len(names) >= maxAsked || name == "" || len(name) > maxAskedName || !printable(name) {
		return names
	}
	for _, n := range names {
		if n == name {
			return names
		}
	}
	return append(names[:len(names):len(names)], strings.Clone(name))
}

const maxAskedName = 128 // bytes

func printable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

// RequestHeader reads a field of the request of the hook that runs; a field that is
// not granted is absent.
func (c *Call) RequestHeader(name string) (string, bool) {
	if c.req == nil || !c.scope.MayHeader(name) {
		return "", false
	}
	return c.req.HeaderValue(name)
}

// ResponseHeader is RequestHeader for the answer.
func (c *Call) ResponseHeader(name string) (string, bool) {
	if c.res == nil || !c.scope.MayHeader(name) {
		return "", false
	}
	return c.res.HeaderValue(name)
}
