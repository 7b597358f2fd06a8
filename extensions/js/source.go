package js

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gaia-host/gaia/extensions/policy"
)

// maxSource bounds the bytes of all files of a policy together.
const maxSource = 4 << 20

// Errors of Open and BundleSource, wrapped in a *policy.LoadError.
var (
	// ErrTooLarge: the files of the policy are together larger than 4 MiB.
	ErrTooLarge = errors.New("the policy's files are larger than 4 MiB together")
	// ErrTooDeep: the source nests so deeply that parsing it could end the program.
	ErrTooDeep = errors.New("the source is nested too deeply")
	// ErrEmpty: there is nothing in the file.
	ErrEmpty = errors.New("the file is empty")
	// ErrNoHook: the policy exports no hook.
	ErrNoHook = errors.New("no hook")
	// ErrNotFile: what was named is a directory, a pipe or a device.
	ErrNotFile = errors.New("not a regular file")
)

// Source says where a policy's code is.
type Source struct {
	Name string // of the policy
	Path string // of the entry file, as the user named it; imports resolve relative to it
	Code []byte // of the entry file; nil: read Path
	FS   fs.FS  // what Path and imports are in; nil: the disk
	// Modules are further modules by the name that they are imported by, which begins
	// with "gaia/": their JavaScript. nil: there are none.
	Modules map[string]string

	whole bool // keep what nothing uses
}

// read returns the text of a file of the policy, at most maxSource bytes of it.
func (s Source) read(name string) ([]byte, error) {
	if s.Code != nil && name == s.entry() {
		if len(s.Code) > maxSource {
			return nil, ErrTooLarge
		}
		return s.Code, nil
	}
	info, err := s.stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, ErrNotFile
	}
	f, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	code, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	if err == nil && len(code) > maxSource {
		err = ErrTooLarge
	}
	return code, err
}

func (s Source) stat(name string) (fs.FileInfo, error) {
	if s.FS != nil {
		return fs.Stat(s.FS, name)
	}
	return os.Stat(name)
}

func (s Source) open(name string) (fs.File, error) {
	if s.FS != nil {
		return s.FS.Open(name)
	}
	return os.Open(name)
}

// entry is Path in the form that resolve returns.
func (s Source) entry() string {
	if s.FS != nil {
		return path.Clean(s.Path)
	}
	return filepath.Clean(s.Path)
}

// extensions are tried for an import that names none, in this order.
var extensions = [...]string{".ts", ".js", ".mts", ".mjs", ".json", "/index.ts", "/index.js"}

// resolve returns the file that an import of a file means.
func (s Source) resolve(importer, spec string) (string, error) {
	var name string
	if s.FS != nil {
		name = path.Join(path.Dir(importer), spec)
	} else {
		name = filepath.Join(filepath.Dir(importer), filepath.FromSlash(spec))
	}
	candidates := []string{name}
	// TypeScript imports "./x.js" where the file is x.ts.
	if stem, ok := strings.CutSuffix(name, ".js"); ok {
		candidates = append(candidates, stem+".ts")
	} else if stem, ok := strings.CutSuffix(name, ".mjs"); ok {
		candidates = append(candidates, stem+".mts")
	}
	for _, ext := range extensions {
		candidates = append(candidates, name+ext)
	}
	for _, c := range candidates {
		if c == s.entry() && s.Code != nil {
			return c, nil
		}
		if info, err := s.stat(c); err == nil && info.Mode().IsRegular() {
			return c, nil
		}
	}
	return "", fmt.Errorf("there is no file %s", name)
}

// unreadable is the load error of an entry file that cannot be read.
func (s Source) unreadable(err error) *policy.LoadError {
	e := &policy.LoadError{Policy: s.Name, File: s.Path, Message: "cannot be read: " + err.Error(), Err: err}
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Message = "there is no such file"
	case errors.As(err, &pe):
		e.Message = "cannot be read: " + pe.Err.Error()
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrNotFile), errors.Is(err, ErrEmpty):
		e.Message = err.Error()
	}
	return e
}
