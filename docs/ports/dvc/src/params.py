"""Values of one section of the project's `params.yaml`, which is read where it lies."""

import os


def section(name):
    values, inside = {}, False
    with open(os.path.join(os.environ["ATHANOR_PROJECT"], "params.yaml")) as lines:
        for line in lines:
            key, _, value = line.split("#")[0].rstrip().partition(":")
            if key and not key.startswith(" "):
                inside = key == name
            elif key and inside:
                values[key.strip()] = float(value) if "." in value else int(value)
    return values
