"""Antibody splits in the order of operations of the reference solution, from pandas, NumPy and scikit-learn.

Usage: python antibody.py > antibody.json
       python antibody.py FOLDER > real_antibody.txt   (FOLDER holds train.csv and HPAv18RBGY_wodpl.csv)

The second form prints digests for the real tables with pairs that are made up by a rule which the test has, too.
"""

import hashlib
import json
import sys

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

COLUMNS = ["Id", "External", "antibody", "antibody_code"]


def external_table(ids):
    table = pd.DataFrame({"Id": ids, "External": True})
    table["antibody"] = [name.split("_")[0] for name in ids]
    codes = {name: code for code, name in enumerate(sorted(set(table["antibody"])))}
    table["antibody_code"] = table["antibody"].map(codes)
    return table


def quarters(table, seed):
    """Within each antibody, by first appearance, a quarter of the rows is validation."""
    train, validation = [], []
    for antibody in table["antibody"].unique():
        rows = table[table["antibody"] == antibody]
        size = len(rows) // 4
        if size == 0:
            train.append(rows)
            continue
        ours, theirs = train_test_split(np.arange(len(rows)), test_size=size, random_state=seed)
        train.append(rows.iloc[ours])
        validation.append(rows.iloc[theirs])
    return pd.concat(train), pd.concat(validation)


def split(external, pairs, hold_out, seed):
    """Leaked rows leave both parts; matched train ids come in once, in pair order; some of them are held out."""
    train, validation = quarters(external, seed)
    matched = pairs.copy()
    matched["antibody"] = [name.split("_")[0] for name in matched["Extra"]]
    codes = train[["antibody", "antibody_code"]].drop_duplicates()
    matched = matched.rename(columns={"Train": "Id"}).merge(codes, on="antibody", how="left")
    matched["External"] = False
    leaked = set(matched["Extra"])
    train = pd.concat([train[~train["Id"].isin(leaked)], matched[COLUMNS].drop_duplicates(subset="Id")])
    validation = validation[~validation["Id"].isin(leaked)]
    ids = np.sort(matched["Id"].unique())
    np.random.seed(seed)
    held_out = set(np.random.choice(ids, size=hold_out, replace=False))
    out = train[train["Id"].isin(held_out)]
    return train[~train["Id"].isin(held_out)], validation, out, len(ids)


def lines(table):
    return [",".join(str(cell) for cell in row) for row in table[COLUMNS].itertuples(index=False)]


def made_up(seed, antibodies, rows, train_rows, pair_rows, hold_out):
    random = np.random.RandomState(seed)
    names = random.choice(np.arange(2, 4000), antibodies, replace=False)
    ids = [f"{random.choice(names)}_1_A{at}_1" for at in range(rows)]
    train_ids = [f"t{at:03}" for at in random.permutation(train_rows)]
    pairs = pd.DataFrame({
        "Train": random.choice(train_ids, pair_rows), "Extra": random.choice(ids, pair_rows),
    })
    train, validation, out, matched = split(external_table(ids), pairs, hold_out, 100)
    return {
        "external": ids, "train": sorted(train_ids), "pairs": pairs.values.tolist(), "hold_out": hold_out,
        "matched": matched, "parts": {"train": lines(train), "validation": lines(validation), "held_out": lines(out)},
    }


def real(folder):
    """5,000 pairs, in which 3,630 train ids match."""
    train = pd.read_csv(f"{folder}/train.csv")["Id"]
    external = list(pd.read_csv(f"{folder}/HPAv18RBGY_wodpl.csv")["Id"])
    numbers = range(5000)
    pairs = pd.DataFrame({
        "Train": [train[number * 7919 % 3630 * 8] for number in numbers],
        "Extra": [external[number * 104729 % len(external)] for number in numbers],
    })
    parts = split(external_table(external), pairs, 1000, 100)
    assert parts[3] == 3630 and len(parts[2]) == 1000
    for name, part in zip(("train.csv", "validation.csv", "held_out.csv"), parts):
        text = "".join(f"{line}\n" for line in [",".join(COLUMNS), *lines(part)])
        print(hashlib.sha256(text.encode()).hexdigest() + "  " + name, len(part))


if sys.argv[1:]:
    real(sys.argv[1])
else:
    cases = [made_up(1, 9, 60, 30, 25, 4), made_up(2, 3, 41, 50, 80, 0), made_up(3, 30, 90, 12, 40, 7)]
    print(json.dumps(cases, separators=(",", ":")))
