"""Writes metrics.json, the reference values of tests/metrics.rs: python metrics.py (numpy, scipy, scikit-learn).

Of 7 classes, class 5 is never predicted and class 6 neither predicted nor a label; the logits are three times too large.
"""

import json
import pathlib

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn import metrics

N, CLASSES = 120, 7
rng = np.random.default_rng(7)
labels = rng.integers(0, 6, N)
logits = rng.normal(0, 1, (N, CLASSES))
logits[np.arange(N), labels] += 1.4
logits[:, 5:] -= 9
logits = np.round(3 * logits, 3).astype(np.float32)
probabilities = softmax(logits, axis=1)
every = np.arange(CLASSES)
predicted = probabilities.argmax(1)
right = predicted == labels

precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=0)

confidence = probabilities.max(1).astype(np.float64)
which = np.digitize(confidence, np.arange(1, 15) / 15, right=True)
bins = [(confidence[which == b], right[which == b]) for b in range(15)]
reliability = [
    {"confidence": c.mean() if len(c) else 0.0, "accuracy": r.mean() if len(c) else 0.0, "count": len(c)} for c, r in bins
]


def wilson(successes, n):
    return list(binomtest(int(successes), int(n)).proportion_ci(0.95, method="wilson"))


def nll(temperature):
    return -log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(N), labels].mean()


log_t = minimize_scalar(lambda x: nll(np.exp(x)), bounds=np.log([0.05, 20]), method="bounded", options={"xatol": 1e-10}).x
cells = metrics.confusion_matrix(labels, predicted, labels=every)
golden = {
    "logits": [float(x) for x in logits.ravel()],
    "probabilities": [float(x) for x in probabilities.ravel()],
    "labels": labels.tolist(),
    "metrics": {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "accuracy_ci95": wilson(right.sum(), N),
        "top5": metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=every),
        "f1_macro": metrics.f1_score(labels, predicted, average="macro", zero_division=0),
        "nll": metrics.log_loss(labels, probabilities, labels=every),
        "ece": sum(b["count"] / N * abs(b["accuracy"] - b["confidence"]) for b in reliability),
        "images": N,
        "classes": CLASSES,
        "per_class": [
            {"precision": p, "recall": r, "f1": f, "support": int(s)} for p, r, f, s in zip(precision, recall, f1, support)
        ],
        "confusion": [
            {"label": int(i), "predicted": int(j), "count": int(cells[i, j])} for i, j in zip(*cells.nonzero())
        ],
        "reliability": reliability,
    },
    "wilson": [[k, n, wilson(k, n)] for k, n in [(0, 1), (1, 1), (0, 30), (30, 30), (7, 12), (1880, 2485)]],
    "temperature": np.exp(log_t),
    "nll_at": [[t, nll(t)] for t in (0.05, 1.0, 2.5, 20.0)],
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, default=float) + "\n")
