"""Fetches the test files of other projects that `examples/decode_files.rs` and `decode_files.py` are tried on.

Usage: python fetch_files.py FOLDER

Each file lies below FOLDER under its repository's name and its path there, at a pinned commit; links and repeated contents are left
out, as are files that are no images by their names. Nothing of it belongs into this repository. Prints how many files there are.
"""

import pathlib
import subprocess
import sys
import tempfile

# Repositories with their commits. `image-png` holds PngSuite, `image-tiff` and `libtiff.net` the pictures of libtiffpic.
REPOSITORIES = {
    "https://github.com/python-pillow/Pillow": "4e5f09f533dbd0d87d39951f48b62f4d1a421cba",
    "https://github.com/image-rs/image-tiff": "31919c7bfcd224143524499a4d51ea33664f7fba",
    "https://github.com/image-rs/image-png": "4f873e4a628c0e8dbb4204fb263697298f89eb01",
    "https://github.com/image-rs/image": "2c5368b8de2f76ae9d18bc0bcf2cd16c3164cefe",
    "https://github.com/BitMiracle/libtiff.net": "5ad1a8053becd52fa6ad91ca120aec1ad2763024",
    "https://github.com/libsdl-org/libtiff": "c09bb267ca6fbc66ae0b18be05fffd5c4d3ebf3b",
}
IMAGES = "png apng jpg jpeg jpe jfif mpo tif tiff btf bmp dib webp gif qoi pbm pgm ppm pnm pam pfm".split()


def git(folder, *arguments):
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, stdout=subprocess.PIPE).stdout


def is_image(path):
    return path.rpartition(".")[2].lower() in IMAGES


def fetch(url, commit, folder):
    """Writes the image files of one repository below `folder`; returns how many these are."""
    with tempfile.TemporaryDirectory() as clone:
        git(clone, "init", "--quiet", "--bare")
        git(clone, "fetch", "--quiet", "--depth", "1", url, commit)
        return write_images(clone, commit, folder / url.rpartition("/")[2])


def write_images(clone, commit, folder):
    seen, count = set(), 0
    for entry in git(clone, "ls-tree", "-r", "-z", commit).decode().split("\0"):
        facts, _, path = entry.partition("\t")
        if not facts.startswith("100") or not is_image(path):
            continue
        blob = facts.split()[2]
        if blob in seen:
            continue
        seen.add(blob)
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(git(clone, "cat-file", "blob", blob))
        count += 1
    return count


def main():
    folder = pathlib.Path(sys.argv[1])
    total = 0
    for url, commit in REPOSITORIES.items():
        count = fetch(url, commit, folder)
        print(f"{count:5} {url}")
        total += count
    print(f"{total:5} files below {folder}")


if __name__ == "__main__":
    main()
