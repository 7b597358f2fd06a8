package experiment

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gaia-host/gaia/extensions/limit"
	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/policy"
)

// limiterPolicy asks one of gaia's limiters through the natives, as a guest would. It
// is for one goroutine.
type limiterPolicy struct {
	policy.Base
	name   string
	l      *natives.Limiter
	call   *natives.Call
	tenant bool // counts on the tenant
	single bool // counts each request as one
	learns bool
}

func newLimiterPolicy(name string, st *Strategy, scope *natives.Scope) (*limiterPolicy, error) {
	kind, err := limit.ParseKind(st.Limiter)
	if err != nil {
		return nil, err
	}
	params, err := limiterParams(st.Params)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", st.Limiter, err)
	}
	// What an upstream says is of its own windows; a calendar's are longer.
	p := &limiterPolicy{name: name, call: scope.NewCall(), tenant: st.By == ByTenant, single: st.Count == CountRequests, learns: kind != limit.Calendar}
	if p.l, err = p.call.Limiter(kind, "limit", params); err != nil {
		return nil, err
	}
	p.call.Loaded()
	return p, nil
}

// Name implements policy.Policy.
func (p *limiterPolicy) Name() string { return p.name }

// Hooks implements policy.Policy.
func (p *limiterPolicy) Hooks() policy.Hooks {
	return policy.HooksOf(policy.HookRequest, policy.HookResponse)
}

// arg says what is counted, and on what.
func (p *limiterPolicy) arg(r *policy.Request) natives.Arg {
	a := natives.Arg{HasCost: p.single, Cost: 1}
	if p.tenant {
		a.Key, a.HasKey = r.Tenant, true
	}
	return a
}

// OnRequest takes the request's cost for its key, unless the strategy says otherwise.
func (p *limiterPolicy) OnRequest(r *policy.Request, d *policy.Decision) error {
	p.call.Begin(r, nil)
	defer p.call.End()
	return p.call.Admit(p.l, p.arg(r), d)
}

// OnResponse lets the limiter learn from the answer.
func (p *limiterPolicy) OnResponse(r *policy.Request, res *policy.Response, _ *policy.Decision) error {
	if !p.learns {
		return nil
	}
	p.call.Begin(r, res)
	defer p.call.End()
	return p.call.Learn(p.l, p.arg(r))
}

// limiterParams fills limit.Params by the names that policies use.
func limiterParams(params map[string]any) (limit.Params, error) {
	var p limit.Params
	v := reflect.ValueOf(&p).Elem()
	for name, value := range params {
		f := v.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, name) && unicode.IsLower(rune(name[0])) })
		if name == "" || !f.IsValid() {
			return p, fmt.Errorf("there is no parameter %q", name)
		}
		if err := setParam(f, value); err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p, nil
}

func setParam(f reflect.Value, value any) error {
	if f.Type() == reflect.TypeFor[time.Duration]() {
		d, err := policy.ParseDuration(value)
		f.SetInt(int64(d))
		return err
	}
	if s, ok := value.(string); ok && f.Kind() == reflect.String {
		f.SetString(s)
		return nil
	}
	if weights, ok := value.(map[string]any); ok && f.Kind() == reflect.String {
		parts := make([]string, 0, len(weights))
		for name, w := range weights {
			parts = append(parts, fmt.Sprintf("%s=%v", name, w))
		}
		slices.Sort(parts)
		f.SetString(strings.Join(parts, ","))
		return nil
	}
	n, ok := value.(float64)
	switch {
	case !ok || math.IsNaN(n) || math.Abs(n) > 1<<53:
		return fmt.Errorf("want a number, got %v", value)
	case f.CanFloat():
		f.SetFloat(n)
	case f.CanInt() && n == math.Trunc(n):
		f.SetInt(int64(n))
	default:
		return fmt.Errorf("want a whole number, got %v", value)
	}
	return nil
}

// oracle paces by what nobody can know: the upstreams' own limits and capacity.
type oracle struct {
	policy.Base
	buckets []oracleBucket
	answer  time.Duration // what nearly every answer takes: a longer wait would be in vain
}

type oracleBucket struct {
	l      limit.Limiter
	tokens bool
	rates  []rateAt // of a capacity that changes
	next   int
}

type rateAt struct {
	at   int64
	rate float64 // a second
}

// largestCost is what hardly a request costs more than; of recorded ones nobody knows.
func (s *Spec) largestCost() int64 {
	const hardly = 0.9999
	most := int64(1)
	for _, sc := range s.Scenarios.All() {
		if sc.Trace != nil {
			return math.MaxInt64
		}
		most = max(most, int64(sc.Cost.At(hardly)))
	}
	return most
}

// newOracle adds up what the upstreams bear. One that has no bound bounds nothing.
func newOracle(s *Spec) (*oracle, error) {
	o := &oracle{}
	requests, tokens, largest := math.Inf(1), math.Inf(1), int64(1)
	var capacity []rateAt
	for i, name := range s.Upstreams.Names() {
		u, _ := s.Upstreams.Get(name)
		c := u.config()
		const nearly = 0.99
		o.answer = max(o.answer, time.Duration(c.Latency.At(nearly)*float64(time.Millisecond)))
		r, k := math.Inf(1), math.Inf(1)
		for _, l := range c.Limits {
			per := l.Per
			if per == 0 {
				per = time.Second
			}
			if rate := float64(l.Quota) / per.Seconds(); l.Tokens {
				// A request takes its tokens at once: what one may exceed the pace by is kept back.
				kept := min(s.largestCost(), l.Quota/2)
				largest = max(largest, kept)
				k = min(k, float64(l.Quota-kept)/per.Seconds())
			} else {
				r = min(r, rate)
			}
		}
		if i == 0 {
			requests, tokens = r, k
		} else {
			requests, tokens = requests+r, tokens+k
		}
		capacity = addRates(capacity, capacityOf(&u), i == 0)
	}
	for _, b := range []struct {
		rate   float64
		tokens bool
		rates  []rateAt
	}{{requests, false, nil}, {tokens, true, nil}, {capacity[0].rate, false, capacity}} {
		if math.IsInf(b.rate, 1) {
			continue
		}
		params := bucketOf(b.rate)
		if b.tokens {
			params.Burst = max(params.Burst, largest)
		}
		l, err := limit.New(limit.TokenBucket, params)
		if err != nil {
			return nil, err
		}
		o.buckets = append(o.buckets, oracleBucket{l: l, tokens: b.tokens, rates: b.rates, next: 1})
	}
	return o, nil
}

// bucketOf paces strictly: whatever the upstream's windows are, none is overrun. A
// rate of 0 is one in a long time.
func bucketOf(rate float64) limit.Params {
	const longest = 1e-3
	return limit.Params{Rate: max(rate, longest), Burst: max(1, int64(rate/100)), MaxWait: time.Hour}
}

// capacityOf is the rate that the servers of u bear over time.
func capacityOf(u *Upstream) []rateAt {
	c := u.config()
	mean := c.Latency.Mean() / 1000
	if c.Servers == 0 || mean == 0 {
		return []rateAt{{virtualStart, math.Inf(1)}}
	}
	servers, speed := float64(c.Servers), 1.0
	rates := []rateAt{{virtualStart, servers / mean}}
	for _, s := range c.Steps {
		if s.Servers > 0 {
			servers = float64(s.Servers)
		}
		if s.Speed > 0 {
			speed = s.Speed
		}
		rates = append(rates, rateAt{virtualStart + int64(s.At), servers * speed / mean})
	}
	return rates
}

// addRates adds two functions of time.
func addRates(a, b []rateAt, first bool) []rateAt {
	if first {
		return b
	}
	var sum []rateAt
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case j == len(b) || i < len(a) && a[i].at < b[j].at:
			i++
		case i == len(a) || b[j].at < a[i].at:
			j++
		default:
			i, j = i+1, j+1
		}
		x, y := a[max(i-1, 0)], b[max(j-1, 0)]
		sum = append(sum, rateAt{max(x.at, y.at), x.rate + y.rate})
	}
	return sum
}

// Name implements policy.Policy.
func (o *oracle) Name() string { return KindOracle }

// OnRequest takes from every bucket.
func (o *oracle) OnRequest(r *policy.Request, d *policy.Decision) error {
	wait := time.Duration(-1)
	if r.Deadline > 0 {
		wait = max(0, time.Duration(r.Deadline-r.Now)-o.answer)
	}
	for i := range o.buckets {
		b := &o.buckets[i]
		for ; b.next < len(b.rates) && b.rates[b.next].at <= r.Now; b.next++ {
			if err := b.l.Set(bucketOf(b.rates[b.next].rate)); err != nil {
				return err
			}
		}
		cost := int64(1)
		if b.tokens {
			cost = r.Cost
		}
		res := b.l.Take(r.Now, "", cost, wait)
		if !res.OK {
			d.Action, d.RetryAfter = policy.ActionDeny, res.Wait
			return nil
		}
		r.Ledger.Add(policy.Entry{Limiter: KindOracle, Cost: cost, Taken: r.Now, OK: true, Wait: res.Wait, From: b.l})
		if res.Wait > 0 && res.Wait > d.Delay {
			d.Action, d.Delay = policy.ActionDelay, res.Wait
		}
	}
	return nil
}
