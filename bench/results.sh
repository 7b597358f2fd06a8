#!/usr/bin/env bash
# results.sh [N]: measures what OPTIMIZATION_RESULTS.md tells and prints it to paste there: the
# state of the machine, the naive forms beside gaia's, the whole, the gate and the profile.
set -euo pipefail
n=${1:-10} go=${GO:-go}
echo "## Measured $(date -u +%F), $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg), $($go env GOVERSION), commit $(git rev-parse --short HEAD)"
block() { printf '\n### %s\n\n```\n' "$1"; shift; "$@" || echo "(ended with $?)"; printf '```\n'; }
block "make bench-naive REPEAT=$n" ./naive.sh "$n"
whole() { (cd .. && GAIA_COMPARE=$n $go test -count=1 -timeout 60m -run '^TestNaiveWiringAgainstGaia$' -v ./host 2>&1 | grep '^ *whole:' | sed 's/^ *//'); }
block "make bench-whole REPEAT=$n" whole
block "make bench-gate" $go run ./gate
profile() { (cd .. && make --no-print-directory profile >bench/out/profile.log 2>&1 || tail -5 bench/out/profile.log); head -60 out/profile/summary.txt; }
block "make profile" profile
