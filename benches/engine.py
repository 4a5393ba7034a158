"""The engine beside its peers: ninja, Snakemake, DVC, b3sum and bare stats, in one run, alternating.

Every number is the median of several rounds; the CPU time of all processes is printed beside the time on the clock, since that
says more on a machine that others use too. Prints Markdown tables.

Stages of ours are run by `bash -euo pipefail`, as they are where nobody names a shell, and those of ninja by `sh -c`: "ninja with
bash" runs the same lines by `bash -euo pipefail -c`.

Usage: python3 benches/engine.py ATHANOR [CASE …] [--work DIR] [--peers DIR] [--rounds N]

Cases: cold, small, null, plan, hash, stat, flat, cache (default: all). `--peers` names a folder with the programs ninja,
snakemake and dvc (a virtual environment's `bin`, see benches/peers/requirements.txt) and b3sum (`cargo install b3sum`).
"""

import argparse
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

JOBS = "2"


def athanor_file(stages, chains):
    lines = ["athanor: 1", "name: chains", "stages:"]
    for number in range(stages):
        lines += [f"  s{number}:", "    kind: command"]
        if number >= chains:
            lines += [f"    inputs: {{ i: s{number - chains} }}",
                      f"    run: cat ${{{{ inputs.i }}}} > ${{{{ outputs.o }}}}; echo {number} >> ${{{{ outputs.o }}}}"]
        else:
            lines += [f"    inputs: {{ i: in{number}.txt }}",
                      f"    run: cat ${{{{ inputs.i }}}} > ${{{{ outputs.o }}}}; echo {number} >> ${{{{ outputs.o }}}}"]
        lines += ["    outputs: { o: o.txt }"]
    return "\n".join(lines) + "\n"


def ninja_file(stages, chains):
    lines = ["rule next", "  command = cat $in > $out; echo $n >> $out"]
    for number in range(stages):
        source = f"o{number - chains}.txt" if number >= chains else f"in{number}.txt"
        lines += [f"build o{number}.txt: next {source}", f"  n = {number}"]
    return "\n".join(lines) + "\n"


def bash_ninja_file(stages, chains):
    """As `ninja_file`, by the shell that runs our stages, with outputs and a log of its own."""
    lines = ["builddir = bash", "rule next", "  command = bash -euo pipefail -c 'cat $in > $out; echo $n >> $out'"]
    for number in range(stages):
        source = f"b{number - chains}.txt" if number >= chains else f"in{number}.txt"
        lines += [f"build b{number}.txt: next {source}", f"  n = {number}"]
    return "\n".join(lines) + "\n"


def snake_file(stages, chains):
    lines = ["rule all:", "    input: " + ", ".join(f'"o{number}.txt"' for number in range(stages - chains, stages))]
    for number in range(stages):
        source = f"o{number - chains}.txt" if number >= chains else f"in{number}.txt"
        lines += [f"rule s{number}:", f'    input: "{source}"', f'    output: "o{number}.txt"',
                  f'    shell: "cat {{input}} > {{output}}; echo {number} >> {{output}}"']
    return "\n".join(lines) + "\n"


def dvc_file(stages, chains):
    lines = ["stages:"]
    for number in range(stages):
        source = f"o{number - chains}.txt" if number >= chains else f"in{number}.txt"
        lines += [f"  s{number}:", f"    cmd: cat {source} > o{number}.txt; echo {number} >> o{number}.txt",
                  f"    deps: [{source}]", f"    outs: [o{number}.txt]"]
    return "\n".join(lines) + "\n"


def matrix_file(stages):
    values = ", ".join(str(number) for number in range(stages))
    return ("athanor: 1\nname: matrix\nstages:\n  s:\n    kind: command\n"
            f"    matrix: {{ n: [{values}] }}\n    inputs: {{ i: in0.txt }}\n"
            "    run: cat ${{ inputs.i }} > ${{ outputs.o }}; echo ${{ matrix.n }} >> ${{ outputs.o }}\n"
            "    outputs: { o: o.txt }\n")


def written_file(stages):
    lines = ["athanor: 1", "name: written", "stages:"]
    for number in range(stages):
        lines += [f"  s{number}:", "    kind: command", "    inputs: { i: in0.txt }",
                  f"    run: cat ${{{{ inputs.i }}}} > ${{{{ outputs.o }}}}; echo {number} >> ${{{{ outputs.o }}}}",
                  "    outputs: { o: o.txt }"]
    return "\n".join(lines) + "\n"


def project(folder, stages, chains=10):
    folder.mkdir(parents=True)
    (folder / "p.yaml").write_text(athanor_file(stages, chains))
    (folder / "build.ninja").write_text(ninja_file(stages, chains))
    (folder / "bash.ninja").write_text(bash_ninja_file(stages, chains))
    (folder / "Snakefile").write_text(snake_file(stages, chains))
    (folder / "dvc.yaml").write_text(dvc_file(stages, chains))
    for number in range(chains):
        (folder / f"in{number}.txt").write_text(f"{number}\n")
    return folder


class Taken:
    """What a command took: seconds on the clock, CPU seconds of it and its children, most memory of one process."""

    def __init__(self, command, folder):
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   env={**os.environ, "PYTHONUNBUFFERED": "1"})
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.seconds = time.perf_counter() - start
        self.cpu = usage.ru_utime + usage.ru_stime
        self.mib = usage.ru_maxrss / 1024
        if status != 0:
            sys.exit(f"{command} failed: {errors.decode()[-2000:]}")


class Series:
    def __init__(self, taken):
        self.seconds = statistics.median(one.seconds for one in taken)
        self.cpu = statistics.median(one.cpu for one in taken)
        self.mib = statistics.median(one.mib for one in taken)


def alternating(contestants, rounds):
    """`contestants` maps a name to a function that does one round; the rounds alternate."""
    taken = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, once in contestants.items():
            taken[name].append(once())
    return {name: Series(list_) for name, list_ in taken.items()}


def table(title, series, base, note=""):
    print(f"\n### {title}\n")
    print("| | clock | CPU | memory | clock ratio | CPU ratio |\n| --- | --- | --- | --- | --- | --- |")
    for name, one in series.items():
        ratio = one.seconds / series[base].seconds
        cpu = one.cpu / series[base].cpu if series[base].cpu else float("nan")
        print(f"| {name} | {one.seconds * 1000:.0f} ms | {one.cpu * 1000:.0f} ms | {one.mib:.0f} MiB "
              f"| {ratio:.2f} | {cpu:.2f} |")
    if note:
        print(f"\n{note}")
    sys.stdout.flush()


class Bench:
    def __init__(self, options):
        self.athanor = str(pathlib.Path(options.athanor).resolve())
        self.work = pathlib.Path(options.work).resolve()
        self.rounds = options.rounds
        self.kept = []
        self.peers = [pathlib.Path(peers).resolve() for peers in options.peers]

    def peer(self, name):
        for folder in self.peers:
            if (folder / name).exists():
                return str(folder / name)
        return shutil.which(name)

    def ninja(self, file="build.ninja"):
        return [self.peer("ninja"), "-f", file, "-j", JOBS]

    def run(self, *more):
        return [self.athanor, "run", "p.yaml", "-j", JOBS, *more]

    def cold_rounds(self, stages, contestants, rounds):
        """Folders are kept until all rounds are over: ext4 gives inodes that were just deleted to nobody for minutes, and looks at each
        of them whenever it makes a file, so that who makes more files would pay for what the round before removed."""
        def once(name, command):
            def round_():
                folder = project(self.work / f"cold-{name}-{len(self.kept)}", stages)
                self.kept.append(folder)
                if name == "dvc":
                    subprocess.run([self.peer("dvc"), "init", "--no-scm", "-q"], cwd=folder, check=True)
                return Taken(command, folder)
            return round_
        return alternating({name: once(name, command) for name, command in contestants.items()}, rounds)

    def cold(self):
        contestants = {"ninja": self.ninja(), "ninja with bash": self.ninja("bash.ninja"), "athanor": self.run()}
        table("1,000 trivial stages in ten chains, cold, 2 jobs (target: 1.5)",
              self.cold_rounds(1000, contestants, self.rounds), "ninja")

    def small(self):
        contestants = {"ninja": self.ninja(), "ninja with bash": self.ninja("bash.ninja"), "athanor": self.run()}
        if self.peer("snakemake"):
            contestants["snakemake"] = [self.peer("snakemake"), "-j", JOBS, "-q", "all"]
        if self.peer("dvc"):
            contestants["dvc"] = [self.peer("dvc"), "repro", "-q"]
        table("100 trivial stages in ten chains, cold, 2 jobs", self.cold_rounds(100, contestants, 1), "ninja",
              "DVC runs one stage at a time.")

    def null(self, stages=10_000):
        folder = self.work / "null"
        shutil.rmtree(folder, ignore_errors=True)
        project(folder, stages)
        ninja, with_bash = self.ninja(), self.ninja("bash.ninja")
        for command in (ninja, with_bash, self.run(), self.run(), self.run()):
            Taken(command, folder)
        last = f"s{stages - 1}"
        once = lambda *command: lambda: Taken(command, folder)
        series = alternating({
            "ninja": once(*ninja), "ninja with bash": once(*with_bash), "athanor run": once(*self.run()),
            "athanor status": once(self.athanor, "status", "p.yaml"),
            "athanor explain": once(self.athanor, "explain", "p.yaml", last),
            "athanor check": once(self.athanor, "check", "p.yaml"),
            "athanor graph --format dot": once(self.athanor, "graph", "p.yaml", "--format", "dot"),
        }, self.rounds * 2)
        table("10,000 stages, nothing to do (target: 2 for run, and the others under 3 times run)", series, "ninja")
        self.leaf(folder, stages, ninja)

    def leaf(self, folder, stages, ninja):
        """A chain of its own, one stage long, reads a file that changes every time."""
        text = (folder / "p.yaml").read_text()
        line = "cat ${{ inputs.i }} > ${{ outputs.o }}; echo leaf >> ${{ outputs.o }}"
        text += f"  leaf:\n    kind: command\n    inputs: {{ i: ./leaf.txt }}\n    run: {line}\n    outputs: {{ o: o.txt }}\n"
        (folder / "p.yaml").write_text(text)
        with (folder / "build.ninja").open("a") as file:
            file.write("build leaf.out: next leaf.txt\n  n = leaf\n")

        def once(command):
            def round_():
                (folder / "leaf.txt").write_text(f"{random.random()}\n")
                return Taken(command, folder)
            return round_
        contestants = {"ninja": once(ninja), "athanor run": once(self.run())}
        alternating(contestants, 2)
        table("10,001 stages, one leaf changed", alternating(contestants, self.rounds), "ninja")

    def plan(self, stages=10_000):
        contestants = {}
        for name, text in (("written", written_file(stages)), ("matrix", matrix_file(stages))):
            folder = self.work / f"plan-{name}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "p.yaml").write_text(text)
            (folder / "in0.txt").write_text("0\n")
            contestants[name] = lambda folder=folder: Taken([self.athanor, "check", "p.yaml"], folder)
        table("10,000 instances compiled anew: `check` without a kept plan (target: 1)",
              alternating(contestants, self.rounds), "written")

    def tree(self, name, files, size, flat=False):
        folder = self.work / name
        if not (folder / "data").exists():
            source = random.Random(1)
            for number in range(files):
                path = folder / "data" / ("" if flat else f"{number % 100:02}") / f"{number}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.randbytes(size))
        (folder / "p.yaml").write_text("athanor: 1\nname: tree\nstages:\n  s:\n    kind: command\n    inputs: { i: data }\n"
                                       "    run: echo > ${{ outputs.o }}\n    outputs: { o: o.txt }\n")
        return folder

    def hash(self):
        folder = self.tree("hash", 10_000, 200_000)
        subprocess.run("cat data/*/* > /dev/null", shell=True, cwd=folder, check=True)

        def ours():
            shutil.rmtree(folder / ".athanor", ignore_errors=True)
            return Taken([self.athanor, "status", "p.yaml"], folder)
        b3sum = ["sh", "-c", f"find data -type f -print0 | xargs -0 {self.peer('b3sum')}"]
        contestants = {"b3sum": lambda: Taken(b3sum, folder), "athanor status, first time": ours}
        series = alternating(contestants, self.rounds)
        time.sleep(3)
        for _ in range(2):
            Taken([self.athanor, "status", "p.yaml"], folder)
        again = alternating({"athanor status, again": lambda: Taken([self.athanor, "status", "p.yaml"], folder)}, self.rounds)
        table("10,000 files, 2 GB, in the page cache (target: 1 / 0.9 = 1.11 for the first time)", {**series, **again}, "b3sum")

    def stat(self):
        halves = [f"find data/[{half}]? -printf '%s %T@\\n' > /dev/null" for half in ("0-4", "5-9")]
        self.unchanged("stat", "100,000 files in 100 folders", halves)
        halves = [f"find data -name '*[{half}].bin' -printf '%s %T@\\n' > /dev/null" for half in ("0-4", "5-9")]
        self.unchanged("stat-flat", "100,000 files in one folder", halves)

    def unchanged(self, name, what, halves):
        folder = self.tree(name, 100_000, 100, flat=name == "stat-flat")
        Taken([self.athanor, "status", "p.yaml"], folder)
        time.sleep(3)
        for _ in range(2):
            Taken([self.athanor, "status", "p.yaml"], folder)
        contestants = {"two finds with a stat each": lambda: Taken(["sh", "-c", " & ".join(halves) + "; wait"], folder),
                       "athanor status": lambda: Taken([self.athanor, "status", "p.yaml"], folder)}
        table(f"{what}, unchanged (target: 1)", alternating(contestants, self.rounds), "two finds with a stat each")

    def flat(self):
        print("\n### Cost a stage, cold and with nothing to do\n\n| stages | cold, clock | cold, CPU | again | memory |\n"
              "| --- | --- | --- | --- | --- |")
        for stages in (100, 1000, 10_000):
            folder = self.work / "flat"
            shutil.rmtree(folder, ignore_errors=True)
            project(folder, stages)
            cold = Taken(self.run(), folder)
            null = Series([Taken(self.run(), folder) for _ in range(5)][1:])
            each = 1e6 / stages
            print(f"| {stages} | {cold.seconds * each:.0f} µs | {cold.cpu * each:.0f} µs | {null.seconds * each:.1f} µs "
                  f"| {null.mib:.0f} MiB |")
        sys.stdout.flush()

    def cache(self, records=1_000_000, stages=1000):
        """Records of a million other results: names of a few files, since only their number counts."""
        plain, full = self.work / "cache-plain", self.work / "cache-full"
        for folder in (plain, full):
            shutil.rmtree(folder, ignore_errors=True)
            project(folder, stages)
        subprocess.run([self.athanor, "cache", "ls"], cwd=full, check=True, stdout=subprocess.DEVNULL)
        actions = full / ".athanor" / "actions"
        source, names = None, random.Random(2)
        for shard in range(16):
            (actions / f"{shard:x}").mkdir(exist_ok=True)
        for number in range(records):
            if number % 50_000 == 0:
                source = full / f"record{number}"
                source.write_text("{}")
            name = names.randbytes(32).hex()
            os.link(source, actions / name[0] / f"{name}.json")
        taken = {}
        for name, folder in (("empty cache", plain), (f"{records:,} records", full)):
            cold = [Taken(self.run(), folder)]
            null = [Taken(self.run(), folder) for _ in range(self.rounds + 2)][2:]
            taken[f"{name}, cold"], taken[f"{name}, again"] = Series(cold), Series(null)
        table("1,000 stages with an empty cache and with 1,000,000 recorded results (target: no difference)", taken,
              "empty cache, cold")
        shutil.rmtree(full)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("athanor")
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--work")
    parser.add_argument("--peers", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cases = options.cases or ["cold", "small", "null", "plan", "hash", "stat", "flat", "cache"]
    with tempfile.TemporaryDirectory() as temporary:
        options.work = options.work or temporary
        bench = Bench(options)
        for case in cases:
            getattr(bench, case)()
        for folder in bench.kept:
            shutil.rmtree(folder)


main()
