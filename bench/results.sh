#!/usr/bin/env bash
# results.sh [N [PART...]]: measures what OPTIMIZATION_RESULTS.md tells and prints it to paste
# there: the state of the machine, and the parts naive (the naive forms beside gaia's), whole, gate
# and profile, or those that are named. What a part said stays in out/results.
#
# All of it took 8 minutes with N=5 on two cores with a load of 10: the busier the machine, the more
# rows of the gate take all of the time that they may. A part that fails, such as a gate of which a
# row is SHORT, is said so, and the others are measured.
set -euo pipefail
n=${1:-10} go=${GO:-go}
shift || true
[ $# -gt 0 ] || set -- naive whole gate profile
mkdir -p out/results
naive() { ./naive.sh "$n"; }
whole() { (cd .. && GAIA_COMPARE=$n $go test -count=1 -timeout 60m -run '^TestNaiveWiringAgainstGaia$' -v ./host) | sed -n 's/^ *whole:/whole:/p; /^--- \|^FAIL\|^panic/p'; }
gate() { $go run ./gate -repeat $((4 * n + 1)) -limit $((1200 * n))ms -v; } # with N=10 as by itself
profile() { (cd .. && make --no-print-directory profile >bench/out/profile.log 2>&1) || tail -5 out/profile.log; head -60 out/profile/summary.txt; }
echo "## Measured $(date -u +%F), $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), $($go env GOVERSION), commit $(git rev-parse --short HEAD)"
for part; do
  declare -F "$part" >/dev/null || { echo "results.sh: no part $part" >&2; exit 2; }
  printf '\n### %s, N=%s\n\n```\n' "$part" "$n"
  from=$SECONDS ended=0
  "$part" 2>&1 | tee "out/results/$part.txt" || ended=$?
  printf '```\n\nIt took %s s and ended with %s; load now %s.\n' $((SECONDS - from)) "$ended" "$(cut -d' ' -f1-3 /proc/loadavg)"
done
