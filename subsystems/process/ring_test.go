package process

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func TestRingKeepsTheEnd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 7, 64} {
		r := &ring{max: size}
		var all []byte
		for range 200 {
			b := make([]byte, rnd.IntN(3*size+3))
			for i := range b {
				b[i] = byte(rnd.Uint32())
			}
			if n, err := r.Write(b); n != len(b) || err != nil {
				t.Fatal(n, err)
			}
			all = append(all, b...)
			want := all[max(0, len(all)-size):]
			if got := r.tail(1000); !bytes.Equal(got, want) {
				t.Fatalf("size %d after %d: %v, want %v", size, len(all), got, want)
			}
			if r.written() != int64(len(all)) {
				t.Fatal("count")
			}
			if got := r.tail(3); !bytes.Equal(got, want[max(0, len(want)-3):]) {
				t.Fatalf("tail %v of %v", got, want)
			}
		}
	}
}

func TestRingMemoryGrowsWithUse(t *testing.T) {
	r := &ring{max: 1 << 20}
	_, _ = r.Write([]byte("short"))
	r.finish()
	if cap(r.buf) > 64 {
		t.Errorf("%d bytes for 5", cap(r.buf))
	}
}

func TestLogFileRotates(t *testing.T) {
	path := t.TempDir() + "/[x]*.log"
	l, err := openLog(path, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte(strings.Repeat("a", 10) + strings.Repeat("b", 10) + strings.Repeat("c", 10) + "d")); err != nil {
		t.Fatal(err)
	}
	l.close()
	for name, want := range map[string]string{path: "d", path + ".1": "cccccccccc", path + ".2": "bbbbbbbbbb", path + ".3": ""} {
		if got := readFile(name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	l, err = openLog(path, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	if got := readFile(path + ".1"); got != "d" {
		t.Errorf("the earlier file holds %q", got)
	}
	removeLogs(path)
	for _, name := range []string{path, path + ".1", path + ".2"} {
		if got := readFile(name); got != "" {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestSignalNames(t *testing.T) {
	for text, want := range map[string]string{"TERM": "SIGTERM", "sigkill": "SIGKILL", "1": "SIGHUP", "64": "64"} {
		s, err := ParseSignal(text)
		if err != nil || SignalName(s) != want {
			t.Errorf("%s: %v %v", text, s, err)
		}
	}
	for _, text := range []string{"", "0", "65", "-1", "NONE"} {
		if _, err := ParseSignal(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func readFile(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(b)
}
