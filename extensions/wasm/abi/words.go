package abi

// Param is a parameter of a function; texts are a pointer and a length, both i32.
type Param struct {
	Name string
	Type string // i32, i64, f64 or text
}

// Func is a function that a guest imports from Module.
type Func struct {
	Name    string
	Params  []Param
	Result  string // i32, i64, f64, or "" for none
	Meaning string
}

// Const is a number with a name.
type Const struct {
	Name    string // snake_case
	Value   int64
	Meaning string
}

// Set is a set of numbers that belong together.
type Set struct {
	Name    string // snake_case: the prefix of its constants
	Meaning string
	Consts  []Const
}

// Sets returns the numbers of the interface.
func Sets() []Set {
	return []Set{
		{"flag", "flags of a frame", []Const{
			{"truncated", 1, "a text did not fit and was cut; request_text gives the whole"},
			{"upstreams_truncated", 2, "not all upstreams fit"},
			{"metrics_truncated", 4, "not all numbers fit into the metrics area"},
		}},
		{"hook", "hooks, and their bits in the result of gaia_hooks: 1 << hook", []Const{
			{"request", 0, "before an attempt"},
			{"route", 1, "which upstream, where the request hook named none"},
			{"response", 2, "at the headers of the answer"},
			{"done", 3, "at its end"},
			{"tick", 4, "once a second"},
		}},
		{"action", "actions of a packed decision", []Const{
			{"none", 0, "no opinion"},
			{"allow", 1, "go, with the changes the decision names"},
			{"deny", 2, "do not go; the milliseconds say when to come back"},
			{"delay", 3, "go after the milliseconds"},
			{"route", 4, "go to an upstream: the record upstream names it; in the route hook the low 32 bits are its index where there is no such record"},
			{"retry", 5, "response hook: try again after the milliseconds"},
		}},
		{"word", "places in the packed decision", []Const{
			{"arg_shift", 0, "32 bits: milliseconds, or an index"},
			{"status_shift", 32, "10 bits: status of a denial, 0 is 429"},
			{"handle_shift", 42, "6 bits: which limiter_admit of this hook it stands for, set by the host; 0 none"},
			{"reason_shift", 48, "8 bits: index, from 1, into the manifest's reasons; 0 none"},
			{"action_shift", 56, "4 bits: the action"},
			{"ext_bit", 62, "records follow in the answer area"},
			{"error_bit", 63, "the guest failed"},
		}},
		{"record", "records of the answer area: u16 tag, u16 length, value", []Const{
			{"upstream", 1, "text: name of an upstream"},
			{"timeout", 2, "i64: ns that the attempt may take"},
			{"cost", 3, "i64: units"},
			{"priority", 4, "i32: 0 to 9"},
			{"key", 5, "text: configured limits count on it"},
			{"header", 6, "u16 length of the name, name, value: set on the request to the upstream; may be repeated"},
			{"reason", 7, "text: why"},
			{"delay", 8, "i64: ns, in place of the milliseconds of the packed decision"},
		}},
		{"error", "errors of imported functions", []Const{
			{"absent", -1, "there is no such value"},
			{"argument", -2, "an unknown identifier or a value out of range"},
			{"phase", -3, "declaring in a hook, or using a limiter or writing state while loading"},
			{"grant", -4, "not granted by the operator"},
			{"full", -5, "too large, or no room"},
			{"context", -6, "there is no request or no answer in this hook"},
			{"kind", -7, "the stored value is of another kind"},
		}},
		{"limiter", "kinds of limiter", limiterKinds()},
		{"metric", "kinds of a policy's own number", []Const{
			{"counter", 0, "only grows"},
			{"gauge", 1, "goes up and down"},
		}},
		{"value", "kinds of values in the state", []Const{
			{"none", 0, "absent"},
			{"number", 1, "an f64, finite"},
			{"text", 2, "UTF-8"},
			{"bool", 3, "true or false"},
			{"bytes", 4, "anything"},
		}},
		{"level", "levels of log", []Const{
			{"debug", -4, ""}, {"info", 0, ""}, {"warn", 4, ""}, {"error", 8, ""},
		}},
		{"text", "texts of request_text", []Const{
			{"action", 0, ""}, {"key", 1, ""}, {"method", 2, ""}, {"host", 3, ""}, {"tenant", 4, ""}, {"path", 5, ""}, {"url", 6, ""},
		}},
	}
}

func limiterKinds() []Const {
	return []Const{
		{"token_bucket", 1, "rate, per, burst, maxWait"},
		{"concurrency", 2, "max, maxQueue, maxWait, order"},
		{"upstream", 3, "learns from the upstream's answers: unit, maxWait"},
		{"fixed_window", 4, "max, per, unit, maxWait"},
		{"sliding_window", 5, "max, per, unit, maxWait"},
		{"sliding_log", 6, "max, per, maxWait"},
		{"adaptive", 7, "algorithm, min, max"},
		{"throttle", 8, "ratio, min, per"},
		{"retry_budget", 9, "ratio, min, per"},
		{"fair", 10, "rate, per, burst, weights, maxWait"},
		{"calendar", 11, "max, every, zone, maxWait"},
	}
}

// Funcs returns the functions that a guest may import. A key of length -1 is the request's, a cost below 0 the request's, a
// longest wait below 0 the declared one. Times are ns. A pointer or length outside of the guest's memory traps. Functions that
// copy into a buffer return the full length, whatever the buffer took.
func Funcs() []Func {
	id, key := Param{"id", "i32"}, Param{"key", "text"}
	cost, name, ttl := Param{"cost", "i64"}, Param{"name", "text"}, Param{"ttl", "i64"}
	buf, capacity := Param{"buf", "i32"}, Param{"cap", "i32"}
	kind, num, text := Param{"kind", "i32"}, Param{"num", "f64"}, Param{"text", "text"}
	copies := func(n, meaning string) Func {
		return Func{n, []Param{name, buf, capacity}, "i32", meaning + ": its length, or absent"}
	}
	return []Func{
		{"limiter_open", []Param{kind, name, {"params", "text"}}, "i32", "declare a limiter while loading; params is a JSON object: its identifier"},
		{"limiter_admit", []Param{id, key, cost, {"max_wait", "i64"}}, "i64", "take: a packed decision to return as it is, or a negative number"},
		{"limiter_take", []Param{id, key, cost}, "i32", "take if it is there now: 1 taken, 0 not"},
		{"limiter_peek", []Param{id, key, cost, {"out", "i32"}}, "i32", "look: 1 there is enough, 0 not; writes a peek structure"},
		{"limiter_learn", []Param{id, key}, "i32", "read what the answer says about limits: 0"},
		{"limiter_pause", []Param{id, key, {"duration", "i64"}}, "i32", "close a key for a while, 0 opens it: 0"},
		{"limiter_settle", []Param{id, key, cost}, "i32", "replace the estimate by the true cost: 1, or 0 where nothing was taken"},
		{"limiter_set", []Param{id, {"params", "text"}}, "i32", "change parameters, a JSON object, and keep the counts: 0"},
		{"state_get", []Param{key, {"out", "i32"}, buf, capacity}, "i32", "read: the kind of the value; writes a value structure, and a text or bytes into buf"},
		{"state_set", []Param{key, kind, num, text, ttl}, "i32", "write, with a time to live, 0 for ever: 0"},
		{"state_delete", []Param{key}, "i32", "remove: 1 it was there, 0 not"},
		{"state_incr", []Param{key, {"by", "f64"}, ttl}, "f64", "add to a number, absent counts as 0: the sum, NaN on failure"},
		{"state_compare_and_set", []Param{key, {"old_kind", "i32"}, {"old_num", "f64"}, {"old_text", "text"}, kind, num, text, ttl}, "i32",
			"write if the value is as expected (none: absent; writing none removes): 1 written, 0 not"},
		{"state_set_if_absent", []Param{key, kind, num, text, ttl}, "i32", "write if there is no value: 1 written, 0 not"},
		{"metric_open", []Param{kind, name}, "i32", "declare a number of the policy's own while loading: its identifier"},
		{"metric_add", []Param{id, {"by", "f64"}}, "i32", "add to it: 0"},
		{"metric_set", []Param{id, {"to", "f64"}}, "i32", "set a gauge: 0"},
		{"metric_get", []Param{{"subsystem", "i32"}, name}, "f64", "one of the host's numbers now; NaN where there is none"},
		{"hash", []Param{text}, "i64", "stable hash of 53 bits, the same as in JavaScript"},
		{"pick", []Param{key, {"list", "i32"}, {"count", "i32"}}, "i32", "rendezvous hashing over count spans: the index, -1 for an empty list"},
		copies("param", "one of the operator's parameters as JSON"),
		copies("env", "a granted environment variable"),
		{"log", []Param{{"level", "i32"}, text}, "", "write a log line, rate-limited"},
		{"fail", []Param{text}, "", "give up with a message: the hook ends here"},
		copies("request_header", "a field of the request"),
		copies("request_body", "a body scalar of the request"),
		copies("response_header", "a field of the answer"),
		copies("response_body", "a body scalar of the answer"),
		{"request_text", []Param{{"which", "i32"}, buf, capacity}, "i32", "a text of the frame, whole: its length"},
		{"limiter_all", []Param{{"ids", "i32"}, {"count", "i32"}}, "i32", "while loading: make one limiter of at most 8, named by i32 identifiers; its own"},
		{"limiter_admit_costs", []Param{id, key, {"costs", "i32"}, {"count", "i32"}, {"max_wait", "i64"}}, "i64",
			"limiter_admit of such a limiter with an i64 cost for each"},
	}
}

// Exports returns the functions that the host calls. Required says which a module must have.
func Exports() []Export {
	return []Export{
		{Func{"gaia_abi_1", nil, "i32", "the minor version the guest needs"}, true},
		{Func{"gaia_scratch", []Param{{"size", "i32"}}, "i32", "lend so many bytes, aligned to 16, for the life of the instance; 0 refuses"}, true},
		{Func{"gaia_hooks", nil, "i32", "the set of hooks it has"}, true},
		{Func{"gaia_on", []Param{{"hook", "i32"}, {"length", "i32"}}, "i64", "answer a hook with a packed decision"}, true},
		{Func{"gaia_configure", []Param{{"length", "i32"}}, "i32", "read the parameters in the frame area: 0, or a number with a message in the answer area"}, false},
		{Func{"_initialize", nil, "", "called first"}, false},
	}
}

// Export is a function that a module gives the host.
type Export struct {
	Func
	Required bool
}

// Signature returns the type of the function as "(i32, i64) -> i32".
func (f Func) Signature() string {
	s := "("
	for i, t := range f.WasmParams() {
		if i > 0 {
			s += ", "
		}
		s += t
	}
	if f.Result == "" {
		return s + ") -> ()"
	}
	return s + ") -> " + f.Result
}

// WasmParams returns the parameter types, a text as two i32.
func (f Func) WasmParams() []string {
	var types []string
	for _, p := range f.Params {
		if p.Type == "text" {
			types = append(types, "i32", "i32")
		} else {
			types = append(types, p.Type)
		}
	}
	return types
}
