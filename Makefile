# gaia: every task a contributor needs. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
BIN      := bin/gaia
CACHE    := $(CURDIR)/.cache
NPM      := $(CACHE)/npm
TSC      := $(NPM)/node_modules/.bin/tsc
TYPESCRIPT_VERSION := 5.9.3
ASC      := $(NPM)/node_modules/.bin/asc
ASSEMBLYSCRIPT_VERSION := 0.28.20
GOLANGCI := $(CACHE)/bin/golangci-lint
GOLANGCI_VERSION := v2.15.0
PACKAGES := curl systemd nginx-light prometheus clang lld rustc cargo libstd-rust-dev-wasm32 wabt binaryen chromium chromium-headless-shell unbound dnsmasq-base minisign docker-registry wrk make git
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
POLICY   ?= std/retry-after
FUZZTIME ?= 60s
BENCHTIME ?= 0.3s

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/gaia
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/gaia

.PHONY: run
run: build ## start gaia with a standard policy (POLICY=std/NAME or a file)
	exec $(BIN) run $(POLICY)

.PHONY: deps
deps: $(TSC) $(ASC) ## install what the tests need: Debian packages, TypeScript, AssemblyScript
	@missing=""; for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if ! command -v apt-get >/dev/null; then echo "install these yourself:$$missing"; exit 1; fi; \
	  sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

$(TSC) $(ASC) &: # together: npm takes away what it is not told of
	npm install --silent --no-audit --no-fund --no-save --prefix $(NPM) typescript@$(TYPESCRIPT_VERSION) assemblyscript@$(ASSEMBLYSCRIPT_VERSION)

.PHONY: quick
quick: ## unit tests, at most 3 minutes
	$(GO) test -short ./...

.PHONY: test
test: deps build ## everything, with the real parts; fails where one is missing
	CI=true $(GO) test -timeout 15m ./...
	cd bench && CI=true $(GO) test -timeout 3m ./...

.PHONY: guarantees
guarantees: deps ## what gaia promises, each by name, on the real parts
	CI=true $(GO) test -count=1 -timeout 10m -run '^TestGuarantees$$' -v ./host | grep -E '^ *--- |^(ok|FAIL|panic)|_test.go:'

.PHONY: stress
stress: deps ## a thousand real operations over all five subsystems at once
	CI=true $(GO) test -count=1 -timeout 10m -run '^TestCombinedSubsystemStress$$' -v ./host

.PHONY: race
race: deps ## all tests under the race detector
	CI=true $(GO) test -race -timeout 25m ./...

.PHONY: acceptance
acceptance: deps build fuzz ## the long forms: fuzz minutes, thousands of reloads, load
	CI=true GAIA_ACCEPTANCE=1 $(GO) test -timeout 40m -count=1 ./...

.PHONY: bench
bench: ## benchmarks of every package
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./...

.PHONY: bench-gate
bench-gate: ## what gaia must cost, as ratios measured in one run; fails when one is SHORT
	cd bench && $(GO) run ./gate

PROFILES := $(CURDIR)/bench/out/profile
BASE     ?= HEAD~1
MINUTES  ?= 60
REPEAT   ?= 10
BENCHSTAT := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

.PHONY: profile
profile: ## the combined stress under all profiles, summed up; files in bench/out/profile
	mkdir -p $(PROFILES)
	GAIA_PROFILES=$(PROFILES) $(GO) test -count=1 -timeout 10m -run '^TestCombinedSubsystemStress$$' -v -o $(PROFILES)/host.test \
	  -cpuprofile $(PROFILES)/cpu.prof -memprofile $(PROFILES)/mem.prof -memprofilerate 4096 \
	  -blockprofile $(PROFILES)/block.prof -mutexprofile $(PROFILES)/mutex.prof ./host
	cd bench && $(GO) run ./profile $(PROFILES) | tee $(PROFILES)/summary.txt

.PHONY: profiles
profiles: ## a profile summary after each optimisation, in bench/profiles
	cd bench && GO=$(GO) ./profiles/make.sh

.PHONY: beside
beside: ## gaia's gateway beside nginx, HAProxy, Caddy and proxies in Go, as a Markdown table; about 4 minutes
	@GO=$(GO) bench/gateway/run.sh

.PHONY: bench-compare
bench-compare: ## benchmarks of BASE=rev and of the tree in turn, REPEAT times, through benchstat; OF=./package for one
	cd bench && GO=$(GO) BENCHSTAT=$(BENCHSTAT) BENCHTIME=$(BENCHTIME) ./compare.sh $(BASE) $(REPEAT) $(OF)

.PHONY: bench-naive
bench-naive: ## the naive form of each optimisation beside gaia's, REPEAT times, through benchstat
	cd bench && GO=$(GO) BENCHSTAT=$(BENCHSTAT) BENCHTIME=$(BENCHTIME) ./naive.sh $(REPEAT)

.PHONY: bench-whole
bench-whole: ## the stress wired naively against gaia's wiring, REPEAT times in turn
	GAIA_COMPARE=$(REPEAT) $(GO) test -count=1 -timeout 60m -run '^TestNaiveWiringAgainstGaia$$' -v ./host

.PHONY: soak
soak: deps ## all five subsystems for MINUTES, with reloads and faults; fails where anything grows
	mkdir -p bench/out
	CI=true GAIA_SOAK=$(MINUTES) GAIA_SOAK_OUT=$(CURDIR)/bench/out $(GO) test -count=1 -timeout $$(( $(MINUTES) + 10 ))m -run '^TestSoak$$' -v ./host

.PHONY: optimization-results
optimization-results: ## measure what OPTIMIZATION_RESULTS.md tells, and print it to paste
	cd bench && GO=$(GO) BENCHSTAT=$(BENCHSTAT) BENCHTIME=$(BENCHTIME) ./results.sh $(REPEAT)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	cd bench && $(GO) run ./fuzzall -dir .. -time $(FUZZTIME)

.PHONY: lint
lint: $(GOLANGCI) ## static analysis
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(CACHE)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

PICTURES := limiters:overview:1000,470 patience:sweep-paced-goodput:820,400 retry-storm:good:860,400 fairness:fairness:820,410 llm-quota:overview:1000,270

.PHONY: pictures
pictures: build ## draw the pictures of docs/experiments.md anew
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; mkdir -p docs/pictures; \
	for p in $(PICTURES); do IFS=: read -r name figure size <<<"$$p"; \
	  $(BIN) experiment std/$$name --out $$tmp/$$name --quiet >/dev/null; \
	  chromium-headless-shell --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir=$$tmp/profile --virtual-time-budget=5000 --window-size=$$size \
	    --screenshot=docs/pictures/$$name.png "file://$$tmp/$$name/report.html#only=$$figure" 2>/dev/null; \
	done; ls -l docs/pictures

.PHONY: generate
generate: ## write generated files anew
	$(GO) generate ./...

.PHONY: check
check: deps ## what must hold before a change lands: format, vet, lint, cross builds, race tests
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(MAKE) lint
	GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/gaia
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/gaia
	$(MAKE) race
	@git diff --exit-code --stat || { echo 'the checks changed files'; exit 1; }

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .cache bench/out
