#!/usr/bin/env python3
"""Draws what `bitdistill quantize` did to each layer as an SVG: the relative squared error of the outputs of its
projections with weights rounded to nearest and with calibrated ones, both on the stream of the quantized model.

    scripts/plot_calibration.py ternary/calibration.json docs/pictures/calibration.svg
"""
import json
import math
import pathlib
import sys

from plot_run import BOTTOM, COLORS, TOP, WIDTH, line, text, write_svg

LEFT = 54
NAMES = ["q", "k", "v", "o", "gate", "up", "down"]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    report = json.loads(pathlib.Path(sys.argv[1]).read_text())
    layers = report["layers"]
    curves = [("rounded to nearest", COLORS[5], [sum(r["nearest"]) / len(NAMES) for r in layers]),
              ("calibrated", COLORS[0], [sum(r["calibrated"]) / len(NAMES) for r in layers])]
    values = [v for _, _, curve in curves for v in curve if v > 0]
    low, high = math.log(min(values)) - 0.1, math.log(max(values)) + 0.1
    step = (WIDTH - 20 - LEFT) / len(layers)

    def height(value):
        return BOTTOM - (BOTTOM - TOP) * (math.log(max(value, 1e-9)) - low) / (high - low)

    parts = [text(20, 24, "Relative squared error of the outputs, mean of the projections of a layer", weight="bold")]
    for tick in (m * 10.0**e for e in range(-4, 4) for m in (1, 2, 5)):
        if low <= math.log(tick) <= high:
            parts += [line(LEFT, height(tick), WIDTH - 20, height(tick)),
                      text(LEFT - 6, height(tick) + 4, f"{tick:g}", "end", color="#777")]
    for i in range(0, len(layers), 1 + len(layers) // 30):
        parts.append(text(LEFT + step * (i + 0.5), BOTTOM + 18, str(layers[i]["layer"]), "middle", color="#777"))
    parts.append(text((LEFT + WIDTH) / 2, BOTTOM + 36, "layer", "middle", color="#777"))
    for i, (name, color, curve) in enumerate(curves):
        points = [(LEFT + step * (k + 0.5), height(value)) for k, value in enumerate(curve)]
        parts.append(f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" '
                     f'stroke="{color}" stroke-width="1.6"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{color}"/>' for x, y in points]
        parts.append(text(WIDTH - 20 - 130 * (len(curves) - 1 - i), 44, name, "end", color=color))
    parts.append(line(LEFT, BOTTOM, WIDTH - 20, BOTTOM, "#888"))
    write_svg(sys.argv[2], parts)


if __name__ == "__main__":
    main()
