#!/usr/bin/env bash
# Logits of torchvision's networks, exported by PyTorch, from Percept and from ONNX Runtime:
#   bench/torchvision/run.sh
# Needs cargo and python3. The peers go into a venv of their own, or into the one that PEERS_VENV names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEERS_VENV:-$here/../../target/bench-torchvision-venv}
if [ -z "${PEERS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
fi
exec "$venv/bin/python" "$here/compare.py" "$@"
