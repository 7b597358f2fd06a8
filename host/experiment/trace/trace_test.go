package trace

import (
	"strings"
	"testing"
	"time"

	"github.com/gaia-host/gaia/host/experiment/sim"
)

func read(t *testing.T, c Config, text string) []sim.Row {
	t.Helper()
	d, err := Read(strings.NewReader(text), c)
	if err != nil {
		t.Fatal(err)
	}
	var rows []sim.Row
	for it := d.Rows(); ; {
		r, ok := it.Next()
		if !ok {
			return rows
		}
		rows = append(rows, r)
	}
}

func TestFormats(t *testing.T) {
	rows := read(t, Config{File: "a.csv", Columns: map[string]string{"time": "TIMESTAMP", "cost": "Tokens", "key": "app"}},
		"\ufeffTIMESTAMP,app, Tokens\n2023-11-16 18:17:03.9799600,x,10\n2023-11-16 18:17:02.9799600,\"y,z\",20.4\n\n")
	if len(rows) != 2 || rows[0] != (sim.Row{Key: "y,z", Cost: 20, Service: -1}) || rows[1].At != int64(time.Second) || rows[1].Key != "x" {
		t.Errorf("%+v", rows)
	}
	rows = read(t, Config{File: "a.jsonl"}, `{"time":1000,"key":"k","cost":3,"service":7,"more":{"a":1}}`+"\n"+`{"time":1500.5,"tenant":"t","service":9}`)
	if len(rows) != 2 || rows[0].Service != 0.25 || rows[1].Service != 0.75 || rows[1].At != 500_500_000 || rows[1].Tenant != "t" || rows[0].Cost != 3 {
		t.Errorf("%+v", rows)
	}
	rows = read(t, Config{File: "access.log"}, `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326
127.0.0.2 - - [10/Oct/2000:13:55:38 -0700] "POST /b HTTP/1.1" 404 1 "-" "agent"`)
	if len(rows) != 2 || rows[0].Tenant != "frank" || rows[1].Key != "127.0.0.2" || rows[1].At != int64(2*time.Second) {
		t.Errorf("%+v", rows)
	}
}

func TestSliceAndScale(t *testing.T) {
	text := "time\n10\n11\n12\n13\n14\n"
	rows := read(t, Config{File: "a.csv", From: "1s", To: "3s", Scale: 2}, text)
	if len(rows) != 2 || rows[0].At != 0 || rows[1].At != int64(2*time.Second) {
		t.Errorf("%+v", rows)
	}
}

// Times far apart, and stretched without end, stay in order.
func TestFarTimes(t *testing.T) {
	rows := read(t, Config{File: "a.csv", Scale: 1e300}, "time\n-4.6e9\n4.6e9\n0\n")
	if len(rows) != 3 || rows[0].At != 0 || rows[1].At <= 0 || rows[2].At < rows[1].At {
		t.Errorf("%+v", rows)
	}
}

func TestWrongTracesNameTheLine(t *testing.T) {
	for _, c := range []struct {
		Config
		text, want string
	}{
		{Config{File: "a.csv"}, "", "column"},
		{Config{File: "a.csv"}, "t\n1\n", `a.csv:1: there is no column "time"`},
		{Config{File: "a.csv"}, "time\n1\nx\n", "a.csv:3: time"},
		{Config{File: "a.csv"}, "time\n\"1\n", "a.csv:2:"},
		{Config{File: "a.csv"}, "time\n", "no rows"},
		{Config{File: "a.csv", From: "1h"}, "time\n1\n", "no rows between"},
		{Config{File: "a.csv"}, "time,cost\n1,-1\n", "a.csv:2: cost"},
		{Config{File: "a.csv"}, "time\n1e300\n", "out of range"},
		{Config{File: "a.csv"}, "time\n1\n-6e9\n", "a.csv:3: time \"-6e9\" is out of range"},
		{Config{File: "a.csv"}, "time\n9999-01-01T00:00:00Z\n", "out of range"},
		{Config{File: "a.csv"}, "time\nNaN\n", "out of range"},
		{Config{File: "a.csv"}, "time,cost\n1,1e13\n", "a.csv:2: cost"},
		{Config{File: "a.csv"}, "time,service\n1,-1\n", "a.csv:2: service"},
		{Config{File: "a.jsonl"}, "{\"time\":1}\n[]\n", "a.jsonl:2:"},
		{Config{File: "a.log"}, "nonsense\n", "a.log:1:"},
		{Config{File: "a.log", Format: "xml"}, "", "unknown format"},
		{Config{File: "a.csv", Columns: map[string]string{"when": "t"}}, "", "unknown"},
		{Config{File: "a.jsonl"}, strings.Repeat("x", maxLine+1), "a.jsonl:1:"},
	} {
		if _, err := Read(strings.NewReader(c.text), c.Config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.Config, err, c.want)
		}
	}
	if _, err := Load(Config{File: "/dev/zero"}); err == nil {
		t.Error("a device was read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("time,key\n1,a\n", "csv")
	f.Add(`{"time":1}`, "jsonl")
	f.Add(`1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1`, "access")
	f.Fuzz(func(t *testing.T, text, format string) {
		d, err := Read(strings.NewReader(text), Config{File: "f", Format: format})
		if err != nil {
			return
		}
		last := int64(0)
		for it := d.Rows(); ; {
			r, ok := it.Next()
			if !ok {
				break
			}
			if r.At < last || r.Cost < 0 || r.Service >= 1 {
				t.Fatalf("%+v after %d", r, last)
			}
			last = r.At
		}
	})
}

// Of gaia's own recordings the attempts after the first are left out: an experiment
// tries again by itself.
func TestRecordingsHaveFirstAttempts(t *testing.T) {
	rows := read(t, Config{File: "a.jsonl"}, `{"schema":"gaia.record/v1","time":1,"key":"k","attempt":1}
{"schema":"gaia.record/v1","time":2,"key":"k","attempt":2}
{"time":3,"key":"k","attempt":2}`)
	if len(rows) != 2 || rows[1].At != int64(2*time.Millisecond) {
		t.Errorf("%+v", rows)
	}
}
