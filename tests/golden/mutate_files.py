"""Damages the files of formats.json and images.json, to be held beside other programs by decode_files.py.

Usage: python mutate_files.py FORMAT COUNT FOLDER [SEED]   (FORMAT: the start of the files' names in FOLDER, and one of SIGNATURES)

Each file has one to three bytes changed, half of them among the first 80. Checksums of most PNG files are made right again.
"""

import base64
import json
import pathlib
import random
import struct
import sys
import zlib

SIGNATURES = {
    "png": b"\x89PNG", "jpg": b"\xff\xd8", "webp": b"RIFF", "gif": b"GIF8", "bmp": b"BM", "qoi": b"qoif", "pnm": b"P", "tif": b"II",
}


def with_checksums(png):
    out, at = bytearray(png), 8
    while at + 12 <= len(out):
        end = at + 8 + struct.unpack(">I", out[at : at + 4])[0]
        if end + 4 > len(out):
            break
        out[end : end + 4] = struct.pack(">I", zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def main(kind, count, folder, seed="1"):
    here, randomly = pathlib.Path(__file__).parent, random.Random(int(seed))
    cases = [case for name in ("formats.json", "images.json") for case in json.loads((here / name).read_text())["decode"]]
    files = [base64.b64decode(case["file"]) for case in cases]
    files = [file for file in files if file.startswith(SIGNATURES[kind]) and len(file) < 6000]
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for number in range(int(count)):
        file = bytearray(randomly.choice(files))
        for _ in range(randomly.choice([1, 1, 1, 2, 3])):
            at = randomly.randrange(min(len(file), 80) if randomly.random() < 0.5 else len(file))
            file[at] = randomly.choice([randomly.randrange(256), file[at] ^ 1 << randomly.randrange(8), 0, 255])
        whole = with_checksums(file) if kind == "png" and randomly.random() < 0.6 else bytes(file)
        (pathlib.Path(folder) / f"{number:05}.{kind}").write_bytes(whole)


main(*sys.argv[1:])
