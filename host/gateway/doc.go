// Package gateway is the data plane: it serves reverse routes and a forward proxy
// (absolute-form requests and CONNECT tunnels) and hands every request to the API
// client pool, which paces it.
//
// The package routes, checks who may ask, rewrites what belongs to one hop only,
// streams bodies both ways and renders the answers that gaia gives itself. It
// decides nothing about pacing: policies, limits, retries and upstream connections
// are subsystems/api's. The server in http1 speaks to the clients.
//
// A caller steers its request with Gaia-Tenant, Gaia-Priority, Gaia-Cost and
// Gaia-Timeout, which go no further. A denial is an application/problem+json body
// (schema gaia.problem/v1) that says who denied it, at what level, and when it would
// pass; an answer that was held says for how long in Gaia-Wait.
//
// A client that leaves is noticed while its request is held, provided that its body
// has been read: bodies of a known length up to 1 MiB are read ahead for that.
package gateway
