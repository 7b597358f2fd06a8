package process

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrShim is the error of a start with limits that only a shim can set.
var ErrShim = errors.New("process: limits of each process need Config.Shim, and there is none")

// The names of limits on the way to the shim.
var limitNames = [...]string{"as", "nofile", "nproc", "cpu", "fsize", "nice", "core"}

// encodeLimits is the shim's first argument: name=value, separated by commas.
func encodeLimits(l *Limits) string {
	var b strings.Builder
	add := func(name string, n int64) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name + "=" + strconv.FormatInt(n, 10))
	}
	cpu := int64((l.ProcessCPU + time.Second - 1) / time.Second)
	for i, n := range []int64{l.AddressSpace, l.OpenFiles, l.UserProcs, cpu, l.FileSize, int64(l.Nice)} {
		if n > 0 {
			add(limitNames[i], n)
		}
	}
	if l.NoCore {
		add("core", 0)
	}
	return b.String()
}

// decodeLimits is the inverse of encodeLimits, by name.
func decodeLimits(text string) (map[string]uint64, error) {
	out := map[string]uint64{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		n, err := strconv.ParseUint(value, 10, 63)
		if !ok || err != nil || !isLimit(name) {
			return nil, fmt.Errorf("process: limit %q: want NAME=NUMBER", part)
		}
		out[name] = n
	}
	return out, nil
}

func isLimit(name string) bool {
	for _, n := range limitNames {
		if n == name {
			return true
		}
	}
	return false
}
