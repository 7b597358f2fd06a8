#!/usr/bin/env bash
# run.sh [FLAGS]: gaia's gateway beside what one would take instead, as a Markdown table on standard
# output. About 4 minutes; -rounds 1 -time 1s is a first look; -help lists all, and the Debian
# packages of the systems: what is not installed is left out by name.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
mkdir -p out
(cd .. && make --no-print-directory build >&2)
$go build -trimpath -o out/beside ./gateway
exec out/beside -gaia ../bin/gaia "$@"
