package process

import (
	"os/exec"
	"testing"
	"time"
)

// BenchmarkStart is a start to the end of a program that does nothing.
func BenchmarkStart(b *testing.B) {
	program, err := exec.LookPath("true")
	if err != nil {
		b.Skip("no true here")
	}
	b.Run("manager", func(b *testing.B) {
		m := newManager(b, func(c *Config) { c.Tick = time.Second })
		b.ReportAllocs()
		for b.Loop() {
			runToEnd(b, m, Spec{Args: []string{program}, InheritEnv: true, Output: Output{Discard: true}})
		}
	})
	b.Run("os/exec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := exec.Command(program).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
