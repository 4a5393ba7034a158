"""A profile of a step: launches and time by kernel, of what `athanor bench --kernels FILE` wrote.

Usage: python kernels.py FILE --steps N [--top 30]

N is the number of batches in the file: twice `--steps` of the measurement. Kernels that were tried by autotuning count, too: profile
with kernels that are chosen already. Prints Markdown.
"""

import argparse
import collections
import re

LINE = re.compile(r"^\| ([0-9.]+)(ns|µs|ms|s) *\| (.*)$")
SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
# The first that a name contains; otherwise the name itself says what it is.
CLASSES = {
    "convolution": ("conv", "im2col", "weight_grad"),
    "matrix multiplication": ("matmul", "gemm"),
    "reduction": ("reduce",),
    "pooling": ("pool",),
    "copy or cast": ("copy", "contiguous", "cast", "into_contiguous", "slice", "repeat", "cat"),
    "fused elementwise": ("fuse", "elemwise", "elementwise"),
}


def class_of(name):
    lower = name.lower()
    return next((of for of, words in CLASSES.items() if any(word in lower for word in words)), "other")


def rows(of, steps, top):
    total = sum(seconds for _, seconds in of.values())
    for name, (launches, seconds) in sorted(of.items(), key=lambda item: -item[1][1])[:top]:
        yield f"| {name} | {launches / steps:.1f} | {1e3 * seconds / steps:.3f} | {seconds / total:.1%} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--top", type=int, default=30)
    options = parser.parse_args()
    kernels, classes = (collections.defaultdict(lambda: (0, 0.0)) for _ in range(2))
    with open(options.file, encoding="utf-8") as lines:
        for line in lines:
            found = LINE.match(line)
            if found is None:
                continue
            seconds, name = float(found[1]) * SECONDS[found[2]], found[3].strip()
            for table, key in (kernels, name), (classes, class_of(name)):
                launches, sum_ = table[key]
                table[key] = launches + 1, sum_ + seconds
    launches = sum(launches for launches, _ in kernels.values())
    seconds = sum(seconds for _, seconds in kernels.values())
    print(f"{launches / options.steps:.1f} launches and {1e3 * seconds / options.steps:.2f} ms of kernels a step\n")
    for title, table in ("class", classes), ("kernel", kernels):
        print(f"| {title} | launches a step | ms a step | share |\n| --- | --- | --- | --- |")
        print("\n".join(rows(table, options.steps, options.top)), end="\n\n")


main()
