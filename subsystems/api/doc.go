// Package api sends HTTP requests for others, under policy: the pool of outbound
// connections, one tuned transport for each TLS profile, with every attempt
// admitted by subsystems/admission.
//
// Pool.Do holds a call until it may go, sends it, tries it again where the rules
// allow, and streams the answer. Pool.Admit does the same for a tunnel.
// Pool.RoundTripper puts it under an http.Client.
//
// The package is not a proxy: hop-by-hop fields, routes and answers to clients are
// the gateway's. It never reads HTTP_PROXY, follows no redirect and changes no
// byte of a body.
package api
