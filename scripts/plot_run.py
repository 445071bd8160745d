#!/usr/bin/env python3
"""Draws a run directory as an SVG: the first metric of each row of its table, and the loss of stages with enough log
entries.

    scripts/plot_run.py runs/demo docs/pictures/run.svg
"""
import html
import json
import math
import pathlib
import sys

WIDTH, HEIGHT, TOP, BOTTOM = 860, 300, 58, 252
COLORS = ["#4878a8", "#c8643c", "#3f8f5f", "#8a6bb0", "#b09030", "#707070"]
LEAST_POINTS = 10  # a stage with fewer log entries has no curve
NO_METRICS = {"method", "marks", "megabytes", "tokens_per_second"}  # keys of a row that are no metric


def text(x, y, words, anchor="start", weight="normal", color="#333"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{color}">{html.escape(words)}</text>')


def line(x1, y1, x2, y2, color="#ddd"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def write_svg(path, parts):
    pathlib.Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def bars(rows, left, right):
    """A bar for each row, from 0 to 100 %, with the size of its weights file below."""
    metric = next(key for key in rows[0] if key not in NO_METRICS)
    title = "Accuracy on the task, %" if metric == "accuracy" else f"{metric} on the task, %"
    out = [text(left, 24, title, weight="bold")]
    step = (right - left) / len(rows)
    for i, row in enumerate(rows):
        height = (BOTTOM - TOP) * row[metric] / 100
        middle = left + step * (i + 0.5)
        out += [
            f'<rect x="{middle - step * 0.32:.1f}" y="{BOTTOM - height:.1f}" width="{step * 0.64:.1f}" '
            f'height="{height:.1f}" fill="{COLORS[i % len(COLORS)]}"/>',
            text(middle, BOTTOM - height - 6, f'{row[metric]:.2f}', "middle", "bold"),
            text(middle, BOTTOM + 18, row["method"], "middle"),
            text(middle, BOTTOM + 34, f'{row["megabytes"]:.3f} MB', "middle", color="#777"),
        ]
    return out + [line(left, BOTTOM, right, BOTTOM, "#888")]


def curves(stages, left, right):
    """The losses of all stages, one after another along the steps, on a logarithmic scale."""
    stages = {name: log for name, log in stages.items() if len(log) >= LEAST_POINTS}
    losses = [loss for log in stages.values() for _, _, loss in log if loss > 0]
    if not losses:
        return []
    low, high = math.log(min(losses)) - 0.05, math.log(max(losses)) + 0.05
    total = sum(log[-1][1] for log in stages.values())

    def at(step):
        return left + (right - left) * step / total

    def height(loss):
        return BOTTOM - (BOTTOM - TOP) * (math.log(loss) - low) / (high - low)

    out = [text(left, 24, "Cross-entropy, nats a token (steps)", weight="bold")]
    for tick in (m * 10.0**e for e in range(-3, 3) for m in (1, 1.5, 2, 3, 5)):
        if low <= math.log(tick) <= high:
            out += [line(left, height(tick), right, height(tick)),
                    text(left - 6, height(tick) + 4, f"{tick:g}", "end", color="#777")]
    before = 0
    for i, (name, log) in enumerate(stages.items()):
        color = COLORS[i % len(COLORS)]
        points = " ".join(f"{at(before + step):.1f},{height(max(loss, 1e-9)):.1f}" for step, _, loss in log)
        out += [f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6"/>',
                text(min(at(before + log[-1][1] / 2), right - 40), BOTTOM + 18 + 16 * (i % 2),
                     f"{name} ({log[-1][1]})", "middle", color=color)]
        before += log[-1][1]
        out.append(line(at(before), TOP, at(before), BOTTOM))
    return out + [line(left, BOTTOM, right, BOTTOM, "#888")]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    run = pathlib.Path(sys.argv[1])
    rows = json.loads((run / "table.json").read_text())
    stages = {}
    for entry in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        if "cross_entropy" in entry:
            stages.setdefault(entry["stage"], []).append((entry["step"], entry["steps"], entry["cross_entropy"]))
    parts = bars(rows, 20, 340) + curves(stages, 420, WIDTH - 20)
    write_svg(sys.argv[2], parts)


if __name__ == "__main__":
    main()
