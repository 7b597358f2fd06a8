package gatewaytest

import "strings"

// malformed is one request that is wrong, ambiguous or unusual, and what becomes
// of it. HOST stands for the gateway's address, NEXT for a second request that
// an engine might take for one of its own.
type malformed struct {
	name string
	raw  string

	// verdict is the status with which net/http of Go 1.26 answers the first
	// request. An engine must agree on whether the request is served (2xx) or
	// refused (4xx, 501, 505, or the connection closed without an answer).
	verdict int
	// strict permits a refusal though net/http serves: the RFC does as well.
	strict bool
	// body is what the upstream must have received where the request is served.
	body string
	// pair says that NEXT is a request of its own by the framing that
	// RFC 9112 gives the first; it is served or the connection is closed.
	pair bool
}

const (
	// up begins a POST to the route with its Host.
	up = "POST /up/ HTTP/1.1\r\nHost: HOST\r\n"
	// get begins a GET.
	get = "GET /up/ HTTP/1.1\r\nHost: HOST\r\n"
	// te announces chunked.
	te = "Transfer-Encoding: chunked\r\n"
)

func malformedTable() []malformed {
	var all []malformed
	for _, part := range [][]malformed{malformedLengths(), malformedCodings(), malformedChunks(), malformedFields(), malformedLines()} {
		all = append(all, part...)
	}
	return all
}

func malformedLengths() []malformed {
	return []malformed{
		{name: "cl-plain", raw: up + "Content-Length: 5\r\n\r\nhelloNEXT", verdict: 200, body: "hello", pair: true},
		{name: "cl-two-differing", raw: up + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nNEXT", verdict: 400},
		{name: "cl-two-differing-reversed", raw: up + "Content-Length: 0\r\nContent-Length: 5\r\n\r\nNEXT", verdict: 400},
		{name: "cl-two-equal", raw: up + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhelloNEXT", verdict: 200, strict: true, body: "hello", pair: true},
		{name: "cl-list-equal", raw: up + "Content-Length: 5, 5\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-list-differing", raw: up + "Content-Length: 5, 6\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-plus", raw: up + "Content-Length: +5\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-negative", raw: up + "Content-Length: -5\r\n\r\nNEXT", verdict: 400},
		{name: "cl-hex", raw: up + "Content-Length: 0x5\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-inner-space", raw: up + "Content-Length: 5 0\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-underscore", raw: up + "Content-Length: 1_0\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-decimal-point", raw: up + "Content-Length: 5.0\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-empty", raw: up + "Content-Length:\r\n\r\nNEXT", verdict: 400},
		{name: "cl-leading-zeros", raw: up + "Content-Length: 0005\r\n\r\nhelloNEXT", verdict: 200, strict: true, body: "hello", pair: true},
		{name: "cl-leading-tab", raw: up + "Content-Length:\t5\r\n\r\nhelloNEXT", verdict: 200, strict: true, body: "hello", pair: true},
		{name: "cl-overflow", raw: up + "Content-Length: 18446744073709551621\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-vertical-tab", raw: up + "Content-Length: \v5\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-nul", raw: up + "Content-Length: 5\x00\r\n\r\nhelloNEXT", verdict: 400},
		{name: "cl-space-before-colon", raw: up + "Content-Length : 5\r\n\r\nhelloNEXT", verdict: 400},
	}
}

func malformedCodings() []malformed {
	return []malformed{
		{name: "te-plain", raw: up + te + "\r\n5\r\nhello\r\n0\r\n\r\nNEXT", verdict: 200, body: "hello", pair: true},
		{name: "te-and-cl", raw: up + "Content-Length: 5\r\n" + te + "\r\n0\r\n\r\nNEXT", verdict: 200, strict: true, pair: true},
		{name: "te-and-cl-reversed", raw: up + te + "Content-Length: 500\r\n\r\n0\r\n\r\nNEXT", verdict: 200, strict: true, pair: true},
		{name: "te-and-bad-cl", raw: up + te + "Content-Length: x\r\n\r\n0\r\n\r\nNEXT", verdict: 400},
		{name: "te-xchunked", raw: up + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-identity", raw: up + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhelloNEXT", verdict: 501},
		{name: "te-chunked-identity", raw: up + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-gzip-chunked", raw: up + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-twice", raw: up + te + te + "\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-twice-identity", raw: up + te + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-twice-reversed", raw: up + "Transfer-Encoding: identity\r\n" + te + "\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-case", raw: up + "transfer-encoding: ChUnKeD\r\n\r\n5\r\nhello\r\n0\r\n\r\nNEXT", verdict: 200, body: "hello", pair: true},
		{name: "te-trailing-space", raw: up + "Transfer-Encoding: chunked \t\r\n\r\n5\r\nhello\r\n0\r\n\r\nNEXT", verdict: 200, strict: true, body: "hello", pair: true},
		{name: "te-vertical-tab", raw: up + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\nNEXT", verdict: 400},
		{name: "te-quoted", raw: up + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-parameter", raw: up + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-comma", raw: up + "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\nNEXT", verdict: 501},
		{name: "te-empty", raw: up + "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhelloNEXT", verdict: 501},
		{name: "te-space-before-colon", raw: up + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nNEXT", verdict: 400},
		{name: "te-folded", raw: up + "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nNEXT", verdict: 200, strict: true, pair: true},
		{name: "te-underscore", raw: up + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhelloNEXT", verdict: 200, strict: true, body: "hello", pair: true},
		{name: "te-http-1.0", raw: "POST /up/ HTTP/1.0\r\nHost: HOST\r\n" + te + "Content-Length: 5\r\n\r\nhelloNEXT", verdict: 200, strict: true, body: "hello"},
	}
}

func malformedChunks() []malformed {
	chunk := func(raw string) string { return up + te + "\r\n" + raw }
	return []malformed{
		{name: "chunk-extension", raw: chunk("5;a=b;c\r\nhello\r\n0;d\r\n\r\nNEXT"), verdict: 200, strict: true, body: "hello", pair: true},
		{name: "chunk-extension-long", raw: chunk("5;" + strings.Repeat("a", 32<<10) + "\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-extension-newline", raw: chunk("5;a\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-leading-zeros", raw: chunk("0005\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 200, strict: true, body: "hello", pair: true},
		{name: "chunk-size-upper-case", raw: chunk("A\r\n0123456789\r\n0\r\n\r\nNEXT"), verdict: 200, body: "0123456789", pair: true},
		{name: "chunk-size-negative", raw: chunk("-5\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-plus", raw: chunk("+5\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-prefixed", raw: chunk("0x5\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-overflow", raw: chunk("10000000000000005\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-empty", raw: chunk("\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-text", raw: chunk("five\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-leading-space", raw: chunk(" 5\r\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-trailing-space", raw: chunk("5 \r\nhello\r\n0\r\n\r\nNEXT"), verdict: 200, strict: true, body: "hello", pair: true},
		{name: "chunk-size-bare-newline", raw: chunk("5\nhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-size-bare-return", raw: chunk("5\rhello\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-data-long", raw: chunk("5\r\nhello!\r\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-data-without-end", raw: chunk("5\r\nhello0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-data-bare-newline", raw: chunk("5\r\nhello\n0\r\n\r\nNEXT"), verdict: 400},
		{name: "chunk-last-without-end", raw: chunk("5\r\nhello\r\n0\r\nNEXT"), verdict: 400},
		{name: "trailer-names-framing", raw: chunk("5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\nHost: evil\r\n\r\nNEXT"), verdict: 200, strict: true, body: "hello", pair: true},
		{name: "trailer-malformed", raw: chunk("5\r\nhello\r\n0\r\nNo colon\r\n\r\nNEXT"), verdict: 400},
	}
}

func malformedFields() []malformed {
	field := func(raw string) string { return get + raw + "\r\n\r\nNEXT" }
	return []malformed{
		{name: "field-folded", raw: field("X-Fold: a\r\n b"), verdict: 200, strict: true, pair: true},
		{name: "field-folded-tab", raw: field("X-Fold: a\r\n\tContent-Length: 50"), verdict: 200, strict: true, pair: true},
		{name: "field-first-folded", raw: "GET /up/ HTTP/1.1\r\n X: y\r\nHost: HOST\r\n\r\nNEXT", verdict: 400},
		{name: "field-space-before-colon", raw: field("X-Space : a"), verdict: 400},
		{name: "field-no-colon", raw: field("X-Nothing"), verdict: 400},
		{name: "field-no-name", raw: field(": a"), verdict: 400},
		{name: "field-name-space", raw: field("X Space: a"), verdict: 400},
		{name: "field-name-paren", raw: field("X(Y): a"), verdict: 400},
		{name: "field-name-nul", raw: field("X\x00Y: a"), verdict: 400},
		{name: "field-name-utf-8", raw: field("X-\xc3\xa9: a"), verdict: 400},
		{name: "field-name-colon-only-in-value", raw: field("X-A: b: c"), verdict: 200, pair: true},
		{name: "field-value-nul", raw: field("X-Nul: a\x00b"), verdict: 400},
		{name: "field-value-bare-return", raw: field("X-Cr: a\rContent-Length: 50"), verdict: 400},
		{name: "field-value-delete", raw: field("X-Del: a\x7fb"), verdict: 400},
		{name: "field-value-control", raw: field("X-Ctl: a\x01b"), verdict: 400},
		{name: "field-value-tab", raw: field("X-Tab: a\tb"), verdict: 200, pair: true},
		{name: "field-bare-newline-splits", raw: field("X-Lf: a\nX-Split: b"), verdict: 200, strict: true, pair: true},
		{name: "head-bare-newlines", raw: "GET /up/ HTTP/1.1\nHost: HOST\n\nNEXT", verdict: 200, strict: true, pair: true},
		{name: "head-ends-bare-newline", raw: get + "X-A: b\r\n\nNEXT", verdict: 200, strict: true, pair: true},
		{name: "head-bare-returns", raw: "GET /up/ HTTP/1.1\rHost: HOST\r\rNEXT", verdict: 400},
		{name: "host-missing", raw: "GET /up/ HTTP/1.1\r\n\r\nNEXT", verdict: 400},
		{name: "host-twice", raw: field("Host: other.example"), verdict: 400},
		{name: "host-twice-equal", raw: field("Host: HOST"), verdict: 400},
		{name: "host-with-space", raw: "GET /up/ HTTP/1.1\r\nHost: a b\r\n\r\nNEXT", verdict: 400},
		{name: "host-with-slash", raw: "GET /up/ HTTP/1.1\r\nHost: a/b\r\n\r\nNEXT", verdict: 400, strict: true},
		{name: "expect-unknown", raw: field("Expect: the-unexpected"), verdict: 417},
	}
}

func malformedLines() []malformed {
	line := func(raw string) string { return raw + "\r\nHost: HOST\r\n\r\nNEXT" }
	return []malformed{
		{name: "line-path-without-slash", raw: line("GET up/ HTTP/1.1"), verdict: 400},
		{name: "line-empty-target", raw: line("GET  HTTP/1.1"), verdict: 400},
		{name: "line-two-words", raw: line("GET /up/"), verdict: 400},
		{name: "line-http-0.9", raw: "GET /up/\r\n\r\nNEXT", verdict: 400},
		{name: "line-extra-word", raw: line("GET /up/ x HTTP/1.1"), verdict: 400},
		{name: "line-two-spaces", raw: line("GET  /up/ HTTP/1.1"), verdict: 400},
		{name: "line-tab", raw: line("GET\t/up/\tHTTP/1.1"), verdict: 400},
		{name: "line-leading-space", raw: line(" GET /up/ HTTP/1.1"), verdict: 400},
		{name: "line-trailing-space", raw: line("GET /up/ HTTP/1.1 "), verdict: 400},
		{name: "line-leading-newline", raw: line("\r\nGET /up/ HTTP/1.1"), verdict: 400},
		{name: "line-method-bad", raw: line("GE(T /up/ HTTP/1.1"), verdict: 400},
		{name: "line-method-nul", raw: line("GE\x00T /up/ HTTP/1.1"), verdict: 400},
		{name: "line-method-lower-case", raw: line("get /up/ HTTP/1.1"), verdict: 200, strict: true, pair: true},
		{name: "line-nul-in-path", raw: line("GET /up/\x00 HTTP/1.1"), verdict: 400},
		{name: "line-bare-return", raw: line("GET /up/\rX HTTP/1.1"), verdict: 400},
		{name: "line-bad-escape", raw: line("GET /up/%zz HTTP/1.1"), verdict: 400},
		{name: "line-http-1.2", raw: line("GET /up/ HTTP/1.2"), verdict: 200, strict: true, pair: true},
		{name: "line-http-2.0", raw: line("GET /up/ HTTP/2.0"), verdict: 505},
		{name: "line-http-3.0", raw: line("GET /up/ HTTP/3.0"), verdict: 505},
		{name: "line-http-1", raw: line("GET /up/ HTTP/1"), verdict: 400},
		{name: "line-http-1.10", raw: line("GET /up/ HTTP/1.10"), verdict: 400},
		{name: "line-http-lower-case", raw: line("GET /up/ http/1.1"), verdict: 400},
		{name: "line-http-2-preface", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nNEXT", verdict: 400},
		{name: "line-asterisk", raw: line("GET * HTTP/1.1"), verdict: 400, pair: true},
		{name: "line-huge", raw: line("GET /up/" + strings.Repeat("x", 2<<20) + " HTTP/1.1"), verdict: 431},
		{name: "tls-hello", raw: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 64) + "\r\n\r\nNEXT", verdict: 400},
		{name: "bytes", raw: strings.Repeat("\xff\x00", 512) + "\r\n\r\nNEXT", verdict: 400},
	}
}
