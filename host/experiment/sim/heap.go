package sim

// event is something that happens at a time. Events of one time happen in the order
// in which they were pushed, so that a run is the same every time.
type event struct {
	at    int64
	seq   uint64
	call  int32  // index of the call it is about, of an upstream, or of a scenario
	epoch uint32 // of the call: an event for an earlier state of it is stale; of think: the user
	kind  kind
}

type kind uint8

const (
	wake   kind = iota // a wait of admission is over
	answer             // an upstream answers
	leave              // the caller's patience ends
	retry              // the caller tries again
	think              // a user of a closed loop sends the next request
	room               // an upstream may have room for those who wait
	tick               // a second has passed
)

// before orders events.
func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// heap is a 4-ary min-heap of events: half the levels of a binary one, and the
// children of a node lie side by side.
type heap struct{ events []event }

func (h *heap) push(e event) {
	h.events = append(h.events, e)
	es, i := h.events, len(h.events)-1
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&es[p]) {
			break
		}
		es[i] = es[p]
		i = p
	}
	es[i] = e
}

// pop removes the first event. The heap must not be empty.
func (h *heap) pop() event {
	es := h.events
	first, last := es[0], es[len(es)-1]
	es = es[:len(es)-1]
	h.events = es
	if len(es) == 0 {
		return first
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= len(es) {
			break
		}
		least := c
		for k := c + 1; k < min(c+4, len(es)); k++ {
			if es[k].before(&es[least]) {
				least = k
			}
		}
		if !es[least].before(&last) {
			break
		}
		es[i] = es[least]
		i = least
	}
	es[i] = last
	return first
}

// Unit is one push and one pop of the heap of events with some of them pending: what
// the cost of a simulated request is counted in. It is for one goroutine.
type Unit struct {
	h   heap
	seq uint64
}

// NewUnit returns a Unit with so many events pending, at least one.
func NewUnit(pending int) *Unit {
	u := &Unit{}
	for range max(pending, 1) {
		u.seq++
		u.h.push(event{at: int64(u.seq * 7919 % 1000), seq: u.seq})
	}
	return u
}

// Turn pops an event and pushes it for a later time.
func (u *Unit) Turn() {
	e := u.h.pop()
	u.seq++
	e.at, e.seq = e.at+int64(u.seq*7919%1000), u.seq
	u.h.push(e)
}
