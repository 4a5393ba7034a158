"""SHA-256 of what the reference's tools make of the challenge's real tables.

Usage: python real_tables.py FOLDER > real_tables.txt   (FOLDER holds train.csv, HPAv18RBGY_wodpl.csv, ...)
"""

import csv
import hashlib
import io
import sys

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

RATIOS = [
    0.36239782, 0.043841336, 0.075268817, 0.059322034, 0.075268817, 0.075268817, 0.043841336, 0.075268817, 0.01, 0.01,
    0.01, 0.043841336, 0.043841336, 0.014198783, 0.043841336, 0.01, 0.028806584, 0.014198783, 0.028806584, 0.059322034,
    0.01, 0.126126126, 0.028806584, 0.075268817, 0.01, 0.22249388, 0.028806584, 0.01,
]


def read(folder, name):
    with open(f"{folder}/{name}") as file:
        return list(csv.DictReader(file))


def one_hot(rows):
    labels = np.zeros((len(rows), 28), dtype=int)
    for at, row in enumerate(rows):
        labels[at, [int(label) for label in row["Target"].split()]] = 1
    return labels


def report(name, header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    print(hashlib.sha256(text.getvalue().encode()).hexdigest() + "  " + name)


def folds(rows):
    splitter = MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=100)
    fold_of = np.zeros(len(rows), dtype=int)
    for fold, (_, validation) in enumerate(splitter.split(np.zeros(len(rows)), one_hot(rows))):
        fold_of[validation] = fold
    return [(row["Id"], fold) for row, fold in zip(rows, fold_of)]


def submission(folder, train):
    names = ("inceptionv3", "xception", "inceptionv4")
    probabilities = np.mean([np.load(f"{folder}/{name}_800_score.npy") for name in names], axis=0)
    share = one_hot(train).mean(axis=0)
    points = np.linspace(0, 1, 10000)
    thresholds = []
    for label, ratio in enumerate(RATIOS):
        wanted = share[label] if ratio == 0.01 else ratio
        above = np.array([(probabilities[:, label] > point).mean() for point in points])
        distance = np.abs(above - wanted)
        best = np.flatnonzero(distance == distance.min())
        thresholds.append(points[best[np.argmin(np.abs(points[best] - 0.5))]])
    external = {row["Id"]: row["Target"] for row in read(folder, "HPAv18RBGY_wodpl.csv")}
    leak = {}
    for row in read(folder, "TestEtraMatchingUnder_259_R14_G12_B10.csv"):
        leak.setdefault(row["Test"], external[row["Extra"].split("_", 1)[1]])
    rows = []
    for row, values in zip(read(folder, "sample_submission.csv"), probabilities):
        labels = set(np.flatnonzero(values > thresholds)) | {int(values.argmax())}
        if row["Id"] in leak:
            labels = {int(label) for label in leak[row["Id"]].split()}
        rows.append((row["Id"], " ".join(str(label) for label in sorted(labels))))
    return rows


def main(folder):
    train = read(folder, "train.csv")
    report("folds_train.csv", ("Id", "fold"), folds(train))
    report("folds_external.csv", ("Id", "fold"), folds(read(folder, "HPAv18RBGY_wodpl.csv")))
    report("submission.csv", ("Id", "Predicted"), submission(folder, train))


main(sys.argv[1])
