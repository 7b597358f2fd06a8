// Command gen writes the files that are generated from package abi. Run it by `go generate ./extensions/wasm/abi`.
package main

import (
	"log"
	"os"

	"github.com/gaia-host/gaia/extensions/wasm/abi"
)

func main() {
	files, err := abi.Files()
	for _, f := range files {
		if err == nil {
			err = os.WriteFile(f.Path, f.Data, 0o644)
		}
	}
	if err != nil {
		log.Fatalln("generate the ABI files:", err)
	}
}
