package main

// rows is the table, in the order in which it is measured.
func rows() []row {
	return []row{
		{"metrics/pooled-map", 0.25, 0, pooledMap},
		{"metrics/typed", 0.03, 0, typedStats},
		{"limit/allow", 0.45, 0, limitAllow},
		{"limit/deny-2-cores", 0.2, 0, limitDeny},
		{"limit/10k-keys", 0.6, 0, limitKeys},
		{"limit/over-bound", 1, noAllocs, limitOverBound},
		{"policy/slot-chain-match", 0.5, 0, slotChainMatch},
	}
}
