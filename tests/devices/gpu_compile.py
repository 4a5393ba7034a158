#!/usr/bin/env python3
"""The GPU path without a GPU: a made-up driver, and the real compilers.

    tests/devices/gpu_compile.py PROGRAM [PART...] [--night N] [--network NAME...] [--renew]

PROGRAM is built with `--features cuda`. Parts, in this order; all if none is named:

    steps    launches, waits, transfers and memory of a step of each network, held against steps.csv; `--renew` writes its rows
    sm_90    kernels of all networks compile for sm_90 with NVRTC and assemble with ptxas
    others   the same for 200 kernels of one of sm_75, sm_80, sm_100 and sm_120, which the night decides

Any part fails if a launch is beyond the limits of the card, or a kernel copies by tensor maps (docs/upstream.md). Kernels are gathered with a compiler that compiles nothing, once for
each program; what compiled once is known by its name, which its content decides, and is not compiled again.

ATHANOR_CUDA_PACKAGES is the folder `nvidia/cu13` of a Python environment with NVIDIA's packages of NVRTC, ptxas and headers, which
`.ci/nightly` lists. Without it kernels are gathered and launched, and it is said that none was compiled.

ATHANOR_GPU_COMPILE is the folder of all that is kept [default: target/gpu-compile].
"""

import argparse
import csv
import ctypes
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = Path(os.environ.get("ATHANOR_GPU_COMPILE") or ROOT / "target/gpu-compile").absolute()
TABLE = HERE / "steps.csv"

# Sides of images and batches of the reference solution, of training on one of its four GPUs and of prediction; ResNet-18, which it
# has not, is smaller.
NETWORKS = {
    "resnet18": (512, 12, 48),
    "resnet34": (1024, 12, 48),
    "resnet50": (768, 8, 32),
    "densenet121": (512, 12, 48),
    "densenet121_large": (1024, 9, 36),
    "inceptionv3": (512, 16, 64),
}
PRECISIONS = ("f32", "bf16")
ROUNDS = 2
FEW, MANY = 2, 6
OTHERS = ("75", "80", "100", "120")
A_NIGHT = 200

# Microseconds after which CubeCL takes the first matrix multiplication and reduction that runs, and tries no other (`fake/cuda.c`). The
# launches of a step then depend on no choice among them, and half of the kernels are compiled.
PROBE_OF_A_SLOW_CARD = "30000"

HEADERS = ("cuda_runtime.h", "cuda_fp16.h", "cuda_bf16.h", "mma.h", "crt/mma.h", "cccl/cuda/barrier")

COUNTED = ("launches", "waits", "from_device", "from_device_bytes", "to_device", "to_device_bytes", "pageable_bytes", "on_device")
PEAKS = ("peak_bytes", "pinned_peak_bytes")
KEYS = ("network", "work", "precision")
# Choices of autotuning differ where a change of a kernel makes another one the faster, and pages of memory with them. Now and then a process
# sends a few bytes more than the one before it.
LEEWAY = {"launches": 0.02, "on_device": 0.02, "peak_bytes": 0.02, "pinned_peak_bytes": 0.02, "to_device": 0.04, "to_device_bytes": 1e-4}


class Failed(Exception):
    """A finding that fails the run."""


class Machine:
    """A made-up machine with one card, and kernels that were compiled on it."""

    def __init__(self, program, sm, tunes=True):
        self.program, self.folder = program, WORK / (f"sm_{sm}" if tunes else f"sm_{sm}-untuned")
        self.sources, self.sm = self.folder / "sources", sm
        libraries = self.folder / "libraries"
        toolkit = self.folder / "toolkit/include"
        digest = hashlib.file_digest(program.open("rb"), "sha256").hexdigest()
        if not (self.folder / digest).exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        for folder in (self.sources, libraries, toolkit):
            folder.mkdir(parents=True, exist_ok=True)
        for name, source in (("libcuda.so", "cuda.c"), ("libnvrtc.so", "nvrtc.c")):
            compiler = ["cc", "-shared", "-fPIC", "-O1", "-o", libraries / name, HERE / "fake" / source]
            subprocess.run(compiler, check=True)
        # Whether the toolkit's headers are there is looked at, what is in them is not.
        for header in HEADERS:
            (toolkit / header).parent.mkdir(parents=True, exist_ok=True)
            (toolkit / header).touch()
        (self.folder / digest).touch()
        self.environment = dict(
            os.environ,
            LD_LIBRARY_PATH=str(libraries),
            CUDA_PATH=str(toolkit.parent),
            XDG_CACHE_HOME=str(self.folder / "cache"),
            FAKE_CUDA_SM=sm,
            FAKE_NVRTC_SOURCES=str(self.sources),
        )
        self.environment.pop("CUDA_VISIBLE_DEVICES", None)
        if not tunes:
            self.environment["FAKE_CUDA_PROBE"] = PROBE_OF_A_SLOW_CARD

    def bench(self, network, work, precision, steps):
        """What the driver counted in a measurement of `steps` steps a round."""
        size, training, prediction = NETWORKS[network]
        batch = training if work == "train" else prediction
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            command = [self.program, "bench", work, "--arch", network, "--size", size, "--batch", batch, "--precision", precision]
            command += ["--steps", steps, "--json"]
            environment = dict(self.environment, FAKE_CUDA_LOG=str(log))
            done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, check=False)
            name = f"{network}, {work}, {precision}, sm_{self.sm}"
            if done.returncode != 0 or not log.exists():
                raise Failed(f"{name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
            counted = [json.loads(line) for line in log.read_text().splitlines()]
        beyond = [text for process in counted for text in process["refused"]]
        if beyond:
            raise Failed(f"{name}: the card refuses: " + "; ".join(beyond))
        if len(counted) != 1:
            raise Failed(f"{name}: {len(counted)} processes computed")
        return counted[0]

    def gather(self, network, work, precision):
        """Gathers the sources of the kernels of a network, once."""
        done = self.folder / f"{network}-{work}-{precision}"
        if done.exists():
            return
        begin = time.monotonic()
        loaded = self.bench(network, work, precision, 1)["kernels"]
        told = f"{loaded} kernels loaded, {len(list(self.sources.iterdir()))} sources, {time.monotonic() - begin:.0f} s"
        print(f"sm_{self.sm} {network} {work} {precision}: {told}", flush=True)
        done.touch()

    def gather_all(self, networks):
        """Sources of the kernels of `networks`, and what failed."""
        failures = []
        for key in measurements(networks):
            try:
                self.gather(*key)
            except Failed as error:
                failures.append(str(error))
        return sorted(self.sources.glob("*.cu")), failures


def measurements(networks):
    """Network, work and precision of all measurements."""
    return list(itertools.product(networks, ("train", "predict"), PRECISIONS))


def step_of(machine, network, work, precision):
    """A row of the table: what one step adds."""
    few, many = (machine.bench(network, work, precision, steps) for steps in (FEW, MANY))
    steps = (MANY - FEW) * ROUNDS
    row = {name: value for name, value in zip(KEYS, (network, work, precision))}
    for name in COUNTED:
        row[name] = f"{(many[name] - few[name]) / steps:.12g}"
    for name in PEAKS:
        row[name] = str(max(few[name], many[name]))
    return row


def differences(row, kept):
    """What of a row is not as it was kept."""
    for name in COUNTED + PEAKS:
        now, before = float(row[name]), float(kept[name])
        if abs(now - before) > LEEWAY.get(name, 0) * before:
            yield f"{', '.join(row[key] for key in KEYS)}: {name} was {before:g} a step, is {now:.12g}"


def read_table():
    """The table's rows by what they are of."""
    rows = csv.DictReader(TABLE.open()) if TABLE.exists() else []
    return {tuple(row[key] for key in KEYS): row for row in rows}


def write_table(rows):
    """Writes the table, in the order of measurements."""
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, KEYS + COUNTED + PEAKS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in measurements(NETWORKS) if key in rows)


def steps(program, networks, renew):
    """Holds a step of each network against the table."""
    machine, kept, found = Machine(program, "90", tunes=False), read_table(), []
    for key in measurements(networks):
        try:
            machine.gather(*key)
            row = step_of(machine, *key)
        except Failed as error:
            found.append(str(error))
            continue
        print(", ".join(row.values()), flush=True)
        if renew:
            kept[key] = row
            write_table(kept)
        elif key in kept:
            found += differences(row, kept[key])
        else:
            print("this one is not in the table: `--renew` adds it")
    if found:
        raise Failed("\n".join(found) + f"\nNumbers that are meant to differ: `{sys.argv[0]} {program} steps --renew`.")


class Nvrtc:
    """NVRTC and ptxas of a folder of packages."""

    def __init__(self, packages):
        self.ptxas, self.include = packages / "bin/ptxas", packages / "include"
        # It opens its own parts by name, which only those that are open already answer to.
        for name in ("libnvrtc-builtins.so.*", "libnvrtc.so.*"):
            self.library = ctypes.CDLL(str(next((packages / "lib").glob(name))), mode=ctypes.RTLD_GLOBAL)

    def text(self, program, size, get):
        """A text of a program, such as its log."""
        length = ctypes.c_size_t()
        getattr(self.library, size)(program, ctypes.byref(length))
        text = ctypes.create_string_buffer(length.value)
        getattr(self.library, get)(program, text)
        return text.value

    def compile(self, source):
        """Why a source does not compile; nothing if it does."""
        text = source.read_bytes()
        arch = text[3 : text.index(b"\n")]
        folders = (self.include, self.include / "cccl")
        options = [b"--gpu-architecture=" + arch, b"-lineinfo", *(f"--include-path={folder}".encode() for folder in folders)]
        program = ctypes.c_void_p()
        self.library.nvrtcCreateProgram(ctypes.byref(program), text, None, 0, None, None)
        failed = self.library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        if failed:
            log = self.text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")
            self.library.nvrtcDestroyProgram(ctypes.byref(program))
            return f"NVRTC refuses it for {arch.decode()}: {log.decode().strip()[:400]}"
        ptx = self.text(program, "nvrtcGetPTXSize", "nvrtcGetPTX")
        self.library.nvrtcDestroyProgram(ctypes.byref(program))
        command = [self.ptxas, f"--gpu-name={arch.decode()}", "--output-file=/dev/null", "-"]
        done = subprocess.run(command, input=ptx, capture_output=True, check=False)
        return f"ptxas refuses it for {arch.decode()}: {done.stderr.decode().strip()[:400]}" if done.returncode else None


def compiled(job):
    """Compiles a source, in a process of its own."""
    packages, source, accepted = job
    if not hasattr(compiled, "nvrtc"):
        compiled.nvrtc = Nvrtc(packages)
    problem = compiled.nvrtc.compile(source)
    if not problem:
        accepted.touch()
    return source, problem


def compile_all(sources, sm, failures):
    """Compiles sources that were never compiled before; fails of these and of what failed before."""
    packages = os.environ.get("ATHANOR_CUDA_PACKAGES")
    if not packages:
        print(f"sm_{sm}: {len(sources)} kernels are not compiled, as ATHANOR_CUDA_PACKAGES names no compiler")
        if failures:
            raise Failed("\n".join(failures))
        return
    kept = WORK / "accepted"
    kept.mkdir(parents=True, exist_ok=True)
    jobs = [(Path(packages), source, kept / source.stem) for source in sources if not (kept / source.stem).exists()]
    begin, problems = time.monotonic(), list(failures)
    with multiprocessing.Pool() as pool:
        for source, problem in pool.imap_unordered(compiled, jobs):
            if problem:
                problems.append(f"{source}: {problem}")
    told = f"{len(sources)} kernels, {len(jobs)} of them new, {len(problems) - len(failures)} refused"
    print(f"sm_{sm}: {told}, {time.monotonic() - begin:.0f} s", flush=True)
    if problems:
        raise Failed("\n".join(problems[:10]))


def compiles_for_hopper(program, networks):
    """Compiles all kernels for sm_90."""
    sources, failures = Machine(program, "90").gather_all(networks)
    compile_all(sources, "90", failures)


def compiles_for_others(program, networks, night):
    """Compiles some kernels for one of the other cards."""
    sm = OTHERS[night % len(OTHERS)]
    sources, failures = Machine(program, sm).gather_all(networks)
    if not sources:
        raise Failed("\n".join(failures))
    first = night // len(OTHERS) * A_NIGHT % len(sources)
    compile_all((sources + sources)[first : first + min(A_NIGHT, len(sources))], sm, failures)


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("program", type=lambda path: Path(path).resolve(strict=True))
    words.add_argument("parts", nargs="*", choices=["steps", "sm_90", "others", []])
    words.add_argument("--night", type=int, default=int(os.environ.get("ATHANOR_NIGHT") or time.localtime().tm_yday))
    words.add_argument("--network", action="append", choices=list(NETWORKS))
    words.add_argument("--renew", action="store_true")
    given = words.parse_args()
    networks = given.network or list(NETWORKS)
    parts = {
        "steps": lambda: steps(given.program, networks, given.renew),
        "sm_90": lambda: compiles_for_hopper(given.program, networks),
        "others": lambda: compiles_for_others(given.program, networks, given.night),
    }
    failed = False
    for name in given.parts or parts:
        try:
            parts[name]()
        except Failed as error:
            print(f"{name} failed:\n{error}", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
