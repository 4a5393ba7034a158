"""Counts the words, and their sequences, that most posts have: `featurize.py PREPARED FEATURES`."""

import collections
import json
import os
import sys

import params

chosen = params.section("featurize")


def posts(part):
    with open(f"{sys.argv[1]}/{part}.tsv") as lines:
        for line in lines:
            _, label, text = line.rstrip("\n").split("\t")
            words = text.lower().split()
            lengths = range(1, chosen["ngrams"] + 1)
            yield int(label), {" ".join(words[at : at + n]) for n in lengths for at in range(len(words) - n + 1)}


seen = collections.Counter(term for _, terms in posts("train") for term in terms)
names = sorted(seen, key=lambda term: (-seen[term], term))[: chosen["max_features"]]
os.makedirs(sys.argv[2])
for part in ["train", "test"]:
    rows = [{"label": label, "x": [int(name in terms) for name in names]} for label, terms in posts(part)]
    with open(f"{sys.argv[2]}/{part}.json", "w") as out:
        json.dump({"names": names, "rows": rows}, out)
