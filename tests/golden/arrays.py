"""Golden values of arrays in `.npy` files, from NumPy: the file and what it holds as float64.

Usage: python arrays.py > arrays.json
"""

import base64
import io
import json

import numpy as np

VALUES = np.array([[0, 1, 2], [100, 5, 120], [7, 0, 33], [64, 9, 1]])


def case(name, array):
    file = io.BytesIO()
    np.save(file, array)
    encoded = base64.b64encode(file.getvalue()).decode()
    return {"name": name, "file": encoded, "values": [[repr(float(value)) for value in row] for row in array.astype("f8")]}


def main():
    cases = [case(kind, VALUES.astype(kind)) for kind in ("<i1 <i2 <i4 <i8 <u1 <u2 <u4 <u8 >i2 >i4 >i8 >u2 >u4 >u8 ?").split()]
    for kind in "<f2 <f4 <f8 >f2 >f4 >f8".split():
        cases.append(case(kind, (VALUES / 7 - 3).astype(kind)))
    cases.append(case("subnormal f2", np.array([[6e-8, -6e-8], [65504, 6.1e-5]], "<f2")))
    cases.append(case("negative i2", np.array([[-1, -32768], [32767, 0]], "<i2")))
    cases.append(case("large u8", np.array([[2**63, 2**53 + 1], [2**64 - 1, 1]], "<u8")))
    for kind in "<f4 >f8 <i8 <f2".split():
        cases.append(case(f"Fortran {kind}", np.asfortranarray(VALUES.astype(kind))))
    print(json.dumps(cases, indent=0))


main()
