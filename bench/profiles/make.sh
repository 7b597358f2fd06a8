#!/usr/bin/env bash
# make.sh: the profile of each optimisation's benchmark in gaia's form and in the naive one, summed up
# in a text file beside this one. The profiles themselves stay in bench/out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) top=$(git rev-parse --show-toplevel) go=${GO:-go}
out=$here/../out/profiles
summary() { # NAME PACKAGE BENCHMARK
  for form in naive gaia; do
    mkdir -p "$out/$1-$form"
    (cd "$top" && $go test -run '^$' -bench "^$3\$/.*form=$form\$|^$3\$/form=$form\$" -benchtime 1s -benchmem -o "$out/$1-$form/bench.test" \
      -cpuprofile "$out/$1-$form/cpu.prof" -memprofile "$out/$1-$form/mem.prof" -memprofilerate 512 "./$2" >"$out/$1-$form/run.txt")
  done
  {
    echo "# $1: written by make profiles; the numbers are of one run on one machine"
    for form in naive gaia; do
      echo
      echo "## $form"
      grep '^Benchmark' "$out/$1-$form/run.txt"
      (cd "$here/.." && $go run ./profile "$out/$1-$form") | grep -v ': none' | cat -s | sed 's/[[:space:]]*$//' | head -60
    done
  } >"$here/$1.txt"
  echo "$1"
}
summary maps extensions/metrics BenchmarkNumbers
summary contexts subsystems/api BenchmarkDeadline
summary timeouts subsystems/api BenchmarkClientTimeout
summary addresses subsystems/api BenchmarkAddress
summary connections subsystems/api BenchmarkConnections
