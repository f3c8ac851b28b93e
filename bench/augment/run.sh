#!/usr/bin/env bash
# Views a second of percept-photos and of Albumentations on the same pictures, in one run:
#   bench/augment/run.sh FOLDER-OF-PICTURES [ROUNDS]
# Needs cargo and python3. The peers go into a venv of their own, or into the one that PEERS_VENV names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEERS_VENV:-$here/../../target/bench-augment-venv}
if [ -z "${PEERS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
fi
NO_ALBUMENTATIONS_UPDATE=1 exec "$venv/bin/python" "$here/compare.py" "$@"
