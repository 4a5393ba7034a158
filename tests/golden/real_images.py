"""Hashes and figures of the real images, from Pillow, OpenCV, ImageHash and NumPy.

Usage: python real_images.py FOLDER > real_images.csv   (FOLDER holds kaggle_train_4ch, hpav18_4ch_jpg, ...)

A colour image stands for the channel its name says (yellow: red). Perceptual hashes are of 8 bits (16 bits >> 8); the
CRC-32s are of the 8-bit samples resized bilinearly.
"""

import pathlib
import sys
import zlib

import cv2
import imagehash
import numpy as np
from PIL import Image

CHANNELS = {"red": 0, "green": 1, "blue": 2, "yellow": 0}


def main(folder):
    print("path,channel,hash,mean,std,crc_384,crc_768")
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.suffix not in (".png", ".jpg"):
            continue
        pixels = np.array(Image.open(path))
        channel = 0
        if pixels.ndim == 3:
            channel = CHANNELS[path.stem.split("_")[-1]]
            pixels = np.ascontiguousarray(pixels[:, :, channel])
        scaled = pixels / np.iinfo(pixels.dtype).max
        bytes8 = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        crcs = [zlib.crc32(cv2.resize(bytes8, (size, size), interpolation=cv2.INTER_LINEAR)) for size in (384, 768)]
        print(path.relative_to(folder).as_posix(), channel, imagehash.phash(Image.fromarray(bytes8)),
              scaled.mean(), scaled.std(), *crcs, sep=",")


main(sys.argv[1])
