#!/usr/bin/env python3
"""A model of sounds in ONNX Runtime, on spectrograms made with numpy from what its metadata says, beside `percept sound predict`.

    pip install numpy onnxruntime
    cargo build --release
    python3 bench/sound/runtime.py run/model.onnx FOLDER-OF-WAV

Takes 16-bit WAV in one channel, at the model's rate and no longer than what it takes at once. Fails where a probability differs by over 1e-4.
"""
import json
import pathlib
import subprocess
import sys
import wave

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
PERCEPT = ROOT / "target/release/percept"


def spectrogram(samples, sound, low=20.0):
    frames = np.lib.stride_tricks.sliding_window_view(samples, sound["window"])[:: sound["hop"]]
    hann = np.hanning(sound["window"] + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * hann, sound["fft"])) ** 2
    top = 2595 * np.log10(1 + sound["rate"] / 2 / 700)
    corners = 700 * (10 ** (np.linspace(2595 * np.log10(1 + low / 700), top, sound["bands"] + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(sound["fft"], 1 / sound["rate"])
    triangles = [np.interp(bins, corners[i:i + 3], [0, 1, 0], left=0, right=0) for i in range(sound["bands"])]
    decades = np.log10(np.maximum(np.stack(triangles) @ power.T, 1e-10))
    return np.maximum((decades - decades.max()) / 4 + 1, -1)


def main(model, folder):
    session = onnxruntime.InferenceSession(model)
    about = session.get_modelmeta().custom_metadata_map
    sound, labels = json.loads(about["percept.sound"]), json.loads(about["percept.labels"])
    files = sorted(pathlib.Path(folder).rglob("*.wav"))
    command = [PERCEPT, "sound", "predict", model, "--top", str(len(labels)), *files]
    answers = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    compared, worst = 0, 0.0
    for file, answer in zip(files, answers):
        with wave.open(str(file)) as recording:
            samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2") / 32768
            if (recording.getframerate(), recording.getnchannels()) != (sound["rate"], 1):
                continue
        if len(samples) < sound["window"]:
            continue
        values = spectrogram(samples, sound)
        spare = sound["frames"] - values.shape[1]
        if spare < 0:
            continue
        picture = np.pad(values, ((0, 0), (spare // 2, spare - spare // 2)), constant_values=-1)
        said = session.run(None, {"spectrogram": picture[None, None].astype("f4")})[0][0]
        ours = {one["label"]: one["probability"] for one in answer["classes"]}
        worst = max(worst, max(abs(said[i] - ours[label]) for i, label in enumerate(labels)))
        compared += 1
    print(f"{compared} recordings, largest difference {worst:.1e}")
    sys.exit(int(compared == 0 or worst > 1e-4))


if __name__ == "__main__":
    main(*sys.argv[1:])
