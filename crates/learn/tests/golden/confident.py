"""Writes confident.json, the reference values of tests/confident.rs: python confident.py (numpy, scipy, cleanlab).

240 rows of 5 classes, of which a sixth bears a wrong label; class 4 is one that the classifier is unsure of.
"""

import json
import pathlib

import numpy as np
from cleanlab.filter import find_label_issues
from scipy.special import softmax

N, CLASSES = 240, 5
rng = np.random.default_rng(11)
truth = np.arange(N) % CLASSES
logits = rng.normal(0, 1, (N, CLASSES))
logits[np.arange(N), truth] += np.where(truth == 4, 0.8, 2.5)
wrong = rng.choice(N, N // 6, replace=False)
labels = truth.copy()
labels[wrong] = (truth[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
probabilities = softmax(logits, axis=1).astype(np.float32)
issues = find_label_issues(
    labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="self_confidence", n_jobs=1
)
golden = {
    "classes": CLASSES,
    "labels": labels.tolist(),
    "probabilities": [float(x) for x in probabilities.ravel()],
    "suspects": issues.tolist(),
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden) + "\n")
