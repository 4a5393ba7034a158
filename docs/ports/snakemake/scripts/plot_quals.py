"""Draws the qualities of the calls of a VCF file as bars: `plot_quals.py VCF SVG`."""

import sys

with open(sys.argv[1]) as calls:
    qualities = [float(line.split("\t")[5]) for line in calls if not line.startswith("#")]
highest = max(qualities, default=1.0)
bars = [
    f'<rect x="{12 * number}" y="{100 - round(100 * quality / highest)}" width="10" height="{round(100 * quality / highest)}"/>'
    for number, quality in enumerate(qualities)
]
with open(sys.argv[2], "w") as plot:
    plot.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{12 * len(bars)}" height="100">\n')
    plot.write("".join(bar + "\n" for bar in bars) + "</svg>\n")
