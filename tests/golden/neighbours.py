"""Golden values of neighbours and pseudo labels, from NumPy and scikit-learn.

Usage: python neighbours.py > neighbours.json
"""

import json

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

ROWS = (13, 29)


def features(random, rows, columns, dtype):
    """Clusters of rows on columns of very different scales; one column is constant, one but for its last bits."""
    centres = random.normal(size=(4, columns))
    values = centres[random.randint(4, size=rows)] + random.normal(scale=0.7, size=(rows, columns))
    values = np.round(values * 10.0 ** random.randint(-2, 4, size=columns) + random.normal(scale=100, size=columns), 4)
    values[:, 2] = 0.1
    values[:, 3] = 0.1 + np.spacing(0.1) * np.arange(rows)
    return values.astype(dtype).astype(np.float64)


def neighbours(seed, dtype, top):
    random = np.random.RandomState(seed)
    sides = [features(random, rows, 8, dtype) for rows in ROWS]
    actual = [random.choice(["0", "1", "0 2", "1 2"], size=rows) for rows in ROWS]
    antibodies = [random.randint(3, size=rows) for rows in ROWS]
    cosines = cosine_similarity(*(StandardScaler().fit_transform(side) for side in sides))
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :top]
    best = np.take_along_axis(cosines, nearest, axis=1)
    same_antibody, same_target = (ours == theirs[nearest[:, 0]] for ours, theirs in (antibodies, actual))
    above = [best[:, 0] > threshold for threshold in np.arange(60, 80) / 100]
    return {
        "dtype": dtype, "top": top,
        "features": [side.tolist() for side in sides],
        "targets": [side.tolist() for side in actual],
        "antibodies": [side.tolist() for side in antibodies],
        "nearest": nearest.tolist(), "cosines": best.tolist(),
        "report": [[int(rows.sum()), int((rows & same_antibody).sum()), int((rows & same_target).sum())] for rows in above],
    }


def pseudo_labels(seed, threshold, min_confidence, top_share):
    random = np.random.RandomState(seed)
    values = np.round(random.beta(0.6, 1.5, size=(60, 4)), 2)
    best = values.argmax(axis=1)
    hard = values > threshold
    hard[np.arange(len(values)), best] = True
    taken = []
    for label in range(values.shape[1]):
        rows = np.flatnonzero((best == label) & (values.max(axis=1) >= min_confidence))
        rows = rows[np.argsort(-values[rows, label], kind="stable")]
        taken += rows[:max(1, int(np.floor(len(rows) * top_share + 0.5)))].tolist()
    taken.sort()
    return {
        "threshold": threshold, "min_confidence": min_confidence, "top_share": top_share, "values": values.tolist(),
        "taken": taken, "targets": [" ".join(str(label) for label in np.flatnonzero(hard[row])) for row in taken],
    }


print(json.dumps({
    "neighbours": [neighbours(*case) for case in ((1, "<f8", 3), (2, "<f4", 1), (3, ">f4", 29))],
    "pseudo_labels": [pseudo_labels(*case) for case in ((4, 0.5, 0.0, 1.0), (5, 0.3, 0.6, 1.0), (6, 0.5, 0.4, 0.25))],
}, indent=None, separators=(",", ":")))
