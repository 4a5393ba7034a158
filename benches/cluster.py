"""Jobs of a Slurm cluster beside processes of one machine, and beside Snakemake's executor for Slurm.

Usage: python3 benches/cluster.py ATHANOR [--snakemake PROGRAM] [--jobs N] [--stages N] [--work DIR] [CASE …]

Needs a Slurm that `sbatch` submits to (`tests/cluster/real-slurm start FOLDER PORT`, as root, starts one; then SLURM_CONF is
FOLDER/slurm.conf), and DIR on a folder that its nodes share. Cases: own, packed, snakemake, pilots, chain (default: all). Prints lines of
a table, each with the load of the machine while it was measured.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


def run(command, folder=None):
    begun = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.monotonic() - begun, done.stdout


def row(what, seconds, number, unit):
    each = f"{seconds / number * 1000:.1f} ms {unit}" if number else ""
    print(f"| {what} | {seconds:.2f} s | {each} | {os.getloadavg()[0]:.0f} |", flush=True)


def independent(number, line):
    return "\n".join(["athanor: 1", "name: many", "stages:", "  s:", "    kind: command", "    matrix:",
                      f"      n: {list(range(number))}", f"    run: \"{line}\"", ""])


def chain(number):
    lines = ["athanor: 1", "name: chain", "stages:", "  s0: { kind: command, run: 'echo 0 > o', outputs: { o: o } }"]
    for at in range(1, number):
        lines.append(f"  s{at}: {{ kind: command, inputs: {{ i: s{at - 1} }}, run: 'echo {at} > o', outputs: {{ o: o }} }}")
    return "\n".join(lines) + "\n"


def athanor(program, work, name, pipeline, executor):
    folder = work / f"{name}-{executor}"
    folder.mkdir(parents=True)
    (folder / "p.yaml").write_text(pipeline)
    (folder / "athanor.config.yaml").write_text(f"executor: {executor}\nslurm: {{ poll: 20s, max_jobs: 4, idle: 20s }}\n")
    return run([program, "run", "p.yaml", "-q"], folder)[0]


def own(args, work):
    """What Slurm takes itself."""
    times = 20
    numbers = []
    begun = time.monotonic()
    for _ in range(times):
        numbers.append(run(["sbatch", "--parsable", "--output=/dev/null", "--hold", "--wrap=true"])[1].strip())
    seconds = time.monotonic() - begun
    row(f"`sbatch`, {times} times: {times / seconds:.1f} submissions a second", seconds, times, "each")
    run(["scancel", *numbers])
    row("one array of 50", run(["sbatch", "--parsable", "--output=/dev/null", "--hold", "--array=0-49", "--job-name=array", "--wrap=true"])[0], 50, "a job")
    row("`squeue` of these 50, all states", run(["squeue", "--name=array", "--array", "--states=all"])[0], 0, "")
    run(["scancel", "--name=array"])
    begun = time.monotonic()
    run(["sbatch", "--wait", "--output=/dev/null", f"--array=0-{args.jobs - 1}", "--mem=100M", "--wrap=true"])
    row(f"{args.jobs} jobs of `true`, one array, waited for", time.monotonic() - begun, args.jobs, "a job")


def packed(args, work):
    """Stages that share jobs."""
    seconds = athanor(args.program, work, "packed", independent(args.jobs, "true # ${{ matrix.n }}"), "slurm")
    row(f"Athanor: {args.jobs} stages of `true` in shared jobs, the whole run", seconds, args.jobs, "a stage")


def snakemake(args, work):
    """The same through Snakemake's plugin: a job for each. Its jobs look for Slurm's configuration where Slurm does by default, and not
    at SLURM_CONF."""
    if not args.snakemake:
        return
    folder = work / "snakemake"
    folder.mkdir()
    rules = ["rule all:", f"    input: [f'o{{n}}' for n in range({args.jobs})]", "rule one:", "    output: 'o{n}'", "    shell: 'touch {output}'"]
    (folder / "Snakefile").write_text("\n".join(rules) + "\n")
    command = [args.snakemake, "--executor", "slurm", "--jobs", str(args.jobs), "--latency-wait", "60", "--default-resources",
               "mem_mb=100", "slurm_partition=main", "slurm_account=none", "runtime=10", "--quiet", "all",
               "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5"]
    seconds, _ = run(command, folder)
    row(f"Snakemake's plugin for Slurm: {args.jobs} jobs of `touch`", seconds, args.jobs, "a job")


def pilots(args, work):
    """Many short stages, through shared jobs and on this machine."""
    for executor in ["local", "slurm"]:
        seconds = athanor(args.program, work, "pilots", independent(args.stages, "echo ${{ matrix.n }}"), executor)
        row(f"{args.stages} short stages, `--executor {executor}`", seconds, args.stages, "a stage")


def in_chain(args, work):
    """One stage after the other."""
    for executor in ["local", "slurm"]:
        seconds = athanor(args.program, work, "chain", chain(60), executor)
        row(f"a chain of 60 stages, `--executor {executor}`", seconds, 60, "a stage")


CASES = {"own": own, "packed": packed, "snakemake": snakemake, "pilots": pilots, "chain": in_chain}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    parser.add_argument("--snakemake")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--work", type=pathlib.Path)
    args = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="cluster-bench-", dir=args.work))
    print("| what | time | of which | load |\n| --- | --- | --- | --- |", flush=True)
    try:
        for name in args.cases or CASES:
            CASES[name](args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
