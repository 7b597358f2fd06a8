package host

import (
	events "container/heap"

	"github.com/gaia-host/gaia/extensions/policy"
)

// due is something that happens at a time: the answer res of an attempt, or the end of a wait.
type due struct {
	at    int64
	seq   uint64
	call  int
	epoch int
	res   *policy.Response
}

func (r *Rehearsal) push(d due) {
	r.seq++
	d.seq = r.seq
	events.Push(&r.due, d)
}

// dues are ordered by time, and of one time as they were made.
type dues []due

func (d dues) Len() int { return len(d) }
func (d dues) Less(i, j int) bool {
	return d[i].at < d[j].at || d[i].at == d[j].at && d[i].seq < d[j].seq
}
func (d dues) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *dues) Push(x any) { *d = append(*d, x.(due)) }

// Pop implements heap.Interface.
func (d *dues) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}

// pop takes the first of them.
func (d *dues) pop() due { return events.Pop(d).(due) }
