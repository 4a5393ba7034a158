"""Athanor's training and prediction beside PyTorch's, in turn in one go; prints a table of ratios as Markdown.

Usage: python benches/learn.py ATHANOR [--python PYTHON] [--runs N] [--set NAME]... [--works train,predict] [--archs A,B]
       [--threads N] [--compile]

ATHANOR is the program. PYTHON has what `benches/peers/requirements-learn.txt` pins. NAME is a set of sizes:

  small    all networks at 224 x 224, batch 8
  tiny     all networks at 96 x 96, batch 16
  tables   the sizes of the reference solution with as large a batch as a CPU has patience for
  gpu      the sizes of the reference solution with its own batches, float32 and bfloat16
"""

import argparse
import json
import os
import statistics
import subprocess
from pathlib import Path

NETWORKS = ["densenet121", "densenet121_large", "inceptionv3", "resnet18", "resnet34", "resnet50"]
REFERENCE = [
    ("densenet121", 512, 48), ("densenet121_large", 1024, 36), ("inceptionv3", 512, 64), ("resnet34", 1024, 48),
    ("resnet50", 768, 32),
]

SETS = {
    "small": [(arch, 224, 8, "f32", 3) for arch in NETWORKS],
    "tiny": [(arch, 96, 16, "f32", 6) for arch in NETWORKS],
    "tables": [(arch, size, 2, "f32", 1) for arch, size, _ in REFERENCE],
    "gpu": [(arch, size, batch, precision, 20) for arch, size, batch in REFERENCE for precision in ("f32", "bf16")],
}


def measured(command):
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(output)[0]


def compare(options, work, arch, size, batch, precision, steps):
    """Images a second, the most memory and the share of waiting, of both; runs in turn."""
    flags = ["--arch", arch, "--size", size, "--batch", batch, "--precision", precision, "--steps", steps]
    flags = [str(flag) for flag in flags + ["--threads", options.threads, "--json"]]
    peer = [options.python, str(Path(__file__).parent / "peers/learn.py"), work, *flags]
    peer += ["--compile"] if options.compile else []
    runs = [(measured([options.athanor, "bench", work, *flags]), measured(peer)) for _ in range(options.runs)]
    return list(zip(*runs))


def memory(figures):
    """GiB of tensors on the GPU where there is one, else of the process."""
    name = "peak_memory" if figures[0]["peak_gpu_memory"] is None else "peak_gpu_memory"
    peaks = [f[name] for f in figures]
    return "-" if None in peaks else f"{max(peaks) / 2**30:.2f}"


def row(options, work, arch, size, batch, precision, steps):
    ours, theirs = compare(options, work, arch, size, batch, precision, steps)
    speed = lambda figures: statistics.median(f["images_per_second"] for f in figures)
    waiting = statistics.median(f["share_waiting_for_data"] for f in ours)
    cells = [
        work, arch, f"{size}", f"{batch}", precision, f"{speed(ours):.2f}", f"{speed(theirs):.2f}",
        f"{speed(theirs) / speed(ours):.2f}", memory(ours), memory(theirs), f"{100 * waiting:.1f} %",
    ]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("athanor")
    parser.add_argument("--python", default="python3")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--set", action="append", choices=sorted(SETS))
    parser.add_argument("--works", default="train,predict")
    parser.add_argument("--archs", default=",".join(NETWORKS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    print("| work | network | size | batch | type | ours, images/s | PyTorch, images/s | times PyTorch's time | ours, GiB | "
          "PyTorch, GiB | ours waiting |")
    print("| --- " * 11 + "|")
    for name in options.set or ["small"]:
        for case in SETS[name]:
            for work in options.works.split(","):
                if case[0] in options.archs.split(","):
                    print(row(options, work, *case), flush=True)


if __name__ == "__main__":
    main()
