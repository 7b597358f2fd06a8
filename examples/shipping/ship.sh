#!/bin/sh
# From an empty folder to a signed policy in somebody else's gaia.
#
#   sh ship.sh LANG [REGISTRY]     LANG: js, ts, rust, go, assemblyscript or c
#
# The author works in ./author, who runs the policy in ./operator. UPSTREAM is the API that is paced.
set -eu
lang=${1:?usage: sh ship.sh LANG [REGISTRY]}
registry=${2:-}
upstream=${UPSTREAM:-https://example.com}

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'ship.sh: %s\n' "$*" >&2; exit 1; }

# must CODE COMMAND... runs a command that has to end with that exit code.
must() {
	want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$want" ] || fail "exit code $got, want $want: $*"
}

mkdir author operator

say "the author writes, builds, tests and measures a policy in $lang"
cd author
gaia policy new quota --lang "$lang"
if [ "$lang" = assemblyscript ] && [ -z "${ASC:-}" ]; then npm install --prefix quota; fi
gaia policy build quota
gaia policy test quota
case $lang in
js | ts) module=quota.bundle.js ;;
*) module=quota.wasm ;;
esac
gaia policy bench "quota/$module" --count 1 --time 20ms

say "and signs it"
gaia policy keygen team.key
gaia policy sign "quota/$module" --key team.key
cd ..

say "the operator gets the file, its signature and, once, the public key"
cp "author/quota/$module" "author/quota/$module.minisig" author/team.key.pub operator
cd operator
gaia policy verify "$module" --key team.key.pub
gaia policy inspect "$module"
cat >gaia.yaml <<YAML
listen: 127.0.0.1:0
control: ""
socket: $PWD/gaia.sock
require_signed: ["$(tail -n 1 team.key.pub)"]
policies:
  quota: { use: ./$module }
routes:
  api: { url: "$upstream" }
YAML

say "locks what was looked at, and runs that and nothing else"
gaia policy lock -c gaia.yaml
cat gaia.lock

# start runs gaia in the background; its output is in run.log.
start() {
	: >run.log
	gaia run --locked "$@" >>run.log 2>&1 &
	pid=$!
	trap 'kill $pid 2>/dev/null || true' EXIT
	until base=$(sed -n 's/.*base URL: //p' run.log) && [ -n "$base" ]; do
		kill -0 $pid 2>/dev/null || { cat run.log; fail "gaia did not start"; }
		sleep 0.05
	done
}

# denied sends many requests at once until one of them is denied.
denied() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		curl -sS --no-progress-meter -Z --parallel-immediate --parallel-max 100 -o /dev/null -w '%{http_code}\n' "$base[1-100]" | sort | uniq -c >codes
		if grep -q ' 429$' codes; then break; fi
	done
	cat codes
	grep -q ' 200$' codes || fail "no request went through"
	grep -q ' 429$' codes || fail "no request was denied"
}

stop() {
	gaia stop --socket gaia.sock
	wait $pid || true
	trap - EXIT
}

start -c gaia.yaml
denied

say "a module that was tampered with is refused: while it runs, and at a start"
printf ' ' >>"$module"
must 3 gaia reload --socket gaia.sock
curl -sSf -o /dev/null "$base" # the one in force goes on
stop
must 5 gaia run --locked -c gaia.yaml
must 5 gaia policy verify "$module" --key team.key.pub

if [ "$lang" = js ]; then
	say "so is the next version, until the operator locks it"
	cd ../author
	sed 's/0\.1\.0/0.2.0/' quota/gaia.json >new.json
	mv new.json quota/gaia.json
	gaia policy build quota
	gaia policy sign "quota/$module" --key team.key
	cp "quota/$module" "quota/$module.minisig" ../operator
	cd ../operator
	must 3 gaia run --locked -c gaia.yaml
	gaia policy lock -c gaia.yaml
	gaia validate --locked -c gaia.yaml
	must 5 gaia run --locked -c gaia.yaml --set "require_signed=[RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3]"
fi

if [ -n "$registry" ]; then
	address=$registry/team/quota-$lang:1.0
	say "the same by a registry: pushed, looked at, locked, granted what it uses, run"
	(cd ../author && gaia policy push "quota/$module" "$address")
	gaia policy inspect "oci://$address" --key team.key.pub
	sed "s|use: ./$module|use: \"oci://$address\", grants: { limiters: true }|" gaia.yaml >registry.yaml
	gaia policy lock -c registry.yaml
	start -c registry.yaml
	denied

	say "what somebody else pushes under that tag is neither run nor locked"
	(cd ../author && gaia policy keygen other.key && gaia policy push "quota/$module" "$address" --sign other.key)
	must 0 gaia reload --socket gaia.sock
	stop
	must 0 gaia validate --locked -c registry.yaml
	must 5 gaia policy lock -c registry.yaml
fi
say "done: a policy in $lang"
