# make demo    the main job, told live: a pair, its servers, clients, failures
# make test    every test: unit, race, and the drills against a real IPVS
# make check   what must hold before a commit
# make bench   figures, with keepalived on the same topology beside them
# make figures elections on this kernel, tandem and keepalived in turn (FIGURES="-runs 10")
# make build   bin/tandem alone
#
# The targets install what they miss from Debian's packages, and say so.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.PHONY: demo test unit native lab check bench figures build deps lab-kernel programs clean

# Where a Go is put if the machine has none that is new enough.
TOOLCHAIN := $(HOME)/.cache/tandem-lab/go
export PATH := $(TOOLCHAIN)/bin:$(PATH):/usr/sbin:/sbin
export GOFLAGS    ?= -buildvcs=false
export CGO_ENABLED ?= 1
export TANDEM_BESIDE_RUNS ?= 3

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
# The packages with tests that need root and a real kernel, and among them the one
# whose tests need no IPVS and measure time: it never runs in a virtual machine.
NATIVE_PACKAGES := integration/native/
LAB_PACKAGES := $(filter-out integration/ $(NATIVE_PACKAGES),$(sort $(dir $(shell git ls-files '*_lab_test.go'))))
SOURCES := $(shell git ls-files '*.go' go.mod go.sum)

# --- what the machine needs -------------------------------------------------

# command:package, installed when the command is absent
NEEDED := qemu-system-x86_64:qemu-system-x86 modprobe:kmod xz:xz-utils zstd:zstd \
          ipvsadm:ipvsadm keepalived:keepalived /usr/lib/frr/vrrpd:frr gcc:gcc git:git systemd-analyze:systemd

deps:
	@missing=()
	for pair in $(NEEDED); do
	  command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair##*:}")
	done
	[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
	command -v go >/dev/null || missing+=(golang-go ca-certificates)
	if [ "$${#missing[@]}" -gt 0 ]; then
	  echo "installing from Debian's packages: $${missing[*]}"
	  [ "$$(id -u)" = 0 ] || { echo "that takes root: run as root, or install them yourself" >&2; exit 1; }
	  apt-get update -qq
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null
	fi
	# From 1.21 on go fetches the version that go.mod asks for by itself.
	if ! go version | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; then
	  version=go$$(sed -n 's/^go //p' go.mod)
	  echo "fetching $$version from the Go module proxy, into $(TOOLCHAIN)"
	  mkdir -p "$$(dirname $(TOOLCHAIN))" && cd "$$(mktemp -d)"
	  dir=$$(GOFLAGS= go mod download -json "golang.org/toolchain@v0.0.1-$$version.linux-$$(go env GOARCH)" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
	  chmod u+x "$$dir"/bin/* "$$dir"/pkg/tool/*/*
	  ln -sfn "$$dir" $(TOOLCHAIN)
	fi

lab-kernel: deps bin/labrun
	@bin/labrun --prepare

# --- programs ---------------------------------------------------------------

build: bin/tandem

bin/tandem: $(SOURCES)
	@CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/tandem

bin/labrun: $(SOURCES)
	@CGO_ENABLED=0 go build -trimpath -o $@ ./integration/labrun

bin/labload: $(SOURCES)
	@CGO_ENABLED=0 go build -trimpath -o $@ ./integration/labload

bin/figures: $(SOURCES)
	@CGO_ENABLED=0 go build -trimpath -o $@ ./integration/figures

bin/demo: $(SOURCES)
	@CGO_ENABLED=0 go build -trimpath -o $@ ./integration/demo

programs: deps
	@$(MAKE) --no-print-directory --silent bin/tandem bin/labrun bin/labload bin/demo

# --- the main job -----------------------------------------------------------

# Inside a virtual machine the demo cannot see whether its output ends at a terminal.
demo: programs lab-kernel
	@if [ -t 1 ]; then export CLICOLOR_FORCE=1; fi
	bin/labrun --timeout 10m bin/demo

# --- tests ------------------------------------------------------------------

test: unit native lab

unit: deps
	@echo "== unit tests, with the race detector"
	go test -race -timeout 10m ./...
	echo "== the election once more, without the race detector: ten times as many scenarios"
	go test ./internal/sim

NATIVE_TEST = CGO_ENABLED=0 go test -tags lab -exec "$(CURDIR)/bin/labrun -direct" -count=1 -p 1 -timeout 10m

# FRR, keepalived and tandem elect in namespaces of this machine's own kernel.
native: programs
	@echo "== elections on this kernel, with FRR as a peer"
	$(NATIVE_TEST) -v $(addprefix ./,$(NATIVE_PACKAGES)) | grep -v '^=== '

LAB_TEST = CGO_ENABLED=0 go test -tags lab -exec "$(CURDIR)/bin/labrun" -count=1 -p 1 -timeout 30m

# One package at a time: drills measure time, and share the machine with nothing.
lab: programs lab-kernel
	@echo "== tests against a real IPVS"
	bin/labrun --self-test
	$(LAB_TEST) $(addprefix ./,$(LAB_PACKAGES))
	echo "== drills, each with its figures"
	$(LAB_TEST) -v ./integration | grep -v '^=== '

bench: programs lab-kernel
	@echo "== tandem and keepalived side by side, TANDEM_BESIDE_RUNS=$(TANDEM_BESIDE_RUNS) runs each"
	$(LAB_TEST) -tags 'lab bench' -v -run TestBeside ./integration | grep -v '^=== '
	echo "== the kernel's table: ipvsadm beside"
	$(LAB_TEST) -v -run TestSpeed ./ipvsctl/kernel | grep -v '^=== '
	echo "== the cores"
	go test -run '^$$' -bench . -benchmem ./vrrp/... ./healthcheck/... ./ipvsctl ./configs

# What `bin/figures -h` lists can be given: make figures FIGURES="-only busy -busy 5m".
figures: programs bin/figures
	@echo "== elections on this kernel; nothing else should run on the machine"
	bin/labrun -direct -timeout 2h bin/figures $(FIGURES)

# --- what must hold before a commit -----------------------------------------

check: deps
	@echo "== gofmt";      test -z "$$(gofmt -l $$(git ls-files '*.go') | tee /dev/stderr)"
	echo "== go vet";      go vet ./...; go vet -tags 'lab bench' ./...
	echo "== staticcheck"; go tool staticcheck ./...; go tool staticcheck -tags 'lab bench' ./...
	echo "== go mod tidy"; go mod tidy -diff
	echo "== generated files"
	before=$$(git diff | sha256sum); go generate ./...
	[ "$$before" = "$$(git diff | sha256sum)" ] || { echo "go generate changes files: commit what it makes" >&2; exit 1; }
	echo "== systemd units"; packaging/check-units
	echo "== govulncheck"
	# A finding may quote a 403 or a timeout itself, so findings are looked for first.
	out=$$(go tool govulncheck ./... 2>&1) && echo "no known vulnerability is reached" || { \
	  if ! grep -q 'Vulnerability #' <<<"$$out" && \
	     grep -qE 'dial tcp|no such host|Forbidden|403|timeout|connection refused' <<<"$$out"; then \
	    echo "skipped: the vulnerability database cannot be reached"; \
	  else echo "$$out" >&2; exit 1; fi; }
	echo "== race"; go test -race -timeout 10m ./...

clean:
	rm -rf bin
