#!/usr/bin/env bash
# compare.sh REV [N] [PACKAGES...]: the benchmarks of REV and of the tree in turn, N times each,
# through benchstat; of all packages that have some, where none is named. Programs are built once for each
# side. What is written is in bench/out/compare.
set -euo pipefail
rev=$1 n=${2:-10}
shift $(( $# < 2 ? $# : 2 ))
go=${GO:-go} benchstat=${BENCHSTAT:?} time=${BENCHTIME:-0.3s} bench=${BENCH:-.}
[ "$n" -ge 10 ] || echo "compare: $n runs are a try; differences want at least 10" >&2
top=$(git rev-parse --show-toplevel) out=$PWD/out/compare
rev=$(git rev-parse --verify "$rev^{commit}")
mkdir -p "$out"
git worktree remove --force "$out/base" 2>/dev/null || true
git worktree prune
git worktree add --quiet --detach "$out/base" "$rev"
trap 'git worktree remove --force "$out/base"' EXIT
rm -f "$out"/*.txt "$out"/*.test

cd "$top"
packages=("$@")
if [ ${#packages[@]} = 0 ]; then
  mapfile -t packages < <(git grep -l '^func Benchmark' -- '*_test.go' ':!bench/' | xargs -n1 dirname | sort -u | sed 's|^|./|')
fi
for p in "${packages[@]}"; do
  [ -d "$out/base/$p" ] || continue
  name=$(echo "${p#./}" | tr / -)
  (cd "$out/base" && $go test -c -o "$out/base-$name.test" "$p")
  $go test -c -o "$out/tree-$name.test" "$p"
  for i in $(seq "$n"); do
    sides="base tree"; [ $((i % 2)) = 0 ] && sides="tree base" # neither has always the warmer machine
    for side in $sides; do
      dir=$top; [ "$side" = base ] && dir=$out/base
      (cd "$dir/$p" && "$out/$side-$name.test" -test.run '^$' -test.bench "$bench" -test.benchtime "$time" -test.benchmem) >>"$out/$side.txt"
    done
  done
done
cd "$out"
$go run "$benchstat" base.txt tree.txt
