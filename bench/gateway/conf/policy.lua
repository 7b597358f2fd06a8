-- A token bucket for each tenant, as one number, and one of two backends. One state for all
-- threads, behind HAProxy's own lock: the count is exact. A template of text/template.
local interval, burst = {{if .Deny}}3600, 1{{else}}1e-6, 1e6{{end}}
local buckets = {}

core.register_action("policy", { "http-req" }, function(txn)
  local tenant = txn.sf:req_hdr("Gaia-Tenant")
  local t = core.now()
  local now = t.sec + t.usec / 1e6
  local full = buckets[tenant]
  if not full or full < now then full = now end
  full = full + interval
  if full - now > burst * interval + 1e-6 then
    txn:set_var("txn.denied", 1)
    return
  end
  buckets[tenant] = full
  {{if .Route}}
  if txn.sc:crc32(tenant) % 2 == 0 then
    txn:set_var("txn.way", "a")
  else
    txn:set_var("txn.way", "b")
  end
  {{else}}
  txn:set_var("txn.way", "a")
  {{end}}
end)
