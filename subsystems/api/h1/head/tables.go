package head

// Kinds of bytes in a name.
const (
	notToken = iota
	lower
	upper
	other
)

// kinds sorts bytes by RFC 9110, 5.6.2: what may stand in a token.
var kinds = [256]uint8{
	'!': other, '#': other, '$': other, '%': other, '&': other, '\'': other, '*': other, '+': other,
	'-': other, '.': other, '^': other, '_': other, '`': other, '|': other, '~': other,

	'0': other, '1': other, '2': other, '3': other, '4': other, '5': other, '6': other, '7': other, '8': other, '9': other,

	'A': upper, 'B': upper, 'C': upper, 'D': upper, 'E': upper, 'F': upper, 'G': upper, 'H': upper, 'I': upper,
	'J': upper, 'K': upper, 'L': upper, 'M': upper, 'N': upper, 'O': upper, 'P': upper, 'Q': upper, 'R': upper,
	'S': upper, 'T': upper, 'U': upper, 'V': upper, 'W': upper, 'X': upper, 'Y': upper, 'Z': upper,

	'a': lower, 'b': lower, 'c': lower, 'd': lower, 'e': lower, 'f': lower, 'g': lower, 'h': lower, 'i': lower,
	'j': lower, 'k': lower, 'l': lower, 'm': lower, 'n': lower, 'o': lower, 'p': lower, 'q': lower, 'r': lower,
	's': lower, 't': lower, 'u': lower, 'v': lower, 'w': lower, 'x': lower, 'y': lower, 'z': lower,
}

// maxKnown is the length of the longest name in known.
const maxKnown = 32

// known are names that programs like to send in lower case.
var known = map[string]string{
	"Accept": "Accept", "Accept-Charset": "Accept-Charset", "Accept-Encoding": "Accept-Encoding",
	"Accept-Language": "Accept-Language", "Accept-Ranges": "Accept-Ranges", "Age": "Age", "Allow": "Allow",
	"Authorization": "Authorization", "Baggage": "Baggage", "Cache-Control": "Cache-Control", "Connection": "Connection",
	"Content-Disposition": "Content-Disposition", "Content-Encoding": "Content-Encoding", "Content-Language": "Content-Language",
	"Content-Length": "Content-Length", "Content-Range": "Content-Range", "Content-Type": "Content-Type", "Cookie": "Cookie",
	"Date": "Date", "Dnt": "Dnt", "Etag": "Etag", "Expect": "Expect", "Expires": "Expires", "Forwarded": "Forwarded",
	"From": "From", "Gaia-Cost": "Gaia-Cost", "Gaia-Priority": "Gaia-Priority", "Gaia-Tenant": "Gaia-Tenant",
	"Gaia-Timeout": "Gaia-Timeout", "Host": "Host", "Idempotency-Key": "Idempotency-Key", "If-Match": "If-Match",
	"If-Modified-Since": "If-Modified-Since", "If-None-Match": "If-None-Match", "If-Range": "If-Range",
	"Keep-Alive": "Keep-Alive", "Last-Modified": "Last-Modified", "Link": "Link", "Location": "Location", "Origin": "Origin",
	"Pragma": "Pragma", "Priority": "Priority", "Range": "Range", "Referer": "Referer", "Retry-After": "Retry-After",
	"Sec-Fetch-Dest": "Sec-Fetch-Dest", "Sec-Fetch-Mode": "Sec-Fetch-Mode", "Sec-Fetch-Site": "Sec-Fetch-Site",
	"Sec-Websocket-Accept": "Sec-Websocket-Accept", "Sec-Websocket-Key": "Sec-Websocket-Key",
	"Sec-Websocket-Version": "Sec-Websocket-Version", "Server": "Server", "Set-Cookie": "Set-Cookie",
	"Strict-Transport-Security": "Strict-Transport-Security", "Te": "Te", "Traceparent": "Traceparent",
	"Tracestate": "Tracestate", "Trailer": "Trailer", "Transfer-Encoding": "Transfer-Encoding", "Upgrade": "Upgrade",
	"User-Agent": "User-Agent", "Vary": "Vary", "Via": "Via", "Www-Authenticate": "Www-Authenticate", "X-Api-Key": "X-Api-Key",
	"X-Forwarded-For": "X-Forwarded-For", "X-Forwarded-Host": "X-Forwarded-Host", "X-Forwarded-Proto": "X-Forwarded-Proto",
	"X-Ratelimit-Limit-Requests": "X-Ratelimit-Limit-Requests", "X-Ratelimit-Limit-Tokens": "X-Ratelimit-Limit-Tokens",
	"X-Ratelimit-Remaining-Requests": "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Remaining-Tokens": "X-Ratelimit-Remaining-Tokens",
	"X-Ratelimit-Reset-Requests": "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens": "X-Ratelimit-Reset-Tokens",
	"X-Real-Ip": "X-Real-Ip", "X-Request-Id": "X-Request-Id", "X-Tenant": "X-Tenant",
}
