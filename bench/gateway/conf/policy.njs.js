// What njs of Debian 12 can do of the policy: choose the upstream. It has no shared
// dictionary (that came with 0.8.0), so it cannot count tenants, and denies whoever comes.
function way(r) {
  const tenant = r.headersIn["Gaia-Tenant"] || "";
  let h = 2166136261;
  for (let i = 0; i < tenant.length; i++) h = Math.imul(h ^ tenant.charCodeAt(i), 16777619);
  return h & 1 ? "b" : "a";
}

function deny(r) {
  r.headersOut["Retry-After"] = "1";
  r.return(429);
}

export default { way, deny };
