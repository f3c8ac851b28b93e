#!/usr/bin/env python3
"""Writes mel.json, log-mel spectrograms computed with numpy in double precision, and tone.wav and tone.flac (by libsndfile).

    pip install numpy soundfile
    python3 crates/jobs/tests/golden/mel.py
"""
import json
import pathlib

import numpy as np
import soundfile

HERE = pathlib.Path(__file__).parent


def spectrogram(samples, rate, bands=40, low=20.0):
    window, hop = round(rate * 0.025), round(rate * 0.010)
    fft = 1 << (window - 1).bit_length()
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    hann = np.hanning(window + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * hann, fft)) ** 2
    mel = np.linspace(2595 * np.log10(1 + low / 700), 2595 * np.log10(1 + rate / 2 / 700), bands + 2)
    corners = 700 * (10 ** (mel / 2595) - 1)
    bins = np.fft.rfftfreq(fft, 1 / rate)
    triangles = np.stack([np.interp(bins, corners[i:i + 3], [0, 1, 0], left=0, right=0) for i in range(bands)])
    decades = np.log10(np.maximum(triangles @ power.T, 1e-10))
    return np.maximum((decades - decades.max()) / 4 + 1, -1)


def chirp(rate, count):
    t = np.arange(count) / rate
    noise = np.random.default_rng(1).standard_normal(count)
    wave = 0.4 * np.sin(2 * np.pi * (200 + 4000 * t) * t) + 0.2 * np.sin(2 * np.pi * 1234 * t) + 0.002 * noise
    return np.round(32768 * wave).astype(int)


cases = []
for rate, count in [(8000, 500), (16000, 900)]:
    samples = chirp(rate, count)
    values = spectrogram(samples / 32768, rate)
    cases.append({
        "rate": rate,
        "samples": samples.tolist(),
        "frames": values.shape[1],
        "values": [float(f"{x:.6f}") for x in values.ravel()],
    })
(HERE / "mel.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
for name in ["tone.wav", "tone.flac"]:
    soundfile.write(HERE / name, chirp(8000, 400).astype("int16"), 8000, subtype="PCM_16")
