-- What wrk sends: so many tenants as it is told of, in turn; its second thread begins half of them later.
local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  tenants = tonumber(args[1])
  requests = {}
  for i = 0, tenants - 1 do
    requests[i] = wrk.format("GET", "/v1/items/12345?expand=true", { ["Gaia-Tenant"] = string.format("tenant-%05d", i) })
  end
  at = id * math.floor(tenants / 2)
end

function request()
  at = at + 1
  if at >= tenants then at = 0 end
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, e.status,
    e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
