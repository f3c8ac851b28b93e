"""Writes gaussian.json: squared Mahalanobis distances between class means. By hand: python3 gaussian.py (numpy)

The covariance within classes is shrunk as eq. 23 of Chen, Wiesel, Eldar and Hero 2010 says.
"""

import json
import pathlib

import numpy as np

rng = np.random.default_rng(5)
rows, width, classes = 40, 6, 4
labels = np.arange(rows) % classes
features = (rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + 3 * rng.normal(size=(classes, width))[labels]).round(3)
means = np.stack([features[labels == c].mean(0) for c in range(classes)])
left = features - means[labels]
n, p = rows - classes, width
s = left.T @ left / n
square, squares = np.trace(s) ** 2, np.trace(s @ s)
share = min(1, ((1 - 2 / p) * squares + square) / ((n + 1 - 2 / p) * (squares - square / p)))
shrunk = (1 - share) * s + share * np.trace(s) / p * np.eye(p)
between = means[:, None] - means
apart = np.einsum("abi,ij,abj->ab", between, np.linalg.inv(shrunk), between)
assert 0 < share < 1
pathlib.Path(__file__).with_name("gaussian.json").write_text(json.dumps({
    "width": width, "classes": classes, "features": features.ravel().tolist(), "labels": labels.tolist(),
    "apart": apart.ravel().round(6).tolist(),
}) + "\n")
