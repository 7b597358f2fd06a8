package config

import "time"

// Defaults of the files section.
const (
	DefaultFilesConcurrent = 64
	DefaultFilesMaxRead    = 64 * MiB
	DefaultFilesMaxEntries = 100_000
	DefaultFilesMaxDepth   = 1000
	DefaultFilesMaxWatches = 1024
	DefaultFilesRescan     = Duration(time.Minute)
	DefaultDurability      = "file"
)

const durabilities = "none rename file full"

// Files are the settings of the files subsystem. A size or number of 0 is no bound.
type Files struct {
	// Roots are the folders that may be worked in, by name: the key that limits count on.
	Roots map[string]FileRoot `koanf:"roots" reload:"entries"`
	// MaxConcurrent is how many operations run at once, unless limits.files.global.concurrency says.
	MaxConcurrent int64 `koanf:"max_concurrent"`
	// MaxRead is the largest file, or part of one, that is read whole or parsed.
	MaxRead ByteSize `koanf:"max_read"`
	// MaxFile is the largest file that is written.
	MaxFile ByteSize `koanf:"max_file"`
	// MaxEntries is how many entries a list, a walk or a glob gives.
	MaxEntries int `koanf:"max_entries"`
	// MaxDepth is how deep JSON and XML values may be within each other.
	MaxDepth int `koanf:"max_depth"`
	// MaxWatches is how many folders one watch may follow.
	MaxWatches int `koanf:"max_watches"`
	// Rescan is how often roots with a quota are counted anew; 0 never.
	Rescan Duration `koanf:"rescan"`
}

// FileRoot is one root.
type FileRoot struct {
	// Path is an existing folder.
	Path string `koanf:"path" reload:"restart"`
	// Quota bounds the bytes of all its files.
	Quota ByteSize `koanf:"quota"`
	// QuotaFiles bounds its files, folders and links.
	QuotaFiles int64 `koanf:"quota_files"`
	ReadOnly   bool  `koanf:"read_only"`
	// Durability is none, rename, file or full; "" is file.
	Durability string `koanf:"durability"`
}

func defaultFiles() Files {
	return Files{
		MaxConcurrent: DefaultFilesConcurrent, MaxRead: DefaultFilesMaxRead, MaxEntries: DefaultFilesMaxEntries,
		MaxDepth: DefaultFilesMaxDepth, MaxWatches: DefaultFilesMaxWatches, Rescan: DefaultFilesRescan,
	}
}

func (v *validator) files(f *Files) {
	for _, name := range sortedKeys(f.Roots) {
		r, path := f.Roots[name], []string{"files", "roots", name}
		if !isName(name, false) || len(name) > 64 {
			v.fail(path, "a name of a root is made of at most 64 letters, digits, - and _")
		}
		if r.Path == "" {
			v.fail(path, "has no path; want an existing folder")
		}
		v.choice(r.Durability, durabilities, "files", "roots", name, "durability")
	}
}
