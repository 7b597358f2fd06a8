// A provider's limits count for each API key. A route may have several upstreams, each
// with a key of its own: a request goes to the one that lets it go first.

/**
 * The hooks that admit each request at one of the route's upstreams, whose name is the
 * key of limitsOf(req); cost(req) is what it takes there. host is where the provider is asked
 * through the proxy, without a route. keyOf(req, res) is the key that a request counted
 * on, undefined for a request that is not for this provider.
 */
export function perKey({ route, host, limitsOf, cost }) {
  return {
    onRequest(req) {
      if (req.key === host) return limitsOf(req).admit(host, { cost: cost(req) });
    },
    onRoute(req, upstreams) {
      if (req.key !== route) return;
      const limits = limitsOf(req), units = cost(req);
      const to = upstreams.length === 1 ? upstreams[0].name : soonest(upstreams, (name) => limits.peek(name, units));
      if (to === undefined) return;
      const decision = limits.admit(to, { cost: units });
      return decision.ok ? to : decision;
    },
    keyOf(req, res) {
      if (req.key === route) return res.upstream;
      if (req.key === host) return host;
    },
  };
}

/** The upstream where the request waits least; of several the one with most left. */
function soonest(upstreams, look) {
  let best, least;
  for (const u of upstreams) {
    if (u.weight === 0) continue;
    const { retryAfter = Infinity, remaining = Infinity } = look(u.name);
    const here = [u.healthy ? 0 : 1, retryAfter, -remaining, u.inFlight];
    if (best === undefined || before(here, least)) [best, least] = [u.name, here];
  }
  return best;
}

function before(a, b) {
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return a[i] < b[i];
  }
  return false;
}
