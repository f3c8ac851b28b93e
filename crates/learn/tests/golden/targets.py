"""Writes targets.json, the reference values of tests/targets.rs: python targets.py (numpy, scikit-learn).

AUC is scikit-learn's; DeLong's variance is computed as the paper defines it (DeLong, DeLong and Clarke-Pearson, Biometrics 1988), from all pairs
of a positive and a negative score, which the fast algorithm avoids. The ratings are those of Hanley and McNeil (Radiology 1982, table I), for which
Stata's `roctab` prints 0.8932, standard error 0.0307. Bootstrap intervals repeat the published generator SplitMix64 here in Python.
"""

import json
import math
import pathlib

import numpy as np
from sklearn import linear_model, metrics

Z = 1.959963984540054
MASK = (1 << 64) - 1


def delong(scores, positive):
    x, y = scores[positive], scores[~positive]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    auc = metrics.roc_auc_score(positive, scores)
    assert abs(auc - psi.mean()) < 1e-12
    variance = psi.mean(1).var(ddof=1) / len(x) + psi.mean(0).var(ddof=1) / len(y)
    logit, half = math.log(auc / (1 - auc)), Z * math.sqrt(variance) / (auc * (1 - auc))
    return {
        "scores": scores.tolist(),
        "positive": positive.tolist(),
        "auc": auc,
        "auc_se": math.sqrt(variance),
        "auc_ci95": [1 / (1 + math.exp(-(logit + s * half))) for s in (-1, 1)],
    }


def splitmix(state):
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def regression(predicted, truth, resamples=2000):
    numbers, n = splitmix(0), len(truth)
    found = []
    for _ in range(resamples):
        i = [(next(numbers) * n) >> 64 for _ in range(n)]
        found.append((metrics.r2_score(truth[i], predicted[i]), metrics.mean_absolute_error(truth[i], predicted[i])))
    low, high = np.sort(found, axis=0)[[int(0.025 * resamples), resamples - 1 - int(0.025 * resamples)]]
    return {
        "predicted": predicted.tolist(),
        "truth": truth.tolist(),
        "metrics": {
            "images": n,
            "r2": metrics.r2_score(truth, predicted),
            "r2_ci95": [low[0], high[0]],
            "mae": metrics.mean_absolute_error(truth, predicted),
            "mae_ci95": [low[1], high[1]],
            "rmse": math.sqrt(metrics.mean_squared_error(truth, predicted)),
            "bias": float((predicted - truth).mean()),
            "correlation": float(np.corrcoef(truth, predicted)[0, 1]),
        },
    }


rng = np.random.default_rng(3)
positive = rng.random(90) < 0.3
scores = rng.normal(positive * 1.2, 1).round(1)  # Rounded, so that there are ties.
rare = np.arange(40) < 2
hanley = [np.repeat(np.arange(1, 6), counts) for counts in ([33, 6, 6, 11, 2], [3, 2, 2, 11, 33])]
hanley_scores, hanley_positive = np.concatenate(hanley).astype(float), np.repeat([False, True], [58, 51])

p = 1 / (1 + np.exp(-(1.5 * scores - 1)))
which = np.digitize(p, np.arange(1, 15) / 15, right=True)
binary = {
    "probabilities": p.tolist(),
    "accuracy": metrics.accuracy_score(positive, p >= 0.5),
    "sensitivity": metrics.recall_score(positive, p >= 0.5),
    "specificity": metrics.recall_score(~positive, p < 0.5),
    "brier": metrics.brier_score_loss(positive, p),
    "ece": sum(abs(p[which == b].sum() - positive[which == b].sum()) for b in range(15)) / len(p),
}

truth = rng.normal(50, 12, 60)
rows, width = 80, 6
x = rng.normal(0, 1, (rows, width)) @ rng.normal(0, 1, (width, width)) + 3
y = x @ rng.normal(0, 1, width) + rng.normal(0, 2, rows)
weights = rng.integers(1, 4, rows)
mean, deviation = np.average(x, axis=0, weights=weights), None
deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weights))
ridge = []
for c in (1e-3, 0.1, 10.0):
    model = linear_model.Ridge(alpha=1 / c, solver="cholesky").fit((x - mean) / deviation, y, sample_weight=weights)
    coefficients = model.coef_ / deviation
    ridge.append({"c": c, "coefficients": coefficients.tolist(), "intercept": float(model.intercept_ - coefficients @ mean)})

golden = {
    "delong": [delong(scores, positive), delong(rng.normal(0, 1, 40), rare), delong(hanley_scores, hanley_positive)],
    "binary": binary,
    "regression": regression(truth + rng.normal(1, 6, 60), truth),
    "features": x.ravel().tolist(),
    "values": y.tolist(),
    "weights": weights.tolist(),
    "ridge": ridge,
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, default=float) + "\n")
