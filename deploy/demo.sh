#!/usr/bin/env bash
# The main job on one machine: a controller, three agents that enrol over mTLS, a playbook run twice, the recaps.
set -euo pipefail
cd "$(dirname "$0")/.."

state=$(mktemp -d "${TMPDIR:-/tmp}/pybible-demo.XXXXXX")
cleanup() {
  pybible-ctl lab down --state "$state/lab" >/dev/null 2>&1 || true
  rm -rf "$state"
}
trap cleanup EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }

say "pybible-ctl lab up --agents 3 --prefix edge: a controller, and three agents that dial out to it"
exports=$(pybible-ctl lab up --agents 3 --prefix edge --state "$state/lab")
eval "$exports"
pybible-ctl agents

for run in first second; do
  say "pybible-ctl run -i examples/inventory.ini examples/site.yml: the $run run"
  pybible-ctl run -i examples/inventory.ini -e "site_base=$state/hosts" examples/site.yml | tee "$state/$run"
done

say "What the controller kept of it"
pybible-ctl runs

awk '/PLAY RECAP/ {recap = 1; next} recap && /:/ {hosts++; if ($0 !~ / changed=0 /) changed++}
     END {exit !(hosts == 3 && !changed)}' "$state/second" || { echo "the second run changed something" >&2; exit 1; }
say "The second run changed nothing: done"
