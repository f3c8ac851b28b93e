"""Writes logistic.json: probabilities that scikit-learn's LogisticRegression gives. By hand: python3 logistic.py"""

import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(3)
n, width, classes, c = 60, 5, 4, 0.3
labels = rng.integers(0, classes, n)
features = (rng.normal(size=(n, width)) + 0.7 * np.eye(classes, width)[labels]).round(3)
# The penalty is on the weights of standardised features.
scaled = (features - features.mean(0)) / features.std(0)
fit = LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(scaled, labels)
pathlib.Path(__file__).with_name("logistic.json").write_text(json.dumps({
    "width": width, "classes": classes, "c": c,
    "features": features.ravel().tolist(), "labels": labels.tolist(),
    "probabilities": fit.predict_proba(scaled).ravel().round(7).tolist(),
}) + "\n")
