package gateway

import (
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/host/gateway/http1"
	"github.com/gaia-host/gaia/subsystems/api"
)

// closeField is the value of Connection on the last answer of a connection.
var closeField = []string{"close"}

// exchange is one request on its way. It is used again only where nothing may hold on
// to it after the handler has returned.
type exchange struct {
	s   *Server
	set *settings
	w   *http1.ResponseWriter
	r   *http.Request
	cut bool // there is no answer to send

	call  api.Call
	url   url.URL
	steer steering
	body  *clientBody // nil: there is none
	room  [128]byte   // for the value of a field

	denial problem // what answer is given where it was denied

	interim func(int, textproto.MIMEHeader) error // passInterim, made once
}

// ServeHTTP answers one request of the server in http1, whose ResponseWriter it needs.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := s.exchange()
	x.set, x.w, x.r = s.live.Load(), w.(*http1.ResponseWriter), r
	if r.ContentLength != 0 {
		x.body = newClientBody(r, &s.memory)
		defer x.body.end()
	}
	x.serve()
	if x.cut {
		panic(http.ErrAbortHandler)
	}
	if x.body == nil && !x.call.Held && r.Method != http.MethodConnect {
		x.w.Release()
		s.putExchange(x)
	}
}

func (s *Server) exchange() *exchange {
	if x, ok := s.spare.Get().(*exchange); ok {
		return x
	}
	x := &exchange{s: s}
	x.interim = x.passInterim
	return x
}

// putExchange keeps an exchange that nothing refers to.
func (s *Server) putExchange(x *exchange) {
	*x = exchange{s: s, interim: x.interim}
	s.spare.Put(x)
}

func (x *exchange) serve() {
	var p *problem
	switch {
	case x.r.Method == http.MethodConnect:
		x.connect()
		return
	case strings.HasPrefix(x.r.RequestURI, "/"):
		p = x.route()
	default:
		p = x.forward()
	}
	if p == nil {
		p = x.prepare()
	}
	if p != nil {
		x.answer(p)
		return
	}
	x.do()
}

// route finds the route of an origin-form request.
func (x *exchange) route() *problem {
	path, query, asked := splitTarget(x.r.RequestURI)
	if p := x.admitted(); p != nil {
		return p
	}
	e := x.set.table.find(x.r.Host, path)
	switch {
	case e == nil:
		return &problem{status: http.StatusNotFound, kind: problemNoRoute, title: "no route serves this path", detail: x.set.table.list()}
	case e.loop:
		return loopProblem("the route " + e.Name)
	}
	x.call.Key, x.call.Group = e.Name, e.Group
	plain := x.r.URL.Path
	if e.StripPrefix {
		plain = plain[min(e.decoded-1, len(plain)):]
		if plain == "" {
			plain = "/"
		}
	}
	x.target(e.rest(path), plain, query, asked)
	return nil
}

// admitted checks who asks: routes spend the operator's keys.
func (x *exchange) admitted() *problem {
	if !x.set.hosts.allows(x.r.Host) {
		return &problem{status: http.StatusMisdirectedRequest, kind: problemHost, title: "this Host is not served",
			detail: "routes answer to loopback names and addresses, the listen address and the hosts of routes, not to " + quoted(x.r.Host),
			hint:   "add it to allowed_hosts if it is meant for this gateway"}
	}
	h := x.r.Header
	if crossSite(x.r.Method, first(h["Sec-Fetch-Site"]), first(h["Origin"]), x.r.Host) {
		return &problem{status: http.StatusForbidden, kind: problemCrossSite, title: "cross-site requests are refused",
			detail: "a browser sent this request on behalf of another site, and routes spend the operator's keys",
			hint:   "send it from a program, or from a page that this Host serves"}
	}
	return nil
}

// forward takes an absolute-form request.
func (x *exchange) forward() *problem {
	u := x.r.URL
	switch {
	case x.r.RequestURI == "*" || u.Scheme == "" || u.Host == "" || u.Hostname() == "":
		return badTarget("want a path or an absolute http:// URL with a host")
	case !x.set.forward:
		return forwardOff(http.StatusForbidden)
	case u.Scheme == "https":
		p := badTarget("https:// cannot be forwarded without a tunnel")
		p.hint = "send CONNECT, as HTTPS_PROXY does; or pace each request with --route NAME=https://" + u.Host + " and the base URL it prints"
		return p
	case u.Scheme != "http":
		return badTarget("only http:// is forwarded")
	case u.User != nil:
		return badTarget("credentials do not belong in the target; send Authorization")
	}
	if x.s.self.Load().has(authority(u)) {
		return loopProblem("the target " + quoted(u.Host))
	}
	x.call.Key, x.call.Profile = keyOf(u.Host, "80"), x.s.outer
	x.url.Scheme, x.url.Host = "http", u.Host
	path, query, asked := splitTarget(absolutePath(x.r.RequestURI))
	plain := u.Path
	if plain == "" {
		plain = "/"
	}
	x.target(path, plain, query, asked)
	return nil
}

// target fills in what follows the authority.
func (x *exchange) target(raw, plain, query string, asked bool) {
	outPath(&x.url, raw, plain, x.r.URL.RawPath != "")
	x.url.RawQuery, x.url.ForceQuery = query, asked && query == ""
}

// prepare reads what the caller says about its request, and fills in the call.
func (x *exchange) prepare() *problem {
	r, c := x.r, &x.call
	if fault := x.steer.take(r.Header); fault != "" {
		return &problem{status: http.StatusBadRequest, kind: problemBadRequest, title: "a Gaia field is wrong", detail: fault}
	}
	c.Method, c.URL, c.Header = r.Method, &x.url, r.Header
	c.Tenant, c.Priority, c.HasPriority = x.steer.tenant, x.steer.priority, x.steer.hasPriority
	c.Cost, c.Timeout = x.steer.cost, x.steer.timeout
	c.Got1xx = x.interim
	if x.body == nil {
		delete(r.Header, "Expect")
		return nil
	}
	return x.prepareBody()
}

// prepareBody bounds the body and hands it over.
func (x *exchange) prepareBody() *problem {
	c, b := &x.call, x.body
	if x.set.maxBody > 0 {
		if b.length > x.set.maxBody {
			b.state.Store(int32(bodyLarge))
			return x.tooLarge()
		}
		b.left = x.set.maxBody
	}
	c.Body, c.ContentLength, c.Trailer = b, b.length, b.trailer
	b.watch()
	return nil
}

// do sends the request when it may go and passes the answer on.
func (x *exchange) do() {
	res, err := x.s.pool.Do(x.r.Context(), &x.call)
	switch {
	case err != nil:
		x.fail(err)
	case res.StatusCode == http.StatusSwitchingProtocols:
		x.upgrade(res)
	case res.StatusCode < http.StatusOK:
		_ = res.Body.Close() // it is no answer
		x.answer(x.upstreamFailed(policy.ErrorOther, errNoAnswer))
	default:
		x.passAnswer(res)
	}
}

var errNoAnswer = errors.New("the upstream's status is not that of an answer")

// passInterim passes an informational answer on, while do waits. The server sends 100 by itself,
// when the upstream begins to read.
func (x *exchange) passInterim(code int, fields textproto.MIMEHeader) error {
	if code == http.StatusContinue || !x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	h := x.w.Header()
	passFields(h, http.Header(fields))
	x.w.WriteHeader(code)
	clear(h)
	return nil
}

// bodyState says how reading the body went.
func (x *exchange) bodyState() bodyState {
	if x.body == nil {
		return bodyDone
	}
	return bodyState(x.body.state.Load())
}

// closeUnread ends the connection after an answer that comes before the body's
// proper end: nothing that follows may be taken for a request.
func (x *exchange) closeUnread(h http.Header) {
	if x.bodyState() != bodyDone {
		h["Connection"] = closeField
	}
}

// drainBody takes in a short body that an answer of gaia's own does not need, so that
// the connection can be used again.
func (x *exchange) drainBody() {
	if x.bodyState() == bodyOpen {
		x.body.drain(x.w.SetReadDeadline)
	}
}

func badTarget(detail string) *problem {
	return &problem{status: http.StatusBadRequest, kind: problemBadTarget, title: "the request target is not served", detail: detail}
}

func forwardOff(status int) *problem {
	return &problem{status: status, kind: problemNoForward, title: "the forward proxy is off",
		detail: "this gateway serves its routes only", hint: "set gateway.forward_proxy: true"}
}

func loopProblem(what string) *problem {
	return &problem{status: http.StatusLoopDetected, kind: problemLoop, title: "a request of the gateway to itself",
		detail: what + " leads back to this gateway"}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// quoted is a text of the caller, bounded, for an answer to it.
func quoted(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "..."
	}
	return `"` + s + `"`
}
