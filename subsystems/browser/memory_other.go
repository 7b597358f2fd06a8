//go:build !linux

package browser

import "math"

// shmFree says that there is enough: only Linux keeps shared memory in a file system.
func shmFree() int64 { return math.MaxInt64 }

// memoryOf measures nothing: max_memory has no effect here.
func memoryOf(map[int]*instance) map[int]int64 { return nil }
