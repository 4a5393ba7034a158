"""Push and pull of many small files and of one large one, between two caches and a folder, and rclone on the same files where it is installed.

Usage: python3 benches/remote.py PROGRAM FOLDER [files [bytes of the large file]]

FOLDER is made, needs room for six times the data, and is removed. Prints lines of a table, each with the load of the machine.
"""

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


def rclone(folder, files, size):
    """Copies as many files of the same sizes to a folder and back, sixteen at a time; a copy of what is there compares sizes and times."""
    source = folder / "source"
    (source / "small").mkdir(parents=True)
    (source / "large").mkdir()
    block = os.urandom(1 << 20)
    for number in range(files):
        start = number * 7 % 900_000
        (source / "small" / str(number)).write_bytes(b"%d" % number + block[start : start + 17_000])
    with open(source / "large" / "large.bin", "wb") as file:
        for _ in range(size >> 24):
            file.write(os.urandom(1 << 24))
    for stage in ["small", "large"]:
        there = folder / "rclone" / stage
        for what, start, end in [("push", source / stage, there), ("push again", source / stage, there), ("pull", there, folder / "back" / stage)]:
            begun = time.monotonic()
            subprocess.run(["rclone", "copy", "--transfers", "16", "--checkers", "16", start, end], check=True)
            print(f"| {stage} | rclone: {what} | {time.monotonic() - begun:.1f} s | | {os.getloadavg()[0]:.0f} |", flush=True)


def main():
    program, folder = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    files = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000
    size = int(sys.argv[4]) if len(sys.argv) > 4 else 5 << 30
    (folder / "team").mkdir(parents=True)
    for machine in ["one", "two"]:
        (folder / machine).mkdir()
        text = PIPELINE.replace("FILES", str(files)).replace("BYTES", str(size))
        (folder / machine / "p.yaml").write_text(text)
        (folder / machine / "athanor.config.yaml").write_text(f"remote: {{ url: file://{folder}/team, mode: off }}\n")

    def timed(machine, *arguments):
        begun = time.monotonic()
        done = subprocess.run([program, *arguments], cwd=folder / machine, capture_output=True, text=True)
        took = time.monotonic() - begun
        assert done.returncode == 0, done.stdout + done.stderr
        return took, done.stdout.splitlines()[0] if done.stdout else ""

    timed("one", "run", "p.yaml")
    for stage in ["small", "large"]:
        for what, machine, command in [("push", "one", "push"), ("push again", "one", "push"), ("pull", "two", "pull"), ("pull again", "two", "pull")]:
            took, said = timed(machine, "cache", command, "p.yaml", stage)
            print(f"| {stage} | {what} | {took:.1f} s | {said} | {os.getloadavg()[0]:.0f} |", flush=True)
    if shutil.which("rclone"):
        rclone(folder, files, size)
    keys = sum(1 for path in (folder / "team").rglob("*") if path.is_file())
    print(f"{keys} files in the shared folder")
    took, said = timed("two", "run", "p.yaml")
    print(f"run of the second machine: {took:.2f} s, {said}")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["rm", "-rf", str(folder)], check=False)


if __name__ == "__main__":
    main()
