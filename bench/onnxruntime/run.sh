#!/usr/bin/env bash
# Images a second of Percept and of ONNX Runtime with the same EfficientNet-Lite0, in one run:
#   bench/onnxruntime/run.sh [--model FILE.onnx] [--rounds N]
# Needs cargo and python3. The peers go into a venv of their own, or into the one that PEERS_VENV names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${PEERS_VENV:-$here/../../target/bench-onnxruntime-venv}
if [ -z "${PEERS_VENV:-}" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
fi
exec "$venv/bin/python" "$here/compare.py" "$@"
