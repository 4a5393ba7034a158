"""Golden values of the pixel functions, from Pillow, OpenCV, ImageHash, NumPy, tifffile and pypng.

Usage: python images.py > images.json

Everything is synthetic. Samples and files are base64; 16-bit samples are little endian.
"""

import base64
import io
import json

import cv2
import imagehash
import numpy as np
import png
import tifffile
from PIL import Image


def text(data):
    return base64.b64encode(data).decode()


def samples(array):
    return text(array.astype(array.dtype.newbyteorder("<")).tobytes())


def image(array):
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    return {
        "width": width, "height": height, "channels": channels,
        "depth": array.dtype.itemsize * 8, "samples": samples(array),
    }


def picture(seed, width, height, dtype=np.uint8):
    """Blobs on a dark ground with noise, and a few samples at the limits of the range."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width]
    out = random.uniform(0, 0.15, size=(height, width))
    for _ in range(6):
        cx, cy, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(1.5, width / 4)
        out += random.uniform(0.2, 1) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / radius**2)
    out[random.uniform(size=out.shape) < 0.02] = 1
    out[random.uniform(size=out.shape) < 0.02] = 0
    top = np.iinfo(dtype).max
    return np.round(np.clip(out, 0, 1) * top).astype(dtype)


SIZES = [
    (23, 29), (46, 58), (25, 31), (37, 43), (80, 16), (11, 49),    # enlarging, one way or both
    (22, 28), (16, 20), (12, 14), (7, 9), (9, 4), (6, 29), (23, 3), (1, 1),    # shrinking
]


def resized():
    cases = []
    for source in (picture(1, 23, 29), picture(2, 23, 29, np.uint16), picture(3, 20, 24), picture(4, 20, 24, np.uint16)):
        sizes = SIZES if source.shape == (29, 23) else [(10, 12), (5, 6), (4, 8), (40, 48)]
        case = {"source": image(source), "results": []}
        for size in sizes:
            results = {
                "Bilinear": cv2.resize(source, size, interpolation=cv2.INTER_LINEAR),
                "Area": cv2.resize(source, size, interpolation=cv2.INTER_AREA),
            }
            if source.dtype == np.uint8:
                results["Lanczos"] = np.array(Image.fromarray(source).resize(size, Image.Resampling.LANCZOS))
            for name, result in results.items():
                case["results"].append({"by": name, "image": image(result)})
        cases.append(case)
    return cases


def hashed():
    flat = np.full((50, 60), 77, np.uint8)
    half = np.zeros((64, 64), np.uint8)
    half[:, 32:] = 200
    steps = np.repeat(np.arange(64, dtype=np.uint8)[None] * 4, 64, axis=0)
    sources = [picture(seed, width, height) for seed, width, height in (
        (11, 32, 32), (12, 64, 48), (13, 97, 101), (14, 20, 25), (15, 128, 32), (16, 33, 150),
    )]
    sources += [flat, flat * 0, half, half.T.copy(), steps, steps.T.copy()]
    return [{"source": image(source), "hash": str(imagehash.phash(Image.fromarray(source)))} for source in sources]


def measured():
    sources = [picture(21, 61, 47), picture(22, 61, 47, np.uint16), np.full((5, 4), 3, np.uint8)]
    cases = []
    for source in sources:
        scaled = source / np.iinfo(source.dtype).max
        cases.append({"source": image(source), "mean": float(scaled.mean()), "std": float(scaled.std())})
    return cases


def tiffs():
    grey8, grey16 = picture(31, 35, 19), picture(32, 35, 19, np.uint16)
    rgb8 = np.stack([picture(seed, 35, 19) for seed in (33, 34, 35)], axis=2)
    rgb16 = np.stack([picture(seed, 35, 19, np.uint16) for seed in (36, 37, 38)], axis=2)
    rgba8 = np.dstack([rgb8, picture(39, 35, 19)])
    out = []

    def add(name, pixels, **options):
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, metadata=None, **options)
        expected = np.moveaxis(pixels, 0, 2) if options.get("planarconfig") == "separate" else pixels
        out.append({"name": name, "file": text(file.getvalue()), "image": image(expected)})

    for order, order_name in (("<", "little"), (">", "big")):
        for pixels in (grey8, grey16):
            depth = pixels.dtype.itemsize * 8
            for compression in (None, "lzw", "zlib", "packbits"):
                for layout, options in (("strips", {"rowsperstrip": 4}), ("tiles", {"tile": (16, 16)})):
                    if compression == "packbits" and depth == 16:
                        continue
                    name = f"grey{depth} {order_name} {compression or 'raw'} {layout}"
                    add(name, pixels, byteorder=order, compression=compression, photometric="minisblack", **options)
    for compression in ("lzw", "zlib"):
        add(f"grey16 {compression} predictor", grey16, compression=compression, predictor=True, photometric="minisblack")
        add(f"rgb8 {compression} predictor", rgb8, compression=compression, predictor=True, photometric="rgb")
    add("grey8 one strip", grey8, photometric="minisblack")
    add("grey8 bigtiff", grey8, photometric="minisblack", bigtiff=True)
    add("rgb8", rgb8, photometric="rgb")
    add("rgb16 tiles", rgb16, photometric="rgb", tile=(16, 16), compression="zlib")
    add("rgba8", rgba8, photometric="rgb", extrasamples=["unassalpha"])
    add("rgb8 planes", np.moveaxis(rgb8, 2, 0).copy(), photometric="rgb", planarconfig="separate")
    add("rgb16 planes big", np.moveaxis(rgb16, 2, 0).copy(), photometric="rgb", planarconfig="separate", byteorder=">")
    for name, options in (("raw", {}), ("lzw", {"compression": "tiff_lzw"}), ("deflate", {"compression": "tiff_adobe_deflate"})):
        for pixels in (grey8, grey16, rgb8):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "TIFF", **options)
            out.append({"name": f"Pillow {pixels.dtype} {name}", "file": text(file.getvalue()), "image": image(pixels)})
    # White is zero: read as its meaning, not as its numbers.
    file = io.BytesIO()
    tifffile.imwrite(file, 255 - grey8, photometric="miniswhite", metadata=None)
    out.append({"name": "grey8 white is zero", "file": text(file.getvalue()), "image": image(grey8)})
    return out


def pngs():
    width, height = 21, 13
    random = np.random.RandomState(41)
    out = []

    def add(name, rows, expected, **options):
        file = io.BytesIO()
        png.Writer(width, height, **options).write(file, rows)
        out.append({"name": name, "file": text(file.getvalue()), "image": image(expected)})

    for interlace in (False, True):
        suffix = " interlaced" if interlace else ""
        for depth in (1, 2, 4, 8, 16):
            rows = random.randint(0, 2**depth, size=(height, width))
            expected = rows.astype(np.uint16) if depth == 16 else (rows * (255 // (2**depth - 1))).astype(np.uint8)
            add(f"grey{depth}{suffix}", rows.tolist(), expected, greyscale=True, bitdepth=depth, interlace=interlace)
        for depth in (8, 16):
            dtype = np.uint8 if depth == 8 else np.uint16
            for channels, options in ((2, {"greyscale": True, "alpha": True}), (3, {"greyscale": False}), (4, {"greyscale": False, "alpha": True})):
                pixels = random.randint(0, 2**depth, size=(height, width, channels)).astype(dtype)
                rows = pixels.reshape(height, -1).tolist()
                add(f"{channels} channels {depth}{suffix}", rows, pixels, bitdepth=depth, interlace=interlace, **options)
        for depth in (1, 2, 4, 8):
            palette = random.randint(0, 256, size=(2**depth, 3))
            rows = random.randint(0, 2**depth, size=(height, width))
            add(f"palette{depth}{suffix}", rows.tolist(), palette[rows].astype(np.uint8), bitdepth=depth,
                palette=[tuple(map(int, colour)) for colour in palette], interlace=interlace)
        palette = random.randint(0, 256, size=(16, 4))
        rows = random.randint(0, 16, size=(height, width))
        add(f"palette4 alpha{suffix}", rows.tolist(), palette[rows].astype(np.uint8), bitdepth=4,
            palette=[tuple(map(int, colour)) for colour in palette], interlace=interlace)
    return out


def jpegs():
    grey = picture(51, 53, 38)
    rgb = np.stack([picture(seed, 53, 38) for seed in (52, 53, 54)], axis=2)
    out = []

    def add(name, pixels, **options):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", **options)
        decoded = np.array(Image.open(file))
        out.append({"name": name, "file": text(file.getvalue()), "image": image(decoded)})

    for progressive in (False, True):
        suffix = " progressive" if progressive else ""
        add("grey" + suffix, grey, quality=85, progressive=progressive)
        for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
            add(f"rgb {subsampling}{suffix}", rgb, quality=80, subsampling=subsampling, progressive=progressive)
    add("rgb kept as rgb", rgb, quality=90, keep_rgb=True)
    add("rgb restart marks", rgb, quality=75, restart_marker_rows=1)
    return out


def written():
    """Grey JPEG files as OpenCV writes them."""
    cases = []
    for source, quality in ((picture(61, 53, 38), 85), (picture(62, 16, 8), 50), (picture(63, 7, 9), 100)):
        file = cv2.imencode(".jpg", source, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        cases.append({"source": image(source), "quality": quality, "file": text(file)})
    return cases


print(json.dumps({
    "resize": resized(), "hashes": hashed(), "statistics": measured(), "decode": tiffs() + pngs() + jpegs(),
    "jpeg_files": written(),
}, separators=(",", ":")))
