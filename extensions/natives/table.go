package natives

// Word is one word of the policy language: the same meaning in both engines.
type Word struct {
	JS      string   // as exported by the module "gaia"; a method is written "Limiter.take"
	Wasm    []string // functions imported from the module gaia_v1, or "decision:ACTION" where the word builds a packed decision
	Meaning string
}

// Table returns every word of the language, in the order of the reference. A test
// in each engine fails where it does not bind a word.
func Table() []Word {
	return []Word{
		{"allow", []string{"decision:allow"}, "let the operation go, with the changes named"},
		{"deny", []string{"decision:deny"}, "refuse it with a status and a time to come back"},
		{"delay", []string{"decision:delay"}, "let it go after a while"},
		{"route", []string{"decision:route"}, "send it to a named upstream"},
		{"retry", []string{"decision:retry"}, "response hook: try again"},
		{"limiter.tokenBucket", []string{"limiter_open"}, "declare a token bucket: rate, per, burst, maxWait"},
		{"limiter.concurrency", []string{"limiter_open"}, "declare a bound on operations in flight, with a line for those that find it full: max, maxQueue, maxWait, order"},
		{"limiter.upstream", []string{"limiter_open"}, "declare a limiter that learns from the upstream's answers"},
		{"limiter.fixedWindow", []string{"limiter_open"}, "declare a count for each window of the clock: max, per"},
		{"limiter.slidingWindow", []string{"limiter_open"}, "declare a count for the last window, kept by two counters: max, per"},
		{"limiter.slidingLog", []string{"limiter_open"}, "declare an exact count for any window, which remembers every take: max, per"},
		{"limiter.adaptive", []string{"limiter_open"}, "declare a bound on operations in flight that follows the answers: algorithm, min, max"},
		{"limiter.throttle", []string{"limiter_open"}, "declare a throttle that refuses what the upstream would: ratio, min, per"},
		{"limiter.retryBudget", []string{"limiter_open"}, "declare retries as a share of the answers: ratio, min, per"},
		{"limiter.fair", []string{"limiter_open"}, "declare one rate that the keys asking share by weight: rate, per, burst, weights"},
		{"limiter.calendar", []string{"limiter_open"}, "declare a quota of an hour, day, week or month: max, every, zone"},
		{"limiter.all", []string{"limiter_all"}, "several limiters as one: a take is of all or of none"},
		{"Limiter.admit", []string{"limiter_admit", "limiter_admit_costs"}, "a decision to return: allow, a wait, or a denial with Retry-After"},
		{"Limiter.take", []string{"limiter_take"}, "consume; true if it was there"},
		{"Limiter.peek", []string{"limiter_peek"}, "look, consume nothing"},
		{"Limiter.learn", []string{"limiter_learn"}, "read Retry-After, RateLimit and X-RateLimit fields of an answer"},
		{"Limiter.pause", []string{"limiter_pause"}, "close a key for a while"},
		{"Limiter.settle", []string{"limiter_settle"}, "replace the estimate by the true cost"},
		{"Limiter.set", []string{"limiter_set"}, "new parameters, counts kept"},
		{"state.get", []string{"state_get"}, "read a value"},
		{"state.set", []string{"state_set"}, "write a value, with a time to live"},
		{"state.delete", []string{"state_delete"}, "remove a value"},
		{"state.incr", []string{"state_incr"}, "add to a number"},
		{"state.compareAndSet", []string{"state_compare_and_set"}, "replace a value only if it is as expected"},
		{"state.setIfAbsent", []string{"state_set_if_absent"}, "write a value only if there is none"},
		{"counter", []string{"metric_open", "metric_add"}, "a number of the policy's own that only grows"},
		{"gauge", []string{"metric_open", "metric_set"}, "a number of the policy's own"},
		{"metrics", []string{"metric_get"}, "the host's numbers of one subsystem"},
		{"hash", []string{"hash"}, "a stable 53-bit hash of a text"},
		{"pick", []string{"pick"}, "rendezvous hashing: the entry of a list that a key belongs to"},
		{"params", []string{"param"}, "the operator's parameters"},
		{"env", []string{"env"}, "the granted environment"},
		{"log", []string{"log"}, "a structured, rate-limited log line"},
		{"Request.header", []string{"request_header"}, "a field of the request"},
		{"Request.body", []string{"request_body"}, "a body scalar of the request"},
		{"Response.header", []string{"response_header"}, "a field of the answer"},
		{"Response.body", []string{"response_body"}, "a body scalar of the answer"},
	}
}
