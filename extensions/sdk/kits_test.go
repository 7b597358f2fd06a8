package sdk

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gaia-host/gaia/extensions/natives"
	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

func kitText(t *testing.T, files ...string) string {
	t.Helper()
	var b strings.Builder
	for _, f := range files {
		text, err := FS.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// snake writes the name of a word as Rust and C do.
func snake(name string) string {
	return strings.ToLower(regexp.MustCompile(`[A-Z]`).ReplaceAllString(name, "_$0"))
}

func title(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// Every function of the host is used by every kit, so that its word has a place there: no cell of the table is empty.
func TestEveryKitHasEveryWord(t *testing.T) {
	rust, goKit := kitText(t, "rust/gaia.rs"), kitText(t, "go/gaia.go")
	as, c := kitText(t, "assemblyscript/gaia.ts"), kitText(t, "c/gaia.h", "c/gaia_abi.h")
	looked := regexp.MustCompile(`lookup!\(.*\b(\w+)\);`)
	for _, m := range looked.FindAllStringSubmatch(rust, -1) {
		rust += "host::" + m[1] + "("
	}
	for _, f := range abi.Funcs() {
		camel := ""
		for _, w := range strings.Split(f.Name, "_") {
			camel += title(w)
		}
		for kit, uses := range map[string]bool{
			"Rust": strings.Contains(rust, "host::"+f.Name+"("), "Go": strings.Contains(goKit, "host"+camel+"("),
			"AssemblyScript": strings.Contains(as, "abi.host"+camel+"("), "C": strings.Contains(c, "gaia_host_"+f.Name+"("),
		} {
			if !uses {
				t.Errorf("the kit for %s does not use %s", kit, f.Name)
			}
		}
	}
	rust, goKit, as = rust+kitText(t, "rust/abi.rs"), goKit+kitText(t, "go/abi.go"), as+kitText(t, "assemblyscript/abi.ts")
	for _, w := range natives.Table() {
		name, isLimiter := strings.CutPrefix(w.JS, "limiter.")
		if action := slices.IndexFunc(w.Wasm, func(s string) bool { return strings.HasPrefix(s, "decision:") }); !isLimiter && action < 0 {
			continue // by the functions above
		}
		if name == "upstream" { // alone it would mean something else
			name = "upstreamLimiter"
		}
		for kit, has := range map[string]bool{
			"Rust": strings.Contains(rust, "fn "+snake(name)+"("), "Go": strings.Contains(goKit, "func "+title(name)+"("),
			"AssemblyScript": strings.Contains(as, "export function "+name+"(") || strings.Contains(as, "static "+name+"("), "C": strings.Contains(c, " gaia_"+snake(name)+"("),
		} {
			if !has {
				t.Errorf("the kit for %s lacks %s", kit, w.JS)
			}
		}
	}
}

func TestProject(t *testing.T) {
	for _, lang := range Languages() {
		files, err := Project("quota", lang)
		if err != nil {
			t.Fatal(err)
		}
		if files["gaia.json"] == nil || !strings.Contains(string(files["gaia.json"]), `"language": "`+lang+`"`) {
			t.Errorf("%s: no manifest: %s", lang, files["gaia.json"])
		}
		for name, text := range files {
			if strings.Contains(name, "NAME") || strings.HasSuffix(name, ".txt") || strings.Contains(string(text), "NAME:") || strings.Contains(string(text), `"NAME`) {
				t.Errorf("%s: %s is not filled in", lang, name)
			}
		}
	}
	for _, lang := range []string{"", "cobol", "../c", "rust/new"} {
		if files, err := Project("x", lang); err == nil {
			t.Errorf("%q: %d files", lang, len(files))
		}
	}
}
