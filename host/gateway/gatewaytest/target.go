package gatewaytest

func targetBehaviours() []behaviour {
	cases := []struct{ name, sent, want string }{
		{"stripped", "/up/v1/x", "/v1/x"},
		{"prefix-without-slash", "/up", "/"},
		{"prefix-without-slash-query", "/up?a=1", "/?a=1"},
		{"prefix-alone", "/up/", "/"},
		{"trailing-slash", "/up/v1/", "/v1/"},
		{"query", "/up/q?a=1&b=2&a=3", "/q?a=1&b=2&a=3"},
		{"query-semicolon", "/up/q?a=1;b=2", "/q?a=1;b=2"},
		{"query-escapes", "/up/q?a=%2F%2f&b=%252F&c=%zz&d=%", "/q?a=%2F%2f&b=%252F&c=%zz&d=%"},
		{"query-odd", "/up/q?&=&&e&=f&?/?:@!$'()*,+%20", "/q?&=&&e&=f&?/?:@!$'()*,+%20"},
		{"query-empty", "/up/q?", "/q?"},
		{"query-is-a-url", "/up/q?u=http://a/b?c", "/q?u=http://a/b?c"},
		{"encoded-slash", "/up/a%2Fb%2fc", "/a%2Fb%2fc"},
		{"double-encoding", "/up/a%252Fb", "/a%252Fb"},
		{"needless-encoding", "/up/%41%7E", "/%41%7E"},
		{"encoded-dots", "/up/%2e%2e/x", "/%2e%2e/x"},
		{"encoded-question-mark", "/up/a%3Fb?c", "/a%3Fb?c"},
		{"sub-delims", "/up/a;b=1,c:d@e!$&'()*+=~", "/a;b=1,c:d@e!$&'()*+=~"},
		{"dot-dot", "/up/a/../b/./c", "/a/../b/./c"},
		{"dot-dot-first", "/up/../x", "/../x"},
		{"double-slash", "/up/a//b///c", "/a//b///c"},
		{"double-slash-first", "/up//a", "//a"},
		{"utf-8-escaped", "/up/caf%C3%A9", "/caf%C3%A9"},
		{"path-holds-a-url", "/up/http://a/b", "/http://a/b"},
		{"kept-prefix", "/keep/v1/x?y", "/keep/v1/x?y"},
		{"kept-prefix-encoded", "/keep/a%2Fb//..", "/keep/a%2Fb//.."},
	}
	var all []behaviour
	for _, c := range cases {
		all = append(all, behaviour{name: c.name, check: func(f *fixture) { checkTarget(f, c.sent, c.want) }})
	}
	return append(all,
		behaviour{name: "segment-boundary", check: checkSegment},
		behaviour{name: "longest-prefix", check: checkLongestPrefix})
}

// checkTarget compares the request-target at the upstream byte for byte.
func checkTarget(f *fixture, sent, want string) {
	o := f.origin(nil)
	addr := f.gateway(Config{Routes: []Route{
		{Name: "up", PathPrefix: "/up/", Strip: true, Upstream: o.URL},
		{Name: "keep", PathPrefix: "/keep/", Upstream: o.URL},
	}})
	f.ok(addr, request(addr, "GET "+sent))
	f.equal("target", o.only().RequestURI, want)
}

func checkLongestPrefix(f *fixture) {
	outer, inner := f.origin(nil), f.origin(nil)
	addr := f.gateway(Config{Routes: []Route{
		{Name: "outer", PathPrefix: "/up/", Strip: true, Upstream: outer.URL},
		{Name: "inner", PathPrefix: "/up/in/", Strip: true, Upstream: inner.URL},
	}})
	f.ok(addr, request(addr, "GET /up/in/x"))
	f.equal("target", inner.only().RequestURI, "/x")
	f.ok(addr, request(addr, "GET /up/inner"))
	f.equal("target", outer.only().RequestURI, "/inner")
}

func checkSegment(f *fixture) {
	o := f.origin(nil)
	addr := f.front(o.URL)
	for _, path := range []string{"/upper", "/up%2Fx", "/UP/x"} {
		f.do(addr, request(addr, "GET "+path)).want(f, 404)
	}
	f.equal("requests at the upstream", o.count(), 0)
}
