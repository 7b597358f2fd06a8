package main

import "github.com/gaia-host/gaia/extensions/policy"

// rows is the table, in the order in which it is measured.
func rows() []row {
	return []row{
		{"metrics/pooled-map", 0.25, 0, pooledMap},
		{"metrics/typed", 0.03, 0, typedStats},
		{"limit/allow", 0.45, 0, limitAllow},
		{"limit/deny-2-cores", 0.2, 0, limitDeny},
		{"limit/second", 0.2, 0, limitSecond},
		{"limit/10k-keys", 0.6, 0, limitKeys(tenThousand, newGuardedMap)},
		{"limit/10k-go-limiter", 0.7, 0, limitKeys(tenThousand, newGoLimiter)},
		{"limit/1m-keys", 0.6, 0, limitKeys(manyKeys, newGuardedMap)},
		{"limit/1m-go-limiter", 0.6, 0, limitKeys(manyKeys, newGoLimiter)},
		{"limit/bytes-a-key", 70, noAllocs, limitBytes},
		{"limit/sentinel", 0.1, 0, limitSentinel},
		{"limit/over-bound", 1, noAllocs, limitOverBound},
		{"route/choose-16", 2, 0, chooseUpstream},
		{"policy/slot-chain-match", 0.5, 0, slotChainMatch},
		{"js/empty", 1, 0, jsHook(emptyHook, policy.ActionNone)},
		{"js/take", 2, 0, jsHook(takeHook, policy.ActionNone)},
		{"js/reads-deny", 3.6, 2, jsHook(denyHook, policy.ActionDeny)},
		{"wasm/hook", 9, 0, wasmHook("hooks")},
		{"wasm/hook-rust", 9, 0, wasmHook("hooks-rust")},
		{"wasm/hook-assemblyscript", 9, 0, wasmHook("hooks-assemblyscript")},
		{"wasm/hook-go", 12, 0, wasmHook("hooks-go")},
		{"wasm/host-call", 6, noAllocs, wasmHostCall},
		{"wasm/fuel-loop", 1.4, noAllocs, fuelRow("loop", 1000)},
		{"wasm/fuel-json", 1.25, noAllocs, fuelRow("scan", 3)},
		{"wasm/rewrite", 0.333, noAllocs, rewriteRow},
		{"api/js", 1.15, 6, clientRow("js")},
		{"api/wasm", 1.15, 6, clientRow("wasm")},
		{"api/in-flight-kib", 40, noAllocs, inFlight},
		{"experiment/native", 20, noAllocs, simulateNative},
		{"experiment/js", 40, noAllocs, simulateJS},
		{"network/dns-hit", 0.01, 0, dnsHit},
		{"network/bandwidth-1", 1.02, noAllocs, bandwidth(1)},
		{"network/bandwidth-200", 1.02, noAllocs, bandwidth(200)},
		{"process/start", 1.10, noAllocs, processStart},
		{"files/read-4k", 1.3, noAllocs, fileRead},
		{"files/durable-write", 1.15, noAllocs, durableWrite},
		{"files/stream-1m", 1.1, 5, fileStream},
		{"gateway/plain", 1.05, noAllocs, gatewayRow("plain", "bare")},
		{"gateway/wasm", 1.08, noAllocs, gatewayRow("wasm", "native")},
		{"gateway/js", 1.15, noAllocs, gatewayRow("js", "native")},
	}
}
