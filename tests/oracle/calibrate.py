#!/usr/bin/env python3
"""Expected values of tests/calibrate/: moments, target correction, GPTQ and AWQ in double, written with PyTorch from the
papers' equations, with the inverse of the hessian formed explicitly. Writes calibrate.inc beside itself."""
from pathlib import Path

import torch

from values import array, wave

M, K, N = 4, 20, 50
X = wave(N, K, 1)
F = X + wave(N, K, 2, 0.2)
W = wave(M, K, 3, 0.3)
WEIGHTS = (torch.arange(N) % 4).double() / 2  # every fourth token is left out


def moments(unit_rms):
    rms = X.square().mean(1, keepdim=True).sqrt() if unit_rms else torch.ones(N, 1)
    x, f = X / rms, F / rms
    left = WEIGHTS[:, None] * x
    return left.T @ x, (WEIGHTS[:, None] * (f - x)).T @ x, (WEIGHTS[:, None] * x.abs()).sum(0) / WEIGHTS.sum()


def target_correction(w, h, d, ridge):
    return w + w @ d @ torch.linalg.inv(h + ridge * h.diagonal().mean() * torch.eye(K))


def code(w, s):
    return torch.clamp(torch.round(w / s), -1, 1)


def least_squares(w):
    """The scale of all weights of w."""
    s = 1.5 * w.abs().mean()
    while True:
        q = code(w, s)
        following = (w * q).sum() / (q * q).sum()
        if following == s:
            return s
        s = following


def blocks(w, height, width):
    return torch.stack([torch.stack([least_squares(part) for part in rows.split(width or K, 1)])
                        for rows in w.split(height or M, 0)])


def gptq(w, h, damping, height, width, by_activation):
    """Codes, scales and compensated weights."""
    order = torch.argsort(h.diagonal(), descending=True, stable=True) if by_activation else torch.arange(K)
    hd = h + damping * h.diagonal().mean() * torch.eye(K)
    u = torch.linalg.cholesky(torch.linalg.inv(hd[order][:, order])).T
    scales, width = blocks(w, height, width), width or K
    current, codes = w.clone(), torch.zeros(M, K)
    for i, column in enumerate(order):
        if not by_activation and width < K and i % width == 0:
            scales[:, i // width] = blocks(current[:, i:i + width], 1, 0)[:, 0]
        s = scales[:, column // width].expand(M)
        codes[:, column] = code(current[:, column], s)
        error = (current[:, column] - s * codes[:, column]) / u[i, i]
        current[:, order[i + 1:]] -= error[:, None] * u[i, i + 1:]
    return codes, scales, current


def awq(w, h, a, grid):
    best = None
    for i in range(grid):
        powers = (a / a.max()) ** (i / grid)
        s = powers / (powers.max() * powers.min()).sqrt()
        scales = blocks(w * s, 1, 0)
        difference = w - code(w * s, scales) * scales / s
        error = torch.trace(difference @ h @ difference.T) / torch.trace(w @ h @ w.T)
        if best is None or error < best[0]:
            best = error, i / grid, s
    return best


def number(name, value):
    return f"inline constexpr double {name} = {float(value):.15g};"


def space(name, *lines):
    return f"namespace {name} {{\n" + "\n".join(lines) + "\n}\n"


torch.set_default_dtype(torch.float64)
text = "// Made by calibrate.py.\n#pragma once\n#include <cstddef>\n#include <span>\n\nnamespace calibrate_values {\n"
for name, unit_rms in (("plain", False), ("unit_rms", True)):
    h, d, mean_abs = moments(unit_rms)
    text += space(name, array("hessian", h), array("drift", d), array("mean_abs", mean_abs),
                  array("corrected", target_correction(W, h, d, 0.1)))

h, _, mean_abs = moments(False)
cases = []
for name, *settings in (("per_tensor", 0, 0, False), ("per_row", 1, 0, False), ("groups", 1, 8, False),
                        ("small_groups", 1, 3, False), ("groups_by_activation", 1, 8, True)):
    codes, scales, latents = gptq(W, h, 0.02, *settings)
    text += space(name, array("codes", codes + 0.0), array("scales", scales), array("latents", latents))
    height, width, by_activation = settings
    cases.append(f'    {{"{name}", {height}, {width}, {str(by_activation).lower()}, {name}::codes, {name}::scales, '
                 f"{name}::latents}},\n")
text += """struct gptq_case {
  const char* name;
  std::size_t block_rows, block_cols;  // 0: all
  bool by_activation;
  std::span<const double> codes, scales, latents;
};
inline const gptq_case gptq_cases[] = {
""" + "".join(cases) + "};\n"

activity = torch.exp(1.5 * torch.sin(torch.arange(K).double()))  # some channels are much more active than others
error, alpha, factors = awq(W / activity.sqrt(), h * activity[:, None] * activity, mean_abs * activity, 20)
text += space("channels", number("alpha", alpha), number("error", error), array("activity", activity), array("factors", factors))
Path(__file__).with_suffix(".inc").write_text(text + "}  // namespace calibrate_values\n")
