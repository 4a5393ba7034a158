"""The three nearest references of every query by cosine, in NumPy: what the kind `neighbours` is measured beside.

Blocks of queries are multiplied in float32 with all references (OpenBLAS), the best three of a row found by argpartition.
The features are random, float32, and made once; `--only-make` makes them and stops.

Usage: python neighbours.py FOLDER [QUERIES=11702] [REFERENCES=74606] [COLUMNS=512] [--only-make]
"""

import pathlib
import resource
import sys
import time

import numpy as np

TOP = 3
BLOCK = 512


def make(folder, rows, columns):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name, count in rows.items():
        ids = "\n".join(f"{name}{row}" for row in range(count))
        (folder / f"{name}.csv").write_text(f"Id\n{ids}\n")
        np.save(folder / f"{name}.npy", random.standard_normal((count, columns), dtype=np.float32))


def directions(values):
    values = (values - values.mean(axis=0, dtype=np.float64)) / values.std(axis=0, dtype=np.float64)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def nearest(folder):
    queries, references = (directions(np.load(folder / f"{name}.npy")) for name in ("queries", "references"))
    ids = [(folder / f"{name}.csv").read_text().split()[1:] for name in ("queries", "references")]
    with open(folder / "neighbours_numpy.csv", "w") as file:
        file.write("Id,rank,neighbour,cosine\n")
        for first in range(0, len(queries), BLOCK):
            cosines = queries[first:first + BLOCK] @ references.T
            best = np.argpartition(cosines, -TOP, axis=1)[:, -TOP:]
            values = np.take_along_axis(cosines, best, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            for row, columns in enumerate(np.take_along_axis(best, order, axis=1)):
                for rank, column in enumerate(columns, start=1):
                    file.write(f"{ids[0][first + row]},{rank},{ids[1][column]},{cosines[row, column]}\n")


def main(folder, queries=11702, references=74606, columns=512):
    folder = pathlib.Path(folder)
    if not (folder / "references.csv").exists() or ONLY_MAKE:
        make(folder, {"queries": int(queries), "references": int(references)}, int(columns))
    if ONLY_MAKE:
        return
    start = time.monotonic()
    nearest(folder)
    seconds, peak = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"numpy {np.__version__}: {seconds:.2f} s, peak {peak} MB")


ONLY_MAKE = "--only-make" in sys.argv
main(*(argument for argument in sys.argv[1:] if not argument.startswith("--")))
