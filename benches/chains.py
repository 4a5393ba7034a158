"""Trivial shell stages in chains, beside ninja where it is installed: cold, and with nothing to do.

Each stage copies its predecessor's file and appends a line. Floor: what the shell and `cp` themselves cost; ninja hashes nothing.

Usage: python3 benches/chains.py ATHANOR [STAGES=1000] [CHAINS=10] [JOBS=2]
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


def athanor_file(stages, chains):
    lines = ["athanor: 1", "name: chains", "stages:"]
    for number in range(stages):
        lines += [f"  s{number}:", "    kind: command"]
        if number >= chains:
            lines += [f"    inputs: {{ i: s{number - chains} }}"]
            lines += ["    run: cp ${{ inputs.i }} ${{ outputs.o }}; chmod u+w ${{ outputs.o }}; "
                      f"echo {number} >> ${{{{ outputs.o }}}}"]
        else:
            lines += [f"    run: echo {number} > ${{{{ outputs.o }}}}"]
        lines += ["    outputs: { o: o.txt }"]
    return "\n".join(lines) + "\n"


def ninja_file(stages, chains):
    lines = ["rule first", "  command = echo $n > $out", "rule next", "  command = cp $in $out; echo $n >> $out"]
    for number in range(stages):
        rule = f"next o{number - chains}.txt" if number >= chains else "first"
        lines += [f"build o{number}.txt: {rule}", f"  n = {number}"]
    return "\n".join(lines) + "\n"


def seconds(command, folder):
    start = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def main(athanor, stages=1000, chains=10, jobs=2):
    stages, chains = int(stages), int(chains)
    peers = {"athanor": [str(pathlib.Path(athanor).resolve()), "run", "p.yaml", "-j", str(jobs)]}
    if shutil.which("ninja"):
        peers["ninja"] = ["ninja", "-j", str(jobs)]
    for name, command in peers.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "p.yaml").write_text(athanor_file(stages, chains))
            (folder / "build.ninja").write_text(ninja_file(stages, chains))
            cold = seconds(command, folder)
            null = min(seconds(command, folder) for _ in range(5))
            print(f"{name:8} {stages} stages, {jobs} jobs: cold {cold:.2f} s, nothing to do {null * 1000:.0f} ms")


main(*sys.argv[1:])
