"""Golden values of the table kinds, from NumPy, scikit-learn and iterative-stratification.

Usage: python stages.py > stages.json
"""

import json

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split


def labels(seed, rows, classes):
    """Rows with one to three labels, low numbers commoner."""
    random = np.random.RandomState(seed)
    out = np.zeros((rows, classes), dtype=int)
    for row in range(rows):
        for _ in range(random.randint(1, 4)):
            out[row, min(random.randint(classes), random.randint(classes))] = 1
    return out


def targets(matrix):
    return [" ".join(str(label) for label in np.flatnonzero(row)) for row in matrix]


def folds(seed, rows, classes, count):
    matrix = labels(seed, rows, classes)
    splitter = MultilabelStratifiedKFold(n_splits=count, shuffle=True, random_state=seed)
    fold_of = np.zeros(rows, dtype=int)
    for fold, (_, validation) in enumerate(splitter.split(np.zeros(rows), matrix)):
        fold_of[validation] = fold
    return {"seed": seed, "classes": classes, "folds": count, "targets": targets(matrix), "fold": fold_of.tolist()}


def random_state(seed):
    random = np.random.RandomState(seed)
    return {
        "seed": seed,
        "permutation": random.permutation(20).tolist(),
        "choices": [int(random.choice(n)) for n in (2, 3, 7, 28, 1000)],
        "held_out": np.random.RandomState(seed).choice(np.arange(50), 10, replace=False).tolist(),
        "validation": train_test_split(np.arange(13), test_size=13 // 4, random_state=seed)[1].tolist(),
        "train": train_test_split(np.arange(13), test_size=13 // 4, random_state=seed)[0].tolist(),
    }


def thresholds(seed):
    random = np.random.RandomState(seed)
    values, ratio = random.beta(0.5, 2, size=200), float(random.uniform(0.02, 0.6))
    points = np.linspace(0, 1, 10000)
    distance = np.abs((values[None, :] > points[:, None]).mean(axis=1) - ratio)
    best = np.flatnonzero(distance == distance.min())
    chosen = points[best[np.argmin(np.abs(points[best] - 0.5))]]
    return {"values": values.tolist(), "ratio": ratio, "threshold": float(chosen)}


def soft_f1(seed):
    random = np.random.RandomState(seed)
    positive = random.uniform(size=120) < 0.3
    values = np.clip(0.35 * positive + random.uniform(0, 0.65, size=120), 0, 1)
    points = np.linspace(0, 1, 200001)
    best = (-1.0, 0.0)
    for point in points:
        counted = 1 / (1 + np.exp(-50 * (values - point)))
        best = max(best, (2 * (counted * positive).sum() / (counted.sum() + positive.sum()), point))
    return {"values": values.tolist(), "positive": positive.tolist(), "score": best[0], "threshold": best[1]}


def report(seed):
    actual = labels(seed, 80, 6)
    random = np.random.RandomState(seed + 1)
    values = np.round(np.clip(0.5 * actual + random.uniform(0, 0.6, size=actual.shape), 0, 1), 6)
    predicted = (values > 0.5).astype(int)
    predicted[np.arange(len(values)), values.argmax(axis=1)] = 1
    right = np.clip(np.where(actual == 1, values, 1 - values), 1e-15, 1 - 1e-15)
    scores = {name: score(actual, predicted, average=None, zero_division=0).tolist()
              for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score))}
    return {
        "targets": targets(actual), "values": values.tolist(), **scores,
        "accuracy": float((actual == predicted).mean()),
        "macro_f1": float(f1_score(actual, predicted, average="macro", zero_division=0)),
        "focal_loss": float((-(1 - right) ** 2 * np.log(right)).sum(axis=1).mean()),
    }


def ensembles(seed):
    stack = np.random.RandomState(seed).uniform(size=(7, 5, 3))
    return {"stack": stack.tolist(), "mean": stack.mean(axis=0).tolist(), "maximum": stack.max(axis=0).tolist()}


print(json.dumps({
    "random_state": [random_state(seed) for seed in (0, 100, 4294967295)],
    "folds": [folds(*case) for case in ((0, 60, 5, 5), (100, 173, 28, 5), (7, 200, 9, 3), (42, 97, 2, 10))],
    "thresholds": [thresholds(seed) for seed in range(4)],
    "soft_f1": [soft_f1(seed) for seed in range(3)],
    "report": report(3),
    "ensembles": ensembles(5),
}, indent=None, separators=(",", ":")))
