package files

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gaia-host/gaia/extensions/policy"
	"github.com/gaia-host/gaia/subsystems/admission"
)

// MaxRoots bounds the roots of a Manager.
const MaxRoots = 64

// Durability is how much of a write is forced to the disk before it is reported done.
type Durability uint8

// The levels. From DurabilityRename on a write is atomic: whoever reads, and
// whatever crashes, there is the old file or the new one.
const (
	// DurabilityDefault is the root's own level; for a root it is DurabilityFile.
	DurabilityDefault Durability = iota
	// DurabilityNone writes in place, for scratch data: a crash may leave half a
	// file. A write that fails removes what it wrote.
	DurabilityNone
	// DurabilityRename is atomic, but a crash of the machine may lose the new file.
	DurabilityRename
	// DurabilityFile also forces the new content to the disk before it takes its place.
	DurabilityFile
	// DurabilityFull also forces the folder: once reported, the write stays.
	DurabilityFull
)

var durabilityNames = [...]string{"default", "none", "rename", "file", "full"}

// String returns the name used in configurations.
func (d Durability) String() string {
	if int(d) < len(durabilityNames) {
		return durabilityNames[d]
	}
	return "invalid"
}

// ParseDurability is the inverse of String; "" is the default.
func ParseDurability(name string) (Durability, error) {
	if name == "" {
		return DurabilityDefault, nil
	}
	if i := slices.Index(durabilityNames[:], name); i >= 0 {
		return Durability(i), nil
	}
	return 0, fmt.Errorf("want one of none, rename, file, full, got %q", name)
}

// Root configures one root.
type Root struct {
	Path string // an existing folder
	// Quota bounds the bytes of all its files, QuotaFiles its entries: files,
	// folders and links. Live. 0 is no bound.
	Quota, QuotaFiles int64
	ReadOnly          bool       // live
	Durability        Durability // live: of writes that name none
}

// Config describes a Manager. A size or number of 0 is no bound; DefaultConfig is
// where to start from. Fields marked live are what SetConfig changes; the names and
// paths of the roots stay.
type Config struct {
	Admission admission.Config // live
	Slot      *policy.Slot     // the policies; nil: none
	Log       *slog.Logger     // nil discards

	Roots map[string]Root
	// MaxConcurrent is how many operations run at once, where Admission does not
	// say; live. Each has at most three files open.
	MaxConcurrent int64
	MaxRead       int64         // live: bytes that Read returns at most, and JSON and XML parse
	MaxFile       int64         // live: bytes of a file that is written
	MaxEntries    int           // live: entries that List, Glob and Walk give at most
	MaxDepth      int           // live: of JSON and XML values within each other
	MaxWatches    int           // live: folders watched at once
	Rescan        time.Duration // live: how often roots with a quota are counted anew; 0 never

	// Clock and After replace time in tests.
	Clock admission.Clock
	After admission.After
}

// DefaultConfig has no root. Up to 64 operations run at once; a file is read whole
// up to 64 MiB; roots with a quota are counted anew every minute. The breaker is
// off, for a root that is full must still let files be removed.
func DefaultConfig() Config {
	a := admission.DefaultConfig()
	a.Breaker.Enabled = false
	return Config{
		Admission: a, MaxConcurrent: 64, MaxRead: 64 << 20, MaxEntries: 100_000, MaxDepth: 1000,
		MaxWatches: 1024, Rescan: time.Minute,
	}
}

// Check returns every fault of c, joined; nil if there is none. It reads no file.
func (c *Config) Check() error {
	faults := []error{c.Admission.Check()}
	for name, n := range map[string]int64{
		"max_concurrent": c.MaxConcurrent, "max_read": c.MaxRead, "max_file": c.MaxFile, "max_entries": int64(c.MaxEntries),
		"max_depth": int64(c.MaxDepth), "max_watches": int64(c.MaxWatches), "rescan": int64(c.Rescan),
	} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("%s must be 0 or more", name))
		}
	}
	if len(c.Roots) > MaxRoots {
		faults = append(faults, fmt.Errorf("%d roots, at most %d", len(c.Roots), MaxRoots))
	}
	metricNames := map[string]string{}
	for _, name := range rootNames(c.Roots) {
		r := c.Roots[name]
		switch {
		case !isRootName(name):
			faults = append(faults, fmt.Errorf("roots: %q is no name: want letters, digits, - and _", name))
		case metricNames[metricName(name)] != "":
			faults = append(faults, fmt.Errorf("roots: %s and %s have the same name in metrics", metricNames[metricName(name)], name))
		}
		metricNames[metricName(name)] = name
		if r.Path == "" {
			faults = append(faults, fmt.Errorf("roots.%s: path is missing", name))
		}
		if r.Quota < 0 || r.QuotaFiles < 0 || r.Durability > DurabilityFull {
			faults = append(faults, fmt.Errorf("roots.%s: quotas must be 0 or more, durability one of the levels", name))
		}
	}
	return errors.Join(faults...)
}

func rootNames(roots map[string]Root) []string {
	names := make([]string, 0, len(roots))
	for name := range roots {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func isRootName(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// metricName is a root's name within the name of a metric.
func metricName(root string) string { return strings.ReplaceAll(root, "-", "_") }

// admission is the admission's part, with the bound on what runs at once.
func (c *Config) admission() admission.Config {
	a := c.Admission
	if a.Limits.Global.Concurrency == 0 {
		a.Limits.Global.Concurrency = c.MaxConcurrent
	}
	return a
}
