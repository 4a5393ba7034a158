"""Holds what `examples/decode_files.rs` made of a folder beside Pillow, OpenCV and tifffile.

Usage: python decode_files.py FOLDER OUT   (FOLDER: what `fetch_files.py` wrote; OUT: what the example made of it)

Tells of each file that others read and we refuse, that we read and no other does, and whose pixels are nobody else's.
"""

import pathlib
import resource
import sys
import warnings

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps

warnings.simplefilter("ignore")
# Some test files promise gigabytes.
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))


def by_pillow(path):
    opened = Image.open(path)
    if opened.format not in ("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM", "QOI"):
        return []
    opened.load()
    turned = ImageOps.exif_transpose(opened)
    out = []
    if turned.mode.startswith(("I", "F")):
        out.append(np.array(turned))
    else:
        out += [np.array(turned), np.array(turned.convert("RGB")), np.array(turned.convert("RGBA"))]
    if turned.mode == "LAB":
        # `convert` interpolates in a table of 33 x 33 x 33 colours.
        profiles = [ImageCms.createProfile(name) for name in ("LAB", "sRGB")]
        exact = ImageCms.buildTransform(*profiles, "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
        out.append(np.array(ImageCms.applyTransform(turned, exact)))
    return out


def by_opencv(path):
    out = []
    if path.suffix.lower() == ".hdr":
        return out
    # Of logarithms of light the last shows what libtiff does, and the others light itself.
    for flags in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, cv2.IMREAD_COLOR):
        pixels = cv2.imread(str(path), flags)
        if pixels is None:
            continue
        if pixels.dtype == np.int8:
            out.append(pixels.view(np.uint8))
        if pixels.ndim == 3 and pixels.shape[2] >= 3:
            pixels = pixels[:, :, [2, 1, 0] + list(range(3, pixels.shape[2]))]
        out.append(pixels)
    return out


def by_tifffile(path):
    if path.suffix.lower() not in (".tif", ".tiff"):
        return []
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        pixels = page.asarray()
        if pixels.ndim == 3 and page.planarconfig == 2 and page.samplesperpixel > 1:
            pixels = np.moveaxis(pixels, 0, 2)
        if page.colormap is not None:
            pixels = np.moveaxis(page.colormap[:, pixels] >> 8, 0, 2).astype(np.uint8)
        out = [pixels]
        if pixels.dtype == np.uint8:
            out.append(255 - pixels)
        if int(page.photometric) == 5:
            inks = (pixels >> 8 if pixels.dtype == np.uint16 else pixels)[:, :, :4].astype(np.uint8)
            out.append(np.array(Image.fromarray(np.ascontiguousarray(inks), "CMYK").convert("RGB")))
        if page.bitspersample == 24 and file.byteorder == "<":
            # tifffile reads three bytes as a string of bits, with the highest first; libtiff in the order of the file, by which
            # alone the photographs among the test files are smooth.
            out.append((pixels & 255) << 16 | pixels & 0xFF00 | pixels >> 16)
        return out


def forms(pixels):
    """What another program's numbers look like at 8 or 16 bits, if they are ours."""
    if pixels.dtype == bool:
        return [pixels.astype(np.uint8) * 255]
    if pixels.dtype == np.uint8:
        few = [np.floor(pixels * 255.0 / (2**bits - 1) + 0.5) for bits in range(1, 8) if pixels.max() < 2**bits]
        return [pixels, *few, *(255 - form for form in few)]
    numbers = pixels.astype(np.float64)
    out = []
    if pixels.dtype.kind in "ui":
        out += [numbers, *(numbers * 2**bits for bits in (2, 4, 6, 8)), np.floor(numbers / 2**8), np.floor(numbers / 2**16), np.floor(numbers / 2**48)]
        bits = pixels.dtype.itemsize * 8
        out += [numbers + 32768, numbers * 256 + 32768, np.floor((numbers + 2**31) / 2**16), np.floor((numbers + 2**63) / 2**48)]
        out += [65535 - numbers, *((2**bits - 1 - numbers) * 2.0**(16 - bits) for bits in (10, 12, 14))]
        # 0 is white, which OpenCV leaves at depths that it shifts, and tifffile everywhere.
        out += [2**16 - 2**(16 - bits) - numbers for bits in (10, 12, 14)] + [np.floor((2**24 - 1 - numbers) / 2**8)]
    else:
        out.append(np.round(numbers * 65535))
    # By halves, since the range of the largest numbers is none.
    numbers = numbers / 2
    least = np.nanmin(numbers) if np.isfinite(numbers).any() else 0
    spread = np.nanmax(numbers) - least
    if np.isfinite(spread) and spread > 0:
        out.append(np.nan_to_num(np.round((numbers - least) / spread * 65535), nan=0))
    return out


def same(ours, theirs):
    if ours.shape[:2] != theirs.shape[:2]:
        return False
    ours = ours.reshape(*ours.shape[:2], -1).astype(np.int32)
    if ours.shape[2] == 4:
        # The colour of what cannot be seen is of no account.
        ours = ours * (ours[:, :, 3:] > 0)
    for form in forms(theirs):
        form = form.reshape(*form.shape[:2], -1)
        if ours.shape[2] == 4 and form.shape[2] in (3, 4):
            form = form * (ours[:, :, 3:] > 0)
        count = min(ours.shape[2], form.shape[2])
        if count == 2:
            count = 1
        if count == 1 and max(ours.shape[2], form.shape[2]) == 3:
            continue
        # A row at a time: some test files are large.
        if all(np.abs(one - other).max(initial=0) <= 1 for one, other in zip(ours[:, :, :count], form[:, :, :count])):
            return True
    return False


def main(folder, out):
    counts = {"same": 0, "refused": [], "accepted alone": [], "wrong": [], "read by none": 0}
    for line in open(pathlib.Path(out) / "index.tsv", encoding="utf-8"):
        number, width, height, channels, depth, name, error = line.rstrip("\n").split("\t", 6)
        path = pathlib.Path(folder) / name
        theirs, reasons = {}, {}
        for reader in (by_pillow, by_opencv, by_tifffile):
            try:
                theirs[reader.__name__] = reader(path)
            except Exception as refusal:
                theirs[reader.__name__] = []
                reasons[reader.__name__] = str(refusal)[:60]
        read = [who for who in ("by_pillow", "by_opencv") if theirs[who]]
        if error:
            if read:
                counts["refused"].append((name, error, read))
            else:
                counts["read by none"] += 1
            continue
        ours = np.fromfile(pathlib.Path(out) / f"{number}.raw", np.uint8 if depth == "8" else "<u2")
        ours = ours.reshape(int(height), int(width), int(channels))
        if not any(theirs.values()):
            counts["accepted alone"].append((name, reasons))
        elif any(same(ours, pixels) for pixels in sum(theirs.values(), [])):
            counts["same"] += 1
        else:
            shapes = {who: [(p.shape, str(p.dtype)) for p in pixels] for who, pixels in theirs.items()}
            counts["wrong"].append((name, ours.shape, depth, shapes))
    for what in ("refused", "accepted alone", "wrong"):
        for entry in counts[what]:
            print(what, *entry, sep=" | ")
    print({what: count if isinstance(count, int) else len(count) for what, count in counts.items()})


main(*sys.argv[1:])
