#!/bin/sh
# Several answers from one picture, with known truth: draws photos and their table, trains, measures on the test part and where the heat lies.
#
#   bench/targets/run.sh [PHOTOS] [TIME-LIMIT] [SEED] [FOLDER]
set -eu
cd "$(dirname "$0")/../.."
photos=${1:-1600} limit=${2:-5m} seed=${3:-0}
work=${4:-$(mktemp -d)}
cargo build -q -p percept -p percept-photos -p percept-jobs --bin percept --example targets_table --example heat_share
built=${CARGO_TARGET_DIR:-target}/debug
[ -d "$work/data" ] || "$built/examples/targets_table" "$work/data" "$photos" "$seed"
"$built/percept" train "$work/data/photos" --targets "$work/data/table.csv" --time-limit "$limit" --no-flip --out "$work/run"
"$built/examples/heat_share" "$work/run/model.onnx" "$work/data/photos" "$work/data/marks.csv" marked
echo "$work/run/report.html"
