#!/usr/bin/env bash
# Percept beside its peers, forward and training, in one run:
#   bench/peers/run.sh [--networks NAME,…] [--batches 1,8,32] [--forward|--training] [--peers NAME,…] [--avx2] [--rounds N] [--seconds S] [--json FILE]
# Needs cargo, python3 and g++ (for torch.compile). The peers go into a venv of their own, or into the one that PEERS_VENV names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEERS_VENV:-$here/../../target/bench-peers/venv}
if [ -z "${PEERS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
fi
exec "$venv/bin/python" "$here/compare.py" "$@"
