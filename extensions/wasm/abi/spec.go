package abi

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

// spec is the prose of docs/abi.md; {{NAME}} stands for a table or a number.
//
//go:embed spec.md
var spec string

// Limits are the bounds that a host sets, in the order of the reference. A test of package wasm holds its own numbers to them.
func Limits() []Const {
	return []Const{
		{"fuel", 100_000, "units of one hook, unless the operator says otherwise"},
		{"fuel_max", 2_000_000, "units that the operator may give a hook; and what each call while loading has"},
		{"memory_pages", 256, "of 64 KiB, of one instance, unless the operator says otherwise; half of it full, the instance is replaced"},
		{"call_depth", 1000, "nested calls of functions that call"},
		{"host_calls", 64, "imported functions called in one hook"},
		{"host_calls_loading", 4096, "imported functions called in one call while loading"},
		{"log_bytes", 4096, "logged in one hook; lines are rate-limited on top"},
		{"module_bytes", 32 << 20, "of a module"},
		{"manifest_bytes", 64 << 10, "of the manifest"},
		{"reasons", 255, "in a manifest"},
		{"reason_bytes", 256, "of a reason, of a message of gaia_configure and of fail; a longer record is cut"},
		{"upstreams", 64, "in the frame of the route hook"},
		{"key_bytes", 512, "of a key in a record"},
		{"upstream_bytes", 256, "of the name of an upstream in a record"},
		{"headers", 16, "records header of one decision"},
		{"header_bytes", 4096, "of a header's name and value"},
		{"name_bytes", 256, "of a name given to param, env, request_header and the like; a longer one is absent"},
		{"list_entries", 4096, "of the list given to pick"},
		{"limiter_params_bytes", 4096, "of the JSON of a limiter's parameters"},
		{"delay_hours", 24, "a longer time in a decision is cut to it"},
	}
}

func renderSpec() []byte {
	text := spec
	for name, value := range map[string]string{
		"minor": fmt.Sprint(Minor), "module": Module, "section": ManifestSection, "scratch": fmt.Sprint(scratchSize()), "answer": fmt.Sprint(AnswerArea),
		"exports": specExports(), "areas": specAreas(), "structs": specStructs(), "sets": specSets(), "funcs": specFuncs(), "limits": specLimits(),
	} {
		text = strings.ReplaceAll(text, "{{"+name+"}}", strings.TrimSuffix(value, "\n"))
	}
	return []byte(text)
}

func specAreas() string {
	var b strings.Builder
	b.WriteString("| offset | bytes | part | |\n|---|---|---|---|\n")
	for _, a := range Areas() {
		fmt.Fprintf(&b, "| %d | %d | %s | %s |\n", a.Offset, a.Size, a.Name, a.Meaning)
	}
	return b.String()
}

func specStructs() string {
	var b bytes.Buffer
	for _, s := range Table() {
		fmt.Fprintf(&b, "### %s\n\n%s; %d bytes.\n\n| offset | type | field | |\n|---|---|---|---|\n", s.Name, s.Meaning, s.Size)
		for _, f := range s.Fields {
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", f.Offset, f.Type, f.Name, f.Meaning)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func specExports() string {
	var b strings.Builder
	b.WriteString("| name | type | | |\n|---|---|---|---|\n")
	for _, e := range Exports() {
		need := "optional"
		if e.Required {
			need = "required"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", e.Name, e.Signature(), need, e.Meaning)
	}
	return b.String()
}

func specFuncs() string {
	var b strings.Builder
	b.WriteString("| name | parameters | result | |\n|---|---|---|---|\n")
	for _, f := range Funcs() {
		var ps []string
		for _, p := range f.Params {
			ps = append(ps, p.Name+" "+p.Type)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, strings.Join(ps, ", "), f.Result, f.Meaning)
	}
	return b.String()
}

func specSets() string {
	var b strings.Builder
	for _, s := range Sets() {
		fmt.Fprintf(&b, "%s:\n\n| | name | |\n|---|---|---|\n", strings.ToUpper(s.Meaning[:1])+s.Meaning[1:])
		for _, c := range s.Consts {
			fmt.Fprintf(&b, "| %d | %s | %s |\n", c.Value, c.Name, c.Meaning)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func specLimits() string {
	var b strings.Builder
	for _, c := range Limits() {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", c.Value, strings.ReplaceAll(c.Name, "_", " "), c.Meaning)
	}
	return b.String()
}
