"""The reference's way with images: Pillow, OpenCV and ImageHash, as in the data processing of the 2018 winning solution.

Usage: python3 benches/peers/images.py resize FOLDER OUT    TIFF to 1536 and 768 PNG (s2: one pass over the files a size)
       python3 benches/peers/images.py resize-once FOLDER OUT    the same, but kinder: both sizes of one decode
       python3 benches/peers/images.py phash FOLDER         perceptual hashes (s5: one process)
       python3 benches/peers/images.py phash-pool FOLDER    the same, but kinder: on every core
       python3 benches/peers/images.py match LEFT RIGHT [SHARE=1]    pairs within 12 bits on three channels (s5: a process a
                                                            channel); SHARE of the left items only, scaled up

The reference starts 3 processes for resizing and for matching; resizing here uses as many as there are cores if that is more.
"""

import multiprocessing
import os
import pathlib
import sys
import time

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

SIZES = (1536, 768)
THRESHOLD = 12


def files(folder):
    return sorted(pathlib.Path(folder).iterdir())


def write(pixels, size, out, file):
    small = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(pathlib.Path(out) / str(size) / (file.stem + ".png")), small)


def resize_one(job):
    file, sizes, out = job
    pixels = np.array(Image.open(file))
    for size in sizes:
        write(pixels, size, out, file)


def resize(folder, out, passes):
    for size in SIZES:
        (pathlib.Path(out) / str(size)).mkdir(parents=True, exist_ok=True)
    names = files(folder)
    start = time.perf_counter()
    for sizes in passes:
        with multiprocessing.Pool(max(3, os.cpu_count())) as pool:
            pool.map(resize_one, [(file, sizes, out) for file in names], chunksize=1)
    report("images resized to 1536 and 768", len(names), start)
    print(sum(file.stat().st_size for size in SIZES for file in (pathlib.Path(out) / str(size)).iterdir()), "bytes written")


def hash_one(file):
    return imagehash.phash(Image.open(file))


def phash(folder, everywhere):
    names = files(folder)
    start = time.perf_counter()
    if everywhere:
        with multiprocessing.Pool(os.cpu_count()) as pool:
            hashes = pool.map(hash_one, names, chunksize=8)
    else:
        hashes = [hash_one(file) for file in names]
    report("perceptual hashes", len(hashes), start)
    mixed = 0
    for value in hashes:
        mixed = ((mixed << 1 | mixed >> 63) & (1 << 64) - 1) ^ int(str(value), 16)
    print(f"mixed {mixed:016x}")


def match_channel(job):
    """One channel: ImageHash objects subtracted from one another, five left items at a time."""
    left, right = job
    found = []
    right = np.array([imagehash.ImageHash(bits) for bits in right], dtype=object)[None]
    for first in range(0, len(left), 5):
        block = np.array([imagehash.ImageHash(bits) for bits in left[first : first + 5]], dtype=object)[:, None]
        distances = block - right
        rows, columns = np.where(distances <= THRESHOLD)
        found.append(pd.DataFrame({"left": rows + first, "right": columns, "distance": distances[rows, columns]}))
    return pd.concat(found)


def match_all(left, right, share):
    random = np.random.RandomState(1)
    bits = lambda count: list(random.randint(0, 2, size=(count, 8, 8)).astype(bool))
    taken = max(5, int(left * share))
    jobs = [(bits(taken), bits(right)) for _ in range(3)]
    start = time.perf_counter()
    with multiprocessing.Pool(3) as pool:
        channels = pool.map(match_channel, jobs)
    both = channels[0]
    for channel in channels[1:]:
        both = pd.merge(both, channel, on=["left", "right"], how="inner")
    seconds = (time.perf_counter() - start) * left / taken
    print(f"pairs compared: {left * right} in {seconds:.0f} s (from {taken} left items), {len(both)} pairs found")


def report(what, count, start):
    seconds = time.perf_counter() - start
    print(f"{what}: {count} in {seconds:.3f} s, {count / seconds:.1f} a second")


def main(arguments):
    match arguments:
        case ["resize", folder, out]:
            resize(folder, out, [(size,) for size in SIZES])
        case ["resize-once", folder, out]:
            resize(folder, out, [SIZES])
        case ["phash", folder]:
            phash(folder, everywhere=False)
        case ["phash-pool", folder]:
            phash(folder, everywhere=True)
        case ["match", left, right, *share]:
            match_all(int(left), int(right), float(share[0]) if share else 1)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
