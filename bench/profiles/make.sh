#!/usr/bin/env bash
# make.sh: the profile of each optimisation's benchmark in the naive form and in gaia's, summed up
# in a text file beside this one. The profiles themselves stay in bench/out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) top=$(git rev-parse --show-toplevel) go=${GO:-go}
out=$here/../out/profiles
mkdir -p "$out"
(cd "$here/.." && $go build -o out/profiles/profile ./profile)
summary() { # NAME PACKAGE BENCHMARK
  $go test -C "$top" -c -o "$out/$1.test" "./$2"
  for form in naive gaia; do
    dir=$out/$1-$form
    rm -rf "$dir"; mkdir -p "$dir"
    # The benchmark's forms are its last part, below the sizes where it has some. Bytes and times are
    # of two runs: what counts every 512th byte would be seen in the times.
    run() { (cd "$top/$2" && "$out/$1.test" -test.run '^$' -test.bench "^$3\$/^form=$form\$|^$3\$/./^form=$form\$" -test.benchmem "${@:4}"); }
    run "$@" -test.benchtime 1s -test.cpuprofile "$dir/cpu.prof" >"$dir/run.txt"
    run "$@" -test.benchtime 0.3s -test.memprofile "$dir/mem.prof" -test.memprofilerate 512 >/dev/null
    grep -q '^Benchmark' "$dir/run.txt" || { echo "profiles: no benchmark $3 of $form in $2" >&2; exit 1; }
  done
  {
    echo "# $1: written by make profiles; the numbers are of one run on one machine"
    for form in naive gaia; do
      echo
      echo "## $form"
      grep '^Benchmark' "$out/$1-$form/run.txt"
      "$out/profile" "$out/$1-$form" | grep -v ': none' | cat -s | sed 's/[[:space:]]*$//' | head -60
    done
  } >"$out/$1.txt"
  mv "$out/$1.txt" "$here/$1.txt"
  echo "$1"
}
summary maps extensions/metrics BenchmarkNumbers
summary contexts subsystems/api BenchmarkDeadline
summary timeouts subsystems/api BenchmarkClientTimeout
summary addresses subsystems/api BenchmarkAddress
summary connections subsystems/api BenchmarkConnections
