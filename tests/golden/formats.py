"""Golden values of file formats, from Pillow, OpenCV and tifffile.

Usage: python formats.py > formats.json

Everything is synthetic. Files and samples are base64; 16-bit samples are little endian. What no other tool brings to 8 or 16
bits is brought there by NumPy, in the way that the parameter `scale` documents.
"""

import base64
import io
import json
import re
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

WIDTH, HEIGHT = 19, 13


def text(data):
    return base64.b64encode(data).decode()


def image(array):
    array = np.asarray(array)
    height, width = array.shape[:2]
    out = {
        "width": width, "height": height, "channels": 1 if array.ndim == 2 else array.shape[2],
        "depth": array.dtype.itemsize * 8,
    }
    if (array == array.flat[0]).all():
        return out | {"fill": int(array.flat[0])}
    return out | {"samples": text(array.astype(array.dtype.newbyteorder("<")).tobytes())}


def noise(seed, bits, channels=None, width=WIDTH, height=HEIGHT):
    """A gradient with noise, from 0 to the largest number of so many bits."""
    random = np.random.RandomState(seed)
    shape = (height, width) if channels is None else (height, width, channels)
    ramp = np.linspace(0, 1, width)[None, :] if channels is None else np.linspace(0, 1, width)[None, :, None]
    out = np.clip(ramp * 0.8 + random.uniform(-0.2, 0.2, shape), 0, 1)
    out.flat[0], out.flat[1] = 0, 1
    top = 2**bits - 1
    numbers = np.round(out * top)
    return numbers.astype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)


CASES, REFUSED = [], []


def add(name, file, expected, off=0, **options):
    CASES.append({"name": name, "file": text(file), "image": image(expected), "off": off, "options": options})


def refuse(name, file, says, **options):
    REFUSED.append({"name": name, "file": text(file), "says": says, "options": options})


def pillow(file, mode=None):
    opened = Image.open(io.BytesIO(file))
    return np.array(opened.convert(mode) if mode else opened)


def saved(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def by_tifffile(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **{"metadata": None, **options})
    return file.getvalue()


def packed(array, bits):
    """Rows of samples of so many bits, the highest first, each row in whole bytes."""
    rows = b""
    for row in array.reshape(array.shape[0], -1):
        line = "".join(format(int(sample), f"0{bits}b") for sample in row)
        line += "0" * (-len(line) % 8)
        rows += int(line, 2).to_bytes(len(line) // 8, "big")
    return rows


def by_hand(data, tags, order="<", offset_tag=273):
    """A TIFF file of one strip: its data at byte 8, then its directory. A tag that is None is left out."""
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, offset_tag: 8, 277: 1, 278: HEIGHT, 279: len(data)} | tags
    tags = sorted((tag, value) for tag, value in tags.items() if value is not None)
    start = 8 + len(data) + len(data) % 2
    behind = start + 2 + 12 * len(tags) + 4
    entries, more = b"", b""
    for tag, value in tags:
        values = value if isinstance(value, list) else [value]
        kind, letter = (3, "H") if max(values) < 65536 and tag != offset_tag else (4, "I")
        raw = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(raw) > 4:
            place, more = struct.pack(order + "I", behind + len(more)), more + raw
        else:
            place = raw.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + place
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    directory = struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0)
    return head + data + b"\0" * (len(data) % 2) + directory + more


def depths():
    for bits in (1, 2, 4):
        pixels = noise(bits, bits)
        file = by_hand(packed(pixels, bits), {258: bits})
        add(f"TIFF {bits} bits", file, pillow(file, "L"))
        white = by_hand(packed(pixels, bits), {258: bits, 262: 0})
        add(f"TIFF {bits} bits, 0 is white", white, pillow(white, "L"))
    for bits in (3, 5, 6, 7):
        pixels = noise(bits, bits)
        add(f"TIFF {bits} bits", by_hand(packed(pixels, bits), {258: bits}),
            np.floor(pixels * 255.0 / (2**bits - 1) + 0.5).astype(np.uint8))
    for bits in (10, 12, 14):
        pixels = noise(bits, bits)
        for order in "<>":
            file = by_hand(packed(pixels, bits), {258: bits}, order)
            add(f"TIFF {bits} bits {order}", file, cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED))
        add(f"TIFF {bits} bits, minmax", by_hand(packed(pixels, bits), {258: bits}),
            np.floor(pixels * 65535.0 / (2**bits - 1) + 0.5).astype(np.uint16), scale="minmax")
        colours = noise(bits + 1, bits, 3)
        add(f"TIFF {bits} bits of colours", by_hand(packed(colours, bits), {258: [bits] * 3, 277: 3, 262: 2}),
            colours << (16 - bits))
        white = by_hand(packed(pixels, bits), {258: bits, 262: 0})
        add(f"TIFF {bits} bits, 0 is white", white, (2**bits - 1 - pixels) << (16 - bits))
    twelve = noise(20, 12)
    for name, file in (("TIFF", by_tifffile(twelve)), ("PNG", saved(Image.fromarray(twelve), "PNG"))):
        add(f"{name} 12 bits in 16", file, twelve)
        add(f"{name} 12 bits in 16, bits", file, twelve << 4, scale="bits")
        add(f"{name} 12 bits in 16, 14 bits", file, twelve << 2, scale="bits", bits=14)
        refuse(f"{name} 12 bits in 16, 11 bits", file, "which 11 bits do not hold", scale="bits", bits=11)
    long = (noise(21, 32).astype(np.uint64) % 2**32).astype(np.uint32)
    add("TIFF 32 bits", by_tifffile(long), (long >> 16).astype(np.uint16))
    add("TIFF 32 bits big endian tiles", by_tifffile(long, byteorder=">", tile=(16, 16)), (long >> 16).astype(np.uint16))
    longer = long.astype(np.uint64) << 32
    add("TIFF 64 bits", by_tifffile(longer), (longer >> 48).astype(np.uint16))
    triples = noise(22, 24)
    for order, end in (("<", "little"), (">", "big")):
        data = b"".join(int(sample).to_bytes(3, end) for sample in triples.flat)
        add(f"TIFF 24 bits {order}", by_hand(data, {258: 24}, order), (triples >> 8).astype(np.uint16))
    for dtype in (np.int8, np.int16, np.int32):
        bits = np.dtype(dtype).itemsize * 8
        signed = (noise(23, bits).astype(np.int64) - 2**(bits - 1)).astype(dtype)
        shifted = signed.astype(np.int64) + 2**(bits - 1)
        full = shifted >> max(bits - 16, 0)
        add(f"TIFF {signed.dtype}", by_tifffile(signed), full.astype(np.uint8 if bits == 8 else np.uint16))
        white = by_tifffile(signed, photometric="miniswhite")
        assert (cv2.imdecode(np.frombuffer(white, np.uint8), -1) == (~signed if bits == 8 else signed)).all()
        add(f"TIFF {signed.dtype}, 0 for white", white, (255 - full).astype(np.uint8) if bits == 8 else full.astype(np.uint16))
        refuse(f"TIFF {signed.dtype}, bits", by_tifffile(signed), "choose `scale: minmax`", scale="bits")
    white = by_tifffile((noise(24, 8) / 255).astype(np.float32), photometric="miniswhite")
    add("TIFF float32, 0 for white", white, np.round(pillow(white).astype(np.float64) * 65535).astype(np.uint16))
    for dtype in (np.float16, np.float32, np.float64):
        share = (noise(24, 8) / 255).astype(dtype)
        full = np.round(share.astype(np.float64) * 65535).astype(np.uint16)
        for options in ({}, {"byteorder": ">"}, {"compression": "zlib", "predictor": 3}, {"compression": "lzw", "tile": (16, 16)}):
            add(f"TIFF {share.dtype} {options}", by_tifffile(share, **options), full)
        around = (share.astype(np.float64) * 6 - 2).astype(dtype)
        refuse(f"TIFF {share.dtype} around 0", by_tifffile(around), "not from 0 to 1; choose `scale: minmax`")
        exact = around.astype(np.float64)
        exact = (exact - exact.min()) / (exact.max() - exact.min())
        add(f"TIFF {share.dtype} around 0, minmax", by_tifffile(around), np.round(exact * 65535).astype(np.uint16), scale="minmax")
    counts = noise(25, 12).astype(np.float32)
    add("TIFF counts as float32, bits", by_tifffile(counts), counts.astype(np.uint16) << 4, scale="bits")
    holes = counts.copy()
    holes[3, 3] = np.nan
    refuse("TIFF NaN", by_tifffile(holes), "NaN, which only `scale: minmax` places")
    # As OpenCV brings NaN to whole numbers.
    shown = np.nan_to_num(np.round((holes - np.nanmin(holes)) / (np.nanmax(holes) - np.nanmin(holes)) * 65535.0), nan=0)
    add("TIFF NaN, minmax", by_tifffile(holes), shown.astype(np.uint16), off=1, scale="minmax")
    holes[3, 3] = np.inf
    refuse("TIFF infinite", by_tifffile(holes), "infinite", scale="minmax")


def compressions():
    grey, rgb = noise(30, 8), noise(31, 8, 3)
    deep, bitmap = noise(32, 16), noise(33, 1)
    for compression in ("lzw", "zlib"):
        for order in "<>":
            for name, pixels in (("8", grey), ("16", deep), ("rgb", rgb), ("32", deep.astype(np.uint32) << 16)):
                expected = pixels if pixels.dtype.itemsize < 4 else deep
                options = {"compression": compression, "predictor": True, "byteorder": order}
                photometric = "rgb" if name == "rgb" else "minisblack"
                add(f"TIFF {name} {compression} {order} predictor", by_tifffile(pixels, photometric=photometric, **options), expected)
                add(f"TIFF {name} {compression} {order} predictor tiles big",
                    by_tifffile(pixels, photometric=photometric, tile=(16, 16), bigtiff=True, **options), expected)
                if pixels.ndim == 2:
                    planes = np.stack([pixels, pixels[::-1]])
                    both = np.dstack([expected, expected[::-1]])
                    add(f"TIFF {name} {compression} {order} predictor planes",
                        by_tifffile(planes, photometric="minisblack", planarconfig="separate", extrasamples=[0], **options), both)
    many = noise(34, 8, 7)
    add("TIFF 7 channels", by_tifffile(many, photometric="minisblack", planarconfig="contig", extrasamples=[0] * 6), many)
    file = saved(Image.fromarray(bitmap * 255).convert("1"), "TIFF", compression="group4")
    add("TIFF group 4", file, pillow(file, "L"))
    for name, options in (("", {}), (" lowest bit first", {"tiffinfo": {266: 2}})):
        file = saved(Image.fromarray(bitmap * 255).convert("1"), "TIFF", compression="group3", **options)
        add(f"TIFF group 3{name}", file, pillow(file, "L"))
    runs = saved(Image.fromarray(bitmap * 255).convert("1"), "TIFF", compression="tiff_ccitt")
    add("TIFF fax of aligned lines", runs, pillow(runs, "L"))
    file = saved(Image.fromarray(bitmap * 255).convert("1"), "TIFF", compression="group3", tiffinfo={292: 1})
    add("TIFF group 3 of two dimensions", file, pillow(file, "L"))
    tile = np.zeros((16, 32), np.uint8)
    tile[:HEIGHT, :WIDTH] = bitmap
    for number, name in ((3, "group3"), (4, "group4")):
        strip = Image.open(io.BytesIO(saved(Image.fromarray(tile * 255).convert("1"), "TIFF", compression=name)))
        start, length = strip.tag_v2[273][0], strip.tag_v2[279][0]
        strip.fp.seek(start)
        white = strip.tag_v2[262]
        tags = {258: 1, 259: number, 262: white, 273: None, 278: None, 279: None, 322: 32, 323: 16, 325: length}
        file = by_hand(strip.fp.read(length), tags, offset_tag=324)
        add(f"TIFF {name} tile", file, pillow(file, "L"))
    table = [60000, 1000, 30000, 20000, 500, 65535]
    file = saved(Image.fromarray(bitmap * 255).convert("1"), "TIFF", compression="group3")
    strip = Image.open(io.BytesIO(file))
    strip.fp.seek(strip.tag_v2[273][0])
    file = by_hand(strip.fp.read(strip.tag_v2[279][0]), {258: 1, 259: 3, 262: 3, 320: table})
    add("TIFF group 3 palette", file, pillow(file, "RGB"))
    blank = saved(Image.new("1", (900, 700), 1), "TIFF", compression="group4")
    add("TIFF group 4 blank", blank, pillow(blank, "L"))
    smooth = Image.fromarray(cv2.GaussianBlur(noise(35, 8, 3, 29, 21), (9, 9), 3))
    for name, picture in (("rgb", smooth), ("grey", smooth.convert("L")), ("YCbCr", smooth.convert("YCbCr"))):
        file = saved(picture, "TIFF", compression="jpeg", quality=80)
        add(f"TIFF JPEG {name}", file, pillow(file, "L" if name == "grey" else "RGB"))
    for subsampling in ((1, 1), (2, 1), (2, 2)):
        file = by_tifffile(np.array(smooth), photometric="rgb", compression="jpeg", tile=(32, 32), subsampling=subsampling)
        add(f"TIFF JPEG tiles {subsampling}", file, pillow(file, "RGB"))
    file = by_tifffile(np.array(smooth), photometric="rgb", compression="jpeg", planarconfig="contig", rowsperstrip=16)
    add("TIFF JPEG strips", file, pillow(file, "RGB"))
    for name, pixels in (("8", grey), ("16", deep)):
        for options in ({}, {"predictor": 2}, {"predictor": 2, "byteorder": ">", "tile": (16, 16)}):
            file = by_tifffile(pixels, compression="zstd", **options)
            add(f"TIFF zstd {name} {options}", file, tifffile.imread(io.BytesIO(file)))
    strip = Image.open(io.BytesIO(by_tifffile(grey, compression="zstd")))
    strip.fp.seek(strip.tag_v2[273][0])
    turned_bytes = bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip.fp.read(strip.tag_v2[279][0]))
    file = by_hand(turned_bytes, {259: 50000, 266: 2})
    add("TIFF zstd lowest bit first", file, pillow(file))
    refuse("TIFF zstd damaged", by_hand(turned_bytes, {259: 50000}), "the data compressed by Zstandard are corrupt")
    runs = runs_without_ends(bitmap)
    file = by_hand(runs, {258: 1, 259: 3, 262: 0})
    assert (pillow(file, "L") == bitmap * 255).all()
    add("TIFF group 3 without ends of lines", file, pillow(file, "L"))
    sgi_log()
    for compression, says in (("lerc", "LERC compression"), ("lzma", "LZMA compression")):
        refuse(f"TIFF {compression}", by_tifffile(grey, compression=compression), f"{says} in a TIFF file is not supported")
    old = old_lzw(grey.tobytes())
    file = by_hand(old, {259: 5})
    add("TIFF old LZW", file, pillow(file))
    differences = np.diff(grey, axis=1, prepend=np.zeros((HEIGHT, 1), np.uint8))
    file = by_hand(old_lzw(differences.tobytes()), {259: 5, 317: 2})
    assert (pillow(file) == grey).all()
    add("TIFF old LZW of differences", file, grey)
    old_jpeg(smooth)


def runs_without_ends(bitmap):
    """Fax of Group 3 without ends of lines: the lines of aligned fax, bit behind bit."""
    bits, end = "", "000000000001"
    for row in bitmap:
        # Between the ends of two lines.
        both = Image.fromarray((1 - np.stack([row, row])) * 255).convert("1")
        strip = Image.open(io.BytesIO(saved(both, "TIFF", compression="group3")))
        strip.fp.seek(strip.tag_v2[273][0])
        bits += "".join(format(byte, "08b") for byte in strip.fp.read(strip.tag_v2[279][0])).split(end)[1]
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def sgi_log():
    """Logarithms of light, as OpenCV shows them at 8 bits."""
    random = np.random.RandomState(38)
    light = random.randint(60 * 256, 64 * 256, (HEIGHT, WIDTH)).astype(np.uint32)
    light[2, 3:9], light[3, 3], light[4, 4:8] = 0, 0x8000 | 62 * 256, 66 * 256
    colour = light << 16 | random.randint(60, 110, light.shape).astype(np.uint32) << 8 | random.randint(170, 210, light.shape).astype(np.uint32)
    for name, pixels, planes, tags in (("grey", light, 2, {258: 16, 262: 32844, 339: 2}),
                                       ("colour", colour, 4, {258: [16] * 3, 262: 32845, 277: 3, 339: [2] * 3})):
        file = by_hand(b"".join(log_row(row, planes) for row in pixels), tags | {259: 34676})
        shown = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        add(f"TIFF SGI Log {name}", file, shown[:, :, 0] if name == "grey" else shown[:, :, ::-1])
    refuse("TIFF SGI Log of 24 bits", by_hand(bytes(3 * WIDTH * HEIGHT), tags | {259: 34677}),
           "LogLuv colour that is not compressed as SGI Log of 32 bits in a TIFF file is not supported")


def log_row(row, planes):
    """The bytes of a row's samples, the highest of all first: runs of equal ones, and others one by one."""
    out = b""
    for plane in reversed(range(planes)):
        data = [int(sample) >> 8 * plane & 255 for sample in row]
        at = 0
        while at < len(data):
            run = next((count for count in range(1, len(data) - at) if data[at + count] != data[at]), len(data) - at)
            out += bytes([128 - 2 + run, data[at]]) if run > 1 else bytes([1, data[at]])
            at += run
    return out


def old_lzw(data):
    """LZW of before TIFF 5: codes of 9 bits, the lowest first, and a new table before they would grow."""
    codes = [code for start in range(0, len(data), 200) for code in (256, *data[start : start + 200])] + [257]
    bits = sum(code << 9 * place for place, code in enumerate(codes))
    return bits.to_bytes((9 * len(codes) + 7) // 8, "little")


def segments(jpeg):
    """The segments of a JPEG stream with one scan: pairs of marker and content, up to the scan and its codes."""
    at, out = 2, []
    while not out or out[-1][0] != 0xDA:
        length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        out.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return out, jpeg[at:-2]


def old_jpeg(picture):
    """JPEG of before TIFF 6.2: a whole stream, and codes whose tables lie apart."""
    tags = {256: picture.width, 257: picture.height, 278: picture.height, 258: [8, 8, 8], 259: 6, 262: 6, 277: 3}
    for subsampling, (across, down) in enumerate(((1, 1), (2, 1), (2, 2))):
        jpeg = saved(picture, "JPEG", quality=80, subsampling=subsampling)
        whole = tags | {513: 8, 514: len(jpeg), 530: [across, down]}
        file = by_hand(jpeg, whole)
        add(f"TIFF old JPEG {across} x {down}", file, pillow(file, "RGB"))
        parts, codes = segments(jpeg)
        head = jpeg[:-2 - len(codes)]
        for where, data, start, behind in (
            ("behind a gap", head + bytes(64) + codes, 8, 8 + len(head) + 64), ("before its head", codes + head, 8 + len(codes), 8),
        ):
            named = {513: start, 514: len(head), 273: behind, 279: len(codes), 530: [across, down]}
            file = by_hand(data, tags | named)
            add(f"TIFF old JPEG {across} x {down} with data {where}", file, pillow(file, "RGB"))
        quantisations = [content[1:] for marker, content in parts if marker == 0xDB]
        tables = {content[0]: content[1:] for marker, content in parts if marker == 0xC4}
        data, places = b"", {}
        for name, table in (("quantisation 0", quantisations[0]), ("quantisation 1", quantisations[1]), *tables.items()):
            places[name], data = 8 + len(data), data + table
        apart = {
            273: 8 + len(data), 279: len(codes), 512: 1, 519: [places["quantisation 0"], *[places["quantisation 1"]] * 2],
            520: [places[0x00], places[0x01], places[0x01]], 521: [places[0x10], places[0x11], places[0x11]],
            532: [16, 235, 128, 240, 128, 240],
        }
        file = by_hand(data + codes, tags | apart | {530: [across, down]})
        add(f"TIFF old JPEG {across} x {down} with tables apart", file, pillow(file, "RGB"))
        rows = 8 * down
        _, codes = segments(saved(picture, "JPEG", quality=80, subsampling=subsampling, restart_marker_rows=1))
        strips = re.split(b"\xff[\xd0-\xd7]", codes)
        places = [8 + len(data) + sum(map(len, strips[:at])) for at in range(len(strips))]
        lengths = {278: rows, 279: [len(strip) for strip in strips], 530: [across, down]}
        file = by_hand(data + b"".join(strips), tags | apart | lengths | {273: places})
        add(f"TIFF old JPEG {across} x {down} with tables apart in strips", file, pillow(file, "RGB"))
        places = [place - len(data) + len(head) for place in places]
        named = {273: places, 513: 8, 514: len(head)}
        file = by_hand(head + b"".join(strips), tags | lengths | named)
        add(f"TIFF old JPEG {across} x {down} with its head apart in strips", file, pillow(file, "RGB"))
        # As Wang's programs wrote it: the mark of the scan and that of the end are in the strips.
        scan = 2 + 2 + len(parts[-1][1])
        wang = named | {514: len(head) - scan, 273: [places[0] - scan, *places[1:]]}
        wang[279] = [scan + len(strips[0]), *map(len, strips[1:-1]), len(strips[-1]) + 2]
        file = by_hand(head + b"".join(strips) + b"\xff\xd9", tags | lengths | wang)
        add(f"TIFF old JPEG {across} x {down} with a scan in strips", file, pillow(file, "RGB"))
        # All of the stream but its end is in strips, the first of which has the head.
        strips[0] = head + strips[0]
        places = [8 + sum(map(len, strips[:at])) for at in range(len(strips))]
        file = by_hand(b"".join(strips), tags | lengths | {273: places, 279: [len(strip) for strip in strips]})
        add(f"TIFF old JPEG {across} x {down} with its head in strips", file, pillow(file, "RGB"))
    nameless = by_hand(jpeg, whole | {277: None, 514: None})
    add("TIFF old JPEG without SamplesPerPixel", nameless, pillow(nameless, "RGB"))
    grey = saved(picture.convert("L"), "JPEG", quality=80)
    file = by_hand(grey, tags | {258: 8, 262: 1, 277: 1, 513: 8, 514: len(grey)})
    refuse("TIFF old JPEG grey", file, "JPEG of before TIFF 6.2 in other colours than YCbCr in a TIFF file is not supported")
    half = picture.height // 2
    strips = by_hand(data + codes, tags | apart | {273: [8 + len(data)] * 2, 279: [len(codes)] * 2, 278: half + 1})
    refuse("TIFF old JPEG in strips", strips, "JPEG of before TIFF 6.2 in strips of 11 rows, no multiple of 16 in a TIFF file is not supported")


def ycbcr_units(pixels, across, down):
    """Luma of `across` x `down` pixels, then their chroma, unit by unit."""
    out = b""
    for top in range(0, pixels.shape[0], down):
        for left in range(0, pixels.shape[1], across):
            unit = pixels[top : top + down, left : left + across]
            luma = np.zeros((down, across), np.uint8)
            luma[: unit.shape[0], : unit.shape[1]] = unit[:, :, 0]
            out += luma.tobytes() + unit[0, 0, 1:].tobytes()
    return out


def colours():
    rgb = Image.fromarray(noise(40, 8, 3))
    for colour_count in (2, 16, 200):
        file = saved(rgb.quantize(colour_count), "TIFF")
        add(f"TIFF palette {colour_count}", file, pillow(file, "RGB"))
    for bits in (1, 2, 4):
        places = noise(41, bits)
        table = [int(part) for part in np.random.RandomState(bits).randint(0, 65536, 3 * 2**bits)]
        file = by_hand(packed(places, bits), {258: bits, 262: 3, 320: table})
        add(f"TIFF palette of {bits} bits", file, pillow(file, "RGB"))
    cmyk = Image.fromarray(noise(42, 8, 4), "CMYK")
    for name, file in (("TIFF", saved(cmyk, "TIFF")), ("TIFF LZW", saved(cmyk, "TIFF", compression="tiff_lzw"))):
        add(f"{name} CMYK", file, pillow(file, "RGB"))
    smooth = Image.fromarray(cv2.GaussianBlur(noise(43, 8, 4, 29, 21), (9, 9), 3), "CMYK")
    file = saved(smooth, "JPEG", quality=85)
    add("JPEG CMYK", file, pillow(file, "RGB"))
    deep = noise(44, 16, 4)
    file = by_tifffile(deep, photometric="separated")
    add("TIFF CMYK of 16 bits", file, pillow(file, "RGB"))
    ycbcr = noise(45, 8, 3)
    file = by_hand(ycbcr.tobytes(), {258: [8, 8, 8], 277: 3, 262: 6, 530: [1, 1]})
    add("TIFF YCbCr", file, np.array(Image.fromarray(ycbcr, "YCbCr").convert("RGB")), off=1)
    for width, height, across, down in ((20, 12, 2, 2), (20, 12, 4, 1), (20, 12, 1, 2), (20, 12, 4, 2), (18, 13, 2, 2)):
        # 4 x 4 is left out: OpenCV reads the last unit wrong.
        units = ycbcr_units(noise(46, 8, 3, width, height), across, down)
        tags = {256: width, 257: height, 258: [8, 8, 8], 277: 3, 262: 6, 278: height, 530: [across, down]}
        file = by_hand(units, tags)
        add(f"TIFF YCbCr {across} x {down}, {width} pixels", file, cv2.imdecode(np.frombuffer(file, np.uint8), 1)[:, :, ::-1])
    refuse("TIFF YCbCr of other samples", by_hand(ycbcr.tobytes(), {258: [8, 8, 8], 277: 3, 262: 6, 530: [3, 1]}),
           "such an arrangement of chroma in a TIFF file is not supported")
    lab = Image.frombytes("LAB", (WIDTH, HEIGHT), noise(47, 8, 3)[:, :, [2, 0, 1]].tobytes())
    # Without the table of 33 x 33 x 33 colours in which Pillow's `convert` interpolates.
    profiles = [ImageCms.createProfile(name) for name in ("LAB", "sRGB")]
    exact = ImageCms.buildTransform(*profiles, "LAB", "RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    add("TIFF Lab", saved(lab, "TIFF"), np.array(ImageCms.applyTransform(lab, exact)), off=1)
    refuse("TIFF Lab of 16 bits", by_hand(noise(47, 16, 3).tobytes(), {258: [16] * 3, 277: 3, 262: 8}),
           "colour with 3 samples of 16 bits a pixel in a TIFF file is not supported")
    refuse("TIFF ICC Lab", by_hand(ycbcr.tobytes(), {258: [8, 8, 8], 277: 3, 262: 9}), "ICC or ITU Lab colour in a TIFF file is not supported")


def turned():
    grey = Image.fromarray(noise(50, 8))
    smooth = Image.fromarray(cv2.GaussianBlur(noise(51, 8, 3, 29, 21), (9, 9), 3))
    for orientation in range(10):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        file = saved(grey, "TIFF", tiffinfo=tags)
        opened = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
        if 1 <= orientation <= 8:
            assert (opened == cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)).all()
        add(f"TIFF orientation {orientation}", file, opened)
        add(f"TIFF orientation {orientation}, exif ignored", file, opened, exif="ignore")
        exif = Image.Exif()
        exif[274] = orientation
        for kind in ("JPEG", "PNG", "WEBP"):
            picture = grey if kind == "PNG" else smooth
            options = {"lossless": True} if kind == "WEBP" else {}
            file = saved(picture, kind, exif=exif, **options)
            opened = Image.open(io.BytesIO(file))
            add(f"{kind} orientation {orientation}", file, np.array(ImageOps.exif_transpose(opened)))
            add(f"{kind} orientation {orientation}, ignored", file, np.array(opened), exif="ignore")
    packet = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    file = saved(smooth, "JPEG", xmp=packet)
    add("JPEG orientation in XMP", file, np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(file)))))


def forgiven():
    grey = noise(60, 8)
    data = grey.tobytes()
    plain = by_hand(data, {})
    assert (pillow(plain) == grey).all()
    add("TIFF plain", plain, grey)
    for name, tags in (
        ("without StripByteCounts", {279: None}), ("StripByteCounts of 0", {279: 0}), ("StripByteCounts too large", {279: 60_000}),
        ("StripByteCounts far too large", {279: 2**31}), ("without RowsPerStrip", {278: None}), ("RowsPerStrip too large", {278: 2**32 - 1}),
        ("RowsPerStrip of 0", {278: 0}), ("a predictor of raw data", {317: 2}), ("without SamplesPerPixel", {277: None}),
    ):
        add(f"TIFF {name}", by_hand(data, tags), grey)
    squeezed = zlib.compress(data)
    for name, tags in (("without StripByteCounts", {279: None}), ("StripByteCounts of 0", {279: 0}), ("StripByteCounts too large", {279: 60_000})):
        add(f"TIFF deflate {name}", by_hand(squeezed, {259: 8} | tags), grey)
    reversed_bits = bytes(int(format(byte, "08b")[::-1], 2) for byte in data)
    add("TIFF lowest bit first", by_hand(reversed_bits, {266: 2}), grey)
    tiles = np.zeros((16, 32), np.uint8)
    tiles[:HEIGHT, :WIDTH] = grey
    tile_data = tiles[:, :16].tobytes() + tiles[:, 16:].tobytes()
    for name, offsets, lengths in (("TileOffsets", 324, 325), ("StripOffsets", 273, 279), ("TileOffsets without lengths", 324, None)):
        tags = {278: None, 279: None, 322: 16, 323: 16, offsets: [8, 8 + 256]}
        if lengths:
            tags[lengths] = [256, 256]
        add(f"TIFF tiles under {name}", by_hand(tile_data, tags, offset_tag=offsets), grey)
    many = {278: 1, 273: [8 + WIDTH * row for row in range(HEIGHT)]}
    for name, lengths in (("of 0", [0] * HEIGHT), ("too large", [2 * WIDTH] * HEIGHT), ("missing", None)):
        add(f"TIFF many strips, StripByteCounts {name}", by_hand(data, many | {279: lengths}), grey)
    refuse("TIFF many strips, StripByteCounts too small", by_hand(data, many | {279: [WIDTH - 2] * HEIGHT}), "truncated or damaged")
    for name, tags in (("places beyond the end", {273: 60_000}), ("no places", {273: None}), ("no size", {256: None})):
        refuse(f"TIFF {name}", by_hand(data, tags), "the TIFF file is truncated or damaged")
    planes = by_tifffile(np.stack([grey, grey]), photometric="minisblack", planarconfig="separate", compression="zlib")
    with tifffile.TiffFile(io.BytesIO(planes)) as opened:
        tags = opened.pages[0].tags
        # Place and length of the second plane, which then was never written.
        for name, size in (("StripOffsets", 4), ("StripByteCounts", 4 if tags["StripByteCounts"].dtype == 4 else 2)):
            at = tags[name].valueoffset + size
            planes = planes[:at] + bytes(size) + planes[at + size :]
    unwritten = tifffile.imread(io.BytesIO(planes))
    add("TIFF with a plane that was never written", planes, np.moveaxis(unwritten, 0, 2))
    refuse("TIFF that was never written", by_hand(b"", {273: 0, 279: 0}), "none of its strips or tiles has a place")
    refuse("TIFF fewer strips than rows", by_hand(data, {278: 4}), "1 of its 4 strips or tiles have a place")


def pages():
    first, second, third = noise(70, 16), noise(71, 16), noise(72, 16)
    file = by_tifffile(np.stack([first, second, third]), photometric="minisblack")
    refuse("TIFF 3 pages", file, "the file has 3 pages, and none of them is chosen")
    refuse("TIFF 3 pages, 3", file, "there is no page 3: the file has 3, counted from 0", page=3)
    for at, expected in enumerate((first, second, third)):
        add(f"TIFF page {at}", file, expected, page=at)
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(first, photometric="minisblack", metadata=None)
        writer.write(first[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
    add("TIFF with a smaller version", buffer.getvalue(), first)
    ome = io.BytesIO()
    with tifffile.TiffWriter(ome, ome=True) as writer:
        writer.write(np.stack([first, second]), photometric="minisblack",
                     metadata={"axes": "CYX", "Channel": {"Name": ["DAPI & more", "FITC"]}})
    # The identity of a file is made up anew each time.
    text_of_ome = re.sub(rb"urn:uuid:[0-9a-f-]{36}", b"urn:uuid:" + b"0" * 36, ome.getvalue())
    add("TIFF OME page 1", text_of_ome, second, page=1)


def others():
    rgb, rgba = Image.fromarray(noise(80, 8, 3)), Image.fromarray(noise(81, 8, 4), "RGBA")
    grey, bitmap = rgb.convert("L"), rgb.convert("1")
    for name, picture in (("rgb", rgb), ("1 bit", bitmap), ("palette", rgb.quantize(16)), ("grey", grey)):
        file = saved(picture, "BMP")
        add(f"BMP {name}", file, pillow(file, "RGB"))
    windows = saved(rgb.quantize(16), "BMP")
    os2 = (windows[:10] + struct.pack("<II", struct.unpack("<I", windows[10:14])[0] + 24, 64) + windows[18:54] + bytes(24)
           + windows[54:])
    add("BMP of OS/2 2", os2, pillow(os2, "RGB"))
    # Rows of 12 pixels: a run, three pixels passed over, a run; two passed over, then a run; a row passed over and a whole one;
    # pixels one by one.
    for bits, runs in (
        (8, b"\5\2\0\2\3\0\4\1\0\0" b"\0\2\2\0\4\3\0\0" b"\0\2\0\1\x0c\3\0\0" b"\0\4\1\2\3\2\0\0\0\1"),
        (4, b"\5\x12\0\2\3\0\4\x31\0\0" b"\0\2\2\0\4\x32\0\0" b"\0\2\0\1\x0c\x3f\0\0" b"\0\4\x12\x32\0\0\0\1"),
    ):
        palette = b"".join(bytes([40 + place, 200 - place, 7 * place, 0]) for place in range(16))
        header = struct.pack("<IiiHHIIiiII", 40, 12, 5, 1, bits, 1 if bits == 8 else 2, len(runs), 0, 0, 16, 0)
        start = 14 + len(header) + len(palette)
        file = b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + palette + runs
        add(f"BMP of runs of {bits} bits that pass over pixels", file, pillow(file, "RGB"))
        whole = runs[: runs.rindex(b"\0\4")]
        early, odd = whole + b"\0\1", whole + b"\x0c\x77\0\1"
        refuse(f"BMP of runs of {bits} bits that end early", file[: start] + early, "its run lengths end before its last pixel")
        few = file[:46] + struct.pack("<I", 7) + file[50:start] + odd
        refuse(f"BMP of runs of {bits} bits beyond the palette", few, "its run lengths have places beyond its palette")
        # The same from the top down, and with a number of planes that means nothing.
        turned = file[:22] + struct.pack("<i", -5) + struct.pack("<H", 7) + file[28:]
        add(f"BMP of runs of {bits} bits from the top down", turned, pillow(turned, "RGB"))
    for name, picture in (("rgb", rgb), ("palette", rgb.quantize(16))):
        bare = saved(picture, "DIB")
        add(f"BMP {name} of a clipboard", bare, pillow(bare, "RGB"))
    colourless = bytearray(saved(grey, "GIF"))
    colourless[10] &= 0x7F
    colourless = bytes(colourless[:13] + colourless[13 + 768 :])
    add("GIF without colours", colourless, np.dstack([pillow(colourless, "RGB"), np.full((HEIGHT, WIDTH), 255, np.uint8)]))
    for name, picture in (("palette", rgb.quantize(64)), ("grey", grey)):
        file = saved(picture, "GIF")
        add(f"GIF {name}", file, pillow(file, "RGBA"))
    for transparent in (None, 3):
        options = {} if transparent is None else {"transparency": transparent}
        whole = saved(grey.quantize(30), "GIF", **options)
        at = whole.index(struct.pack("<BHHHH", 0x2C, 0, 0, WIDTH, HEIGHT))
        # A screen that is larger than the frame, or smaller; and a frame at another place.
        for screen, place in (((30, 20), (5, 4)), ((10, 7), (0, 0)), ((WIDTH, HEIGHT), (5, 4)), ((0, 0), (1, 0))):
            file = whole[:6] + struct.pack("<HH", *screen) + whole[10:at + 1] + struct.pack("<HH", *place) + whole[at + 5:]
            add(f"GIF frame at {place} of a screen of {screen}, {transparent} transparent", file, pillow(file, "RGBA"))
    frames = io.BytesIO()
    rgb.quantize(16).save(frames, "GIF", save_all=True, append_images=[rgb.rotate(180).quantize(16)])
    add("GIF animation", frames.getvalue(), pillow(frames.getvalue(), "RGBA"))
    for name, picture, options in (("lossless", rgb, {"lossless": True}), ("lossless alpha", rgba, {"lossless": True, "exact": True}),
                                   ("lossy", Image.fromarray(cv2.GaussianBlur(noise(82, 8, 3, 29, 21), (9, 9), 3)), {"quality": 80})):
        file = saved(picture, "WEBP", **options)
        add(f"WebP {name}", file, pillow(file))
    for name, picture in (("rgb", rgb), ("grey", grey), ("1 bit", bitmap)):
        file = saved(picture, "PPM")
        add(f"PNM {name}", file, pillow(file, "L" if name != "rgb" else None))
    deep = noise(83, 16)
    file = f"P5 {WIDTH} {HEIGHT} 65535\n".encode() + deep.astype(">u2").tobytes()
    add("PNM 16 bits", file, deep)
    low = noise(84, 4)
    plain = f"P2 # a comment\n{WIDTH} {HEIGHT} 15\n".encode() + " ".join(map(str, low.flat)).encode()
    add("PNM plain of 4 bits", plain, pillow(plain))
    rows = " # a row\n".join(" ".join(map(str, row)) for row in low)
    commented = f"P2\n{WIDTH} {HEIGHT}\n15\n# samples\n{rows} # the last\n".encode()
    add("PNM plain with comments among the samples", commented, pillow(plain))
    colour = noise(85, 8, 3)
    rows = "#\r\n".join(" ".join(map(str, row.flat)) for row in colour)
    add("PNM plain rgb with comments among the samples", f"P3 {WIDTH} {HEIGHT} 255\r\n{rows}".encode(), colour)
    bits = "# a row\n".join("".join(map(str, row)) for row in noise(86, 1))
    commented = f"P1\n{WIDTH} {HEIGHT}\n{bits}\n".encode()
    add("PNM plain 1 bit with comments among the samples", commented, pillow(commented, "L"))
    for name, picture in (("rgb", rgb), ("rgba", rgba)):
        file = saved(picture, "QOI")
        add(f"QOI {name}", file, pillow(file))


def wrong_and_whole():
    grey = Image.fromarray(noise(90, 8))
    file = bytearray(saved(grey, "PNG"))
    at = file.index(b"IDAT")
    length = struct.unpack(">I", file[at - 4:at])[0]
    adler, crc = bytearray(file), bytearray(file)
    adler[at + 4 + length - 1] ^= 1
    adler[at + 4 + length:at + 8 + length] = struct.pack(">I", zlib.crc32(adler[at:at + 4 + length]))
    crc[at + 4 + length] ^= 1
    refuse("PNG with a wrong Adler-32", bytes(adler), "the PNG file is truncated or damaged")
    refuse("PNG with a wrong CRC", bytes(crc), "the PNG file is truncated or damaged")
    # libpng passes a damaged chunk over where it is of no account to the pixels; Pillow does not.
    chunk = struct.pack(">I", 4) + b"teSt" + b"1234" + bytes(4)
    beside = bytes(file[:33]) + chunk + bytes(file[33:])
    add("PNG with a wrong CRC of a chunk beside the image", beside, cv2.imdecode(np.frombuffer(beside, np.uint8), cv2.IMREAD_UNCHANGED))
    chunk = struct.pack(">I", 2) + b"tRNS" + b"\0\7" + bytes(4)
    refuse("PNG with a wrong CRC of its transparency", bytes(file[:33]) + chunk + bytes(file[33:]), "the PNG file is truncated or damaged")
    smooth = Image.fromarray(cv2.GaussianBlur(noise(91, 8, 3, 29, 21), (9, 9), 3))
    for progressive in (False, True):
        file = saved(smooth, "JPEG", progressive=progressive)
        for name, tail in (("zeros", bytes(50)), ("text", b"appended\n"), ("another JPEG", file), ("half a JPEG", file[:300])):
            add(f"JPEG progressive {progressive} followed by {name}", file + tail, pillow(file))
        refuse(f"JPEG progressive {progressive} without its end", file[:-2], "it has no end mark")
    scan = bytearray(saved(smooth, "JPEG", progressive=True))
    at = scan.rindex(b"\xff\xda")
    count = scan[at + 4]
    scan[at + 5 + 2 * count] = 40
    scan[at + 6 + 2 * count] = 20
    refuse("JPEG with an impossible scan", bytes(scan), "impossible parameters Ss=40, Se=20")
    # Sound files, of which one is rare and the other means what readers make of it.
    whole = saved(smooth, "JPEG", subsampling=0)
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    finer, repeated = bytearray(whole), bytearray(whole)
    finer[frame + 14] = 0x21
    refuse("JPEG with finer chroma than luma", bytes(finer), "higher resolution than that of brightness in a JPEG file is not supported")
    repeated[frame + 13] = repeated[scan + 7] = whole[frame + 10]
    refuse("JPEG with a component twice", bytes(repeated), "components of the same number in a JPEG file is not supported")
    wide = bytearray(saved(grey, "BMP"))
    wide[18:22] = struct.pack("<I", 70_000)
    refuse("BMP that is too wide", bytes(wide), "an image of 70000 x 13 pixels is larger than the limit of 32768 pixels a side")


for part in (depths, compressions, colours, turned, forgiven, pages, others, wrong_and_whole):
    part()
print(json.dumps({"decode": CASES, "refused": REFUSED}, separators=(",", ":")))
