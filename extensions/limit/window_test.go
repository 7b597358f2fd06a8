package limit

import (
	"testing"
	"time"
)

// Days and months are those of the zone, also where its clocks change, and what
// was used survives a restart.
func TestCalendar(t *testing.T) {
	at := func(text string) int64 {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when.UnixNano()
	}
	for _, c := range []struct{ every, zone, now, reset string }{
		{"day", "", "2026-03-29T12:00:00Z", "2026-03-30T00:00:00Z"},
		{"day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T22:00:00Z"}, // 23 hours long
		{"day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25T23:00:00Z"}, // 25 hours long
		{"day", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-05T02:00:00Z"},
		{"month", "", "2026-02-10T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"month", "America/New_York", "2026-12-31T12:00:00Z", "2027-01-01T05:00:00Z"},
		{"week", "", "2026-11-26T08:00:00Z", "2026-11-30T00:00:00Z"},
		{"hour", "Asia/Kolkata", "2026-11-26T08:10:00Z", "2026-11-26T09:00:00Z"},
	} {
		p := Params{Max: 3, Every: c.every, Zone: c.zone}
		l := mustNew(t, Calendar, p)
		now, reset := at(c.now), at(c.reset)
		for range 3 {
			l.Take(now, "k", 1, 0)
		}
		r := l.Take(now+1, "k", 1, 0)
		if r.OK || int64(r.Wait) != reset-now-1 {
			t.Errorf("%s %s at %s: %+v, want a wait until %s", c.every, c.zone, c.now, r, c.reset)
		}
		again := mustNew(t, Calendar, p)
		l.Export(now+1, func(r Record) bool { again.Import(now+2, r); return true })
		if r := again.Take(reset-1, "k", 1, 0); r.OK {
			t.Errorf("%s %s: a restart gave it back", c.every, c.zone)
		}
		if r := again.Take(reset, "k", 1, 0); !r.OK {
			t.Errorf("%s %s: closed after its reset: %+v", c.every, c.zone, r)
		}
	}
	if err := Calendar.Check(Params{Max: 1, Zone: "Nowhere/Else"}); err == nil {
		t.Error("an unknown zone is accepted")
	}
}

// An upstream that counts by the minute does not use up a day: it closes it for as long as
// it says. One that counts by the day does.
func TestCalendarLearnsFromItsOwnWindowAlone(t *testing.T) {
	const day = 24 * time.Hour
	now := t0 - t0%int64(day) + int64(12*time.Hour)
	for _, c := range []struct {
		f         Feedback
		remaining int64
		wait      time.Duration
	}{
		{answer(200, 60, 3, 20*time.Second, now), 999, 0},
		{answer(200, 60, 0, 20*time.Second, now), 999, 20 * time.Second},
		{answer(200, 60, 3, -1, now), 999, 0},
		{answer(200, 1000, 3, 12*time.Hour, now), 3, 0},
		{answer(200, 1000, 3, 12*time.Hour-time.Second, now), 3, 0},
		{answer(200, 90_000, 3, 40*time.Hour, now), 3, 0},
	} {
		l := mustNew(t, Calendar, Params{Max: 1000, Every: "day"})
		l.Take(now, "k", 1, 0)
		l.Learn(now, "k", c.f)
		if r := l.Peek(now, "k", 1); r.Wait != c.wait || c.wait == 0 && r.Remaining != c.remaining-1 {
			t.Errorf("%+v: %+v, want %d left and a wait of %v", c.f, r, c.remaining, c.wait)
		}
		if r := l.Peek(now+int64(c.wait), "k", 1); r.Remaining != c.remaining-1 {
			t.Errorf("%+v: later %+v, want %d left", c.f, r, c.remaining)
		}
	}
}
