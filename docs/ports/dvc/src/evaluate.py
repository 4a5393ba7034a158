"""Judges a model on train and test, with a curve and the weights: `evaluate.py MODEL FEATURES METRICS PLOTS`."""

import json
import os
import sys

with open(sys.argv[1]) as model:
    model = json.load(model)
os.makedirs(sys.argv[4])
metrics = {}
for part in ["train", "test"]:
    with open(f"{sys.argv[2]}/{part}.json") as features:
        rows = json.load(features)["rows"]
    scored = [
        (sum(tree[1 + row["x"][tree[0]]] for tree in model["trees"]) / max(len(model["trees"]), 1), row["label"])
        for row in rows
    ]
    positives = [score for score, label in scored if label]
    negatives = [score for score, label in scored if not label]
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    metrics[f"roc_auc_{part}"] = round(sum(pairs) / len(pairs), 4) if pairs else None
    with open(f"{sys.argv[4]}/roc_{part}.csv", "w") as curve:
        curve.write("fpr,tpr\n")
        for cut in sorted({score for score, _ in scored}, reverse=True):
            rate = [sum(score >= cut for score in side) / max(len(side), 1) for side in (negatives, positives)]
            curve.write(f"{rate[0]:.4f},{rate[1]:.4f}\n")
weights = {}
for feature, low, high in model["trees"]:
    weights[model["names"][feature]] = weights.get(model["names"][feature], 0) + abs(high - low)
with open(f"{sys.argv[4]}/importance.csv", "w") as importance:
    importance.write("term,importance\n")
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        importance.write(f"{name},{weights[name]:.4f}\n")
with open(sys.argv[3], "w") as out:
    json.dump(metrics, out, indent=2)
# What `athanor run` says of the stage.
with open(os.environ["ATHANOR_EVENTS"], "a") as events:
    for name, value in metrics.items():
        if value is not None:
            events.write(json.dumps({"event": "metric", "name": name, "value": value}) + "\n")
