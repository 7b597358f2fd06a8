// Package sdk holds what authors of policies get: types for editors and for tsc, and
// kits for guests in other languages. It is files only; nothing of it runs in gaia.
package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// FS holds gaia.d.ts and tsconfig.json, to be written beside a new policy, and a folder
// for each language: its kit, and below new/ the policy to begin with.
//
//go:embed gaia.d.ts tsconfig.json cases.json js ts c rust go assemblyscript
var FS embed.FS

// Languages lists what Project knows, in the order of the help.
func Languages() []string { return []string{"js", "ts", "rust", "go", "assemblyscript", "c"} }

// kitFiles says where in a project the files of a kit belong.
func kitFiles(lang string) map[string]string {
	switch lang {
	case "js", "ts":
		return map[string]string{"gaia.d.ts": "gaia.d.ts", "tsconfig.json": "tsconfig.json"}
	case "rust":
		return map[string]string{"rust/gaia.rs": "src/gaia/mod.rs", "rust/abi.rs": "src/gaia/abi.rs"}
	case "go":
		return map[string]string{"go/gaia.go": "gaia/gaia.go", "go/abi.go": "gaia/abi.go"}
	case "assemblyscript":
		return map[string]string{"assemblyscript/gaia.ts": "assembly/gaia.ts", "assemblyscript/abi.ts": "assembly/abi.ts", "assemblyscript/index.ts": "assembly/index.ts"}
	case "c":
		return map[string]string{"c/gaia.h": "gaia.h", "c/gaia_abi.h": "gaia_abi.h"}
	}
	return nil
}

// Kit returns the files of a language's kit by their paths in a project, without a policy.
func Kit(lang string) (map[string][]byte, error) {
	if !slices.Contains(Languages(), lang) {
		return nil, fmt.Errorf("there is no kit for %q: there are %s", lang, strings.Join(Languages(), ", "))
	}
	files := map[string][]byte{}
	for from, to := range kitFiles(lang) {
		text, err := FS.ReadFile(from)
		if err != nil {
			return nil, fmt.Errorf("read the kit: %w", err)
		}
		files[to] = text
	}
	return files, nil
}

// Project returns the files of a new policy by their paths with slashes: a kit and a
// policy to begin with, and cases for its test. The name stands where the files say NAME; it has letters, digits,
// '_' and '-'. A file of Go's toolchain is kept with the ending .txt, which it loses here.
func Project(name, lang string) (map[string][]byte, error) {
	files, err := Kit(lang)
	if err != nil {
		return nil, err
	}
	root := lang + "/new"
	err = fs.WalkDir(FS, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := FS.ReadFile(path)
		if err != nil {
			return err
		}
		path = strings.TrimSuffix(strings.TrimPrefix(path, root+"/"), ".txt")
		files[strings.ReplaceAll(path, "NAME", name)] = []byte(strings.ReplaceAll(string(text), "NAME", name))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the kit: %w", err)
	}
	cases, err := FS.ReadFile("cases.json")
	if err != nil {
		return nil, fmt.Errorf("read the kit: %w", err)
	}
	file := name + ".wasm"
	if lang == "js" || lang == "ts" {
		file = name + "." + lang
	}
	files[name+".test.json"] = []byte(strings.ReplaceAll(string(cases), "FILE", file))
	return files, nil
}
