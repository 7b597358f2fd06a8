#!/usr/bin/env bash
# naive.sh [N]: each optimisation's naive form beside gaia's, N times in turn, through
# benchstat with the forms as columns. What is measured is in bench/out/naive.txt.
set -euo pipefail
n=${1:-10} go=${GO:-go} benchstat=${BENCHSTAT:?} time=${BENCHTIME:-0.3s}
top=$(git rev-parse --show-toplevel) out=$PWD/out
mkdir -p "$out"
: >"$out/naive.txt"
for p in extensions/metrics subsystems/api; do
  name=$(basename "$p")
  (cd "$top" && $go test -c -o "$out/naive-$name.test" "./$p")
  for _ in $(seq "$n"); do
    (cd "$top/$p" && "$out/naive-$name.test" -test.run '^$' -test.bench '^Benchmark(Numbers|Deadline|ClientTimeout|Address|Connections)$' -test.benchtime "$time" -test.benchmem) >>"$out/naive.txt"
  done
done
$go run "$benchstat" -col /form "$out/naive.txt"
