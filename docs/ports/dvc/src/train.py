"""Trains a forest of trees with one split each: `train.py FEATURES MODEL`."""

import json
import random
import sys

import params

chosen = params.section("train")
random.seed(chosen["seed"])
with open(f"{sys.argv[1]}/train.json") as features:
    data = json.load(features)


def share(rows):
    return sum(row["label"] for row in rows) / len(rows) if rows else 0.5


trees = []
for _ in range(chosen["n_est"]):
    rows = random.choices(data["rows"], k=len(data["rows"]))
    best = None
    for feature in random.sample(range(len(data["names"])), k=min(8, len(data["names"]))):
        sides = [[row for row in rows if row["x"][feature] == side] for side in (0, 1)]
        if min(map(len, sides)) >= chosen["min_split"]:
            gain = abs(share(sides[1]) - share(sides[0]))
            best = max(best or (-1.0,), (gain, feature, share(sides[0]), share(sides[1])))
    trees += [best[1:]] if best else []
with open(sys.argv[2], "w") as model:
    json.dump({"names": data["names"], "trees": trees}, model)
