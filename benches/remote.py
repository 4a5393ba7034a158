"""Push and pull of many small files and of one large one: Athanor between two caches, beside rclone and DVC on the same storage.

Usage: python3 benches/remote.py PROGRAM FOLDER [--files N] [--bytes N] [--s3 BUCKET] [--dvc PROGRAM] [--limit SECONDS] [--tools TOOL …]

The storage is a folder, or with --s3 a bucket of the server that AWS_ENDPOINT_URL names, which AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
open. Tools: athanor, rclone (where it is installed), dvc (where it is named); default: all. Files that a tool has put there stay in the bucket,
under its name. FOLDER is made, needs room for four times the data, and is removed. Prints lines of a table, each with the load of the
machine; a command that takes longer than the limit is ended, and so are the tool's further ones with these files.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

PIPELINE = """athanor: 1
name: bench
stages:
  small:
    kind: command
    shell: python
    run: |
      import os
      block = os.urandom(1 << 20)
      os.mkdir(${{ outputs.o }})
      for number in range(FILES):
          start = number * 7 % 900000
          with open(os.path.join(${{ outputs.o }}, str(number)), "wb") as file:
              file.write(b"%d" % number + block[start : start + 17000])
    outputs: { o: small/ }
  large:
    kind: command
    shell: python
    run: |
      import os
      with open(${{ outputs.o }}, "wb") as file:
          for _ in range(BYTES >> 24):
              file.write(os.urandom(1 << 24))
    outputs: { o: large.bin }
"""


class TooSlow(Exception):
    pass


def timed(args, what, *command, cwd=None):
    """Runs a command and prints its time; its first line of output."""
    begun = time.monotonic()
    try:
        done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=args.limit)
    except subprocess.TimeoutExpired:
        print(f"| {what} | not ended after {args.limit} s | | {os.getloadavg()[0]:.0f} |", flush=True)
        raise TooSlow from None
    took = time.monotonic() - begun
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    said = done.stdout.splitlines()[0] if done.stdout and command[0] == args.program else ""
    print(f"| {what} | {took:.1f} s | {said} | {os.getloadavg()[0]:.0f} |", flush=True)


def athanor(args):
    url = f"s3://{args.s3}/athanor" if args.s3 else f"file://{args.folder}/team"
    (args.folder / "team").mkdir()
    for machine in ["one", "two"]:
        folder = args.folder / machine
        folder.mkdir()
        (folder / "p.yaml").write_text(PIPELINE.replace("FILES", str(args.files)).replace("BYTES", str(args.bytes)))
        (folder / "athanor.config.yaml").write_text(f"remote: {{ url: {url}, mode: off }}\n")
    subprocess.run([args.program, "run", "p.yaml", "-q"], cwd=args.folder / "one", check=True)
    for stage in ["small", "large"]:
        for what, machine in [("push", "one"), ("push", "one"), ("pull", "two"), ("pull", "two")]:
            timed(args, f"{stage}: Athanor, {what}", args.program, "cache", what, "p.yaml", stage, cwd=args.folder / machine)
    timed(args, "both: Athanor, the run of the second machine", args.program, "run", "p.yaml", cwd=args.folder / "two")
    for name in ["one", "two", "team"]:
        subprocess.run(["rm", "-rf", args.folder / name], check=True)


def source(args):
    """As many files of the same sizes."""
    folder = args.folder / "source"
    (folder / "small").mkdir(parents=True)
    (folder / "large").mkdir()
    block = os.urandom(1 << 20)
    for number in range(args.files):
        start = number * 7 % 900_000
        (folder / "small" / str(number)).write_bytes(b"%d" % number + block[start : start + 17_000])
    with open(folder / "large" / "large.bin", "wb") as file:
        for _ in range(args.bytes >> 24):
            file.write(os.urandom(1 << 24))
    return folder


def rclone(args):
    """Sixteen at a time; a copy of what is there compares sizes and times."""
    if not shutil.which("rclone"):
        return
    there = f":s3,provider=Other,env_auth=true,force_path_style=true,endpoint='{os.environ['AWS_ENDPOINT_URL']}':{args.s3}/rclone" if args.s3 else args.folder / "rclone"
    copy = ["rclone", "copy", "--transfers", "16", "--checkers", "16"]
    for stage in ["small", "large"]:
        # A folder without its slash is asked for as an object first, which s3s-fs answers with 500.
        start, folder, back = args.folder / "source" / stage, f"{there}/{stage}/", args.folder / "back" / stage
        try:
            for what, begin, end in [("push", start, folder), ("push", start, folder), ("pull", folder, back)]:
                timed(args, f"{stage}: rclone, {what}", *copy, begin, end)
        except TooSlow:
            pass
        subprocess.run(["rm", "-rf", args.folder / "back"], check=True)


def dvc(args):
    """With hard links into its cache, and its own number of jobs."""
    if not args.dvc:
        return
    one, two = args.folder / "dvc-one", args.folder / "dvc-two"
    for folder in [one, two]:
        folder.mkdir()
        url = f"s3://{args.s3}/dvc" if args.s3 else str(args.folder / "dvc")
        lines = [["init", "--no-scm", "-q"], ["config", "core.analytics", "false"], ["config", "cache.type", "hardlink,copy"], ["remote", "add", "-q", "-d", "there", url]]
        if args.s3:
            lines.append(["remote", "modify", "there", "endpointurl", os.environ["AWS_ENDPOINT_URL"]])
        for line in lines:
            subprocess.run([args.dvc, *line], cwd=folder, check=True)
    for stage in ["small", "large"]:
        os.rename(args.folder / "source" / stage, one / stage)
        try:
            timed(args, f"{stage}: DVC, add", args.dvc, "add", "-q", stage, cwd=one)
            shutil.copy(one / f"{stage}.dvc", two)
            for what, machine in [("push", one), ("push", one), ("pull", two), ("pull", two)]:
                timed(args, f"{stage}: DVC, {what}", args.dvc, what, "-q", stage, cwd=machine)
        except TooSlow:
            pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=lambda text: str(pathlib.Path(text).resolve()))
    parser.add_argument("folder", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--tools", nargs="+", choices=["athanor", "rclone", "dvc"], default=["athanor", "rclone", "dvc"])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=5 << 30)
    parser.add_argument("--s3")
    parser.add_argument("--dvc")
    parser.add_argument("--limit", type=int, default=3600)
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    print("| what | time | it says | load |\n| --- | --- | --- | --- |", flush=True)
    try:
        tools = args.tools
        if "athanor" in tools:
            athanor(args)
        if "rclone" in tools or "dvc" in tools:
            source(args)
        if "rclone" in tools:
            rclone(args)
        if "dvc" in tools:
            dvc(args)
    finally:
        subprocess.run(["chmod", "-R", "u+w", args.folder], check=False)
        subprocess.run(["rm", "-rf", args.folder], check=False)


if __name__ == "__main__":
    main()
