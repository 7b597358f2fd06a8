package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/gaia-host/gaia/extensions/bundle"
)

// printManifest prints what a manifest says that is not shown yet.
func printManifest(w io.Writer, m *bundle.InfoManifest) {
	if m == nil {
		return
	}
	capabilities := []string{}
	if m.Capabilities.SharedState {
		capabilities = append(capabilities, "shared state")
	}
	if m.Capabilities.SharedLimiters {
		capabilities = append(capabilities, "shared limiters")
	}
	for _, name := range m.Capabilities.Env {
		capabilities = append(capabilities, "env "+name)
	}
	for _, line := range [][2]string{
		{"version", m.Version}, {"about", m.Description}, {"language", m.Language}, {"abi", m.ABI}, {"asks for", strings.Join(capabilities, ", ")},
		{"parameters", string(m.Params)}, {"licence", m.Licence}, {"source", m.Source},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-11s %s\n", line[0], printable(line[1]))
		}
	}
}

// printInfo is the text form of `policy inspect`.
func printInfo(w io.Writer, i *bundle.Info) {
	fmt.Fprintf(w, "%s  %s, %d bytes\n", i.File, i.Engine, i.Size)
	fmt.Fprintf(w, "  name        %s\n", i.Name)
	fmt.Fprintf(w, "  digest      %s\n", i.Digest)
	if i.Resolved != "" {
		fmt.Fprintf(w, "  pinned      %s\n", i.Resolved)
	}
	switch {
	case i.Signer != "":
		fmt.Fprintf(w, "  signed by   %s, verified\n", i.Signer)
	case i.SignedBy != "":
		fmt.Fprintf(w, "  signed by   %s by its own word: name the key with --key to verify it\n", i.SignedBy)
	case i.Resolved != "":
		fmt.Fprintln(w, "  signed by   nobody")
	}
	fmt.Fprintf(w, "  hooks       %s\n", strings.Join(i.Hooks, ", "))
	fmt.Fprintf(w, "  isolation   %s\n", i.Options.Isolation)
	fmt.Fprintf(w, "  budget      %s\n", i.Options.Budget)
	fmt.Fprintf(w, "  on failure  %s\n", i.Options.OnFailure)
	if len(i.Asks) > 0 {
		fmt.Fprintf(w, "  asks for    %s\n", strings.Join(i.Asks, ", "))
	}
	if i.Options.Match != nil {
		fmt.Fprintf(w, "  match       %v\n", i.Options.Match)
	}
	printManifest(w, i.Manifest)
	printInterface(w, i)
	if i.Grant != "" {
		fmt.Fprintf(w, "\nA module that is no local file needs in the configuration:\n%s", i.Grant)
	}
}

func printInterface(w io.Writer, i *bundle.Info) {
	if i.Wasm == nil {
		return
	}
	for _, imp := range i.Wasm.Imports {
		fmt.Fprintf(w, "  import      %s.%s %s\n", imp.Module, imp.Name, imp.Signature)
	}
	for _, exp := range i.Wasm.Exports {
		fmt.Fprintf(w, "  export      %s %s\n", exp.Name, exp.Signature)
	}
}
