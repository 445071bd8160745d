"""Expected values of the quantizers in float32, written to quant.inc beside this file.

All policies are evaluated by PyTorch from their definitions; means and variances are taken in double and rounded once,
as the library does.
"""
import pathlib

import torch

torch.manual_seed(7)
EPS = 1e-5


def absmean(w):
    d = w.abs().double().mean().float()
    return torch.clamp(torch.round(w / (d + EPS)), -1, 1), d.reshape(1)


def absmean_blocks(w, n):
    """absmean of n columns of a row at a time; scales (rows, ceil(cols / n))."""
    parts = [[absmean(part) for part in row.split(n)] for row in w]
    codes = torch.stack([torch.cat([c for c, _ in row]) for row in parts])
    return codes, torch.stack([torch.cat([d for _, d in row]) for row in parts])


def twn(w):
    """Ternary Weight Networks, arXiv 1605.04711."""
    chosen = w.abs() > (0.75 * w.abs().double().mean().float().double()).float()
    scale = w.abs()[chosen].double().mean().float() if chosen.any() else torch.zeros(())
    return w.sign() * chosen, scale.reshape(1)


def fake(w, a):
    """Codes and scales of round(a w) / a, in which form the official BitDistill code quantizes."""
    return torch.clamp(torch.round(w * a), -1, 1), (1 / a).flatten()


def inverse_mean(w):
    return w.abs().double().mean().float().clamp(min=1e-5)


def paper_gptq(w):
    """weight_quant_gptq of the official BitDistill code."""
    spread = (1 / (w.double().var(dim=0) + 1e-8).sqrt()).mean().float()
    return fake(w, spread / inverse_mean(w))


def paper_awq(w):
    """weight_quant_awq of the official BitDistill code."""
    importance = w.abs().double().mean(dim=1, keepdim=True)
    important = importance > importance.quantile(0.8)
    base = 1 / inverse_mean(w)
    return fake(w, torch.where(important, base * 0.7, base * 1.2))


def absmax(x):
    g = x.abs().amax(dim=1, keepdim=True)
    return torch.clamp(torch.round(127 / (g + EPS) * x), -128, 127), (g / 127).flatten()


def c_array(kind, name, values):
    text = ", ".join(v.hex() + "f" if kind == "float" else str(int(v)) for v in values)
    return f"inline constexpr {kind} {name}[] = {{{text}}};\n"


ties = torch.tensor([[0.5, -0.5, 1.5, -1.5], [0.25, -0.25, 2.0, -2.0]])
cases = {
    "normal": torch.randn(5, 37) * 0.02,
    "wide": torch.randn(3, 70) * torch.logspace(-6, 3, 3)[:, None],
    "ties": ties,
    "int_ties": torch.tensor([[126.5, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 127.0]]) * 1024,
    "zeros": torch.zeros(2, 9),
    "tiny": torch.randn(2, 11) * 1e-7,
    "large": torch.randn(2, 11) * 1e30,
    "blocks": torch.randn(2, 300) * torch.linspace(0.01, 2, 300),
}
variants = {"row": 10**6, "block64": 64, "block128": 128, "block256": 256}
policies = {"twn": twn, "paper_gptq": paper_gptq, "paper_awq": paper_awq}
# Where 1 / a is infinite, or the variance is that of a single row, the official code gives NaN.
undefined = {("large", "paper_gptq"), ("int_ties", "paper_gptq")}
out = ["// Made by quant.py; eps = 1e-5.\n#pragma once\n#include <cstddef>\n#include <cstdint>\n#include <span>\n\n"]
for name, w in cases.items():
    wc, ws = absmean(w)
    xc, xs = absmax(w)
    out.append(f"namespace {name} {{\ninline constexpr std::size_t rows = {w.shape[0]}, cols = {w.shape[1]};\n")
    out.append(c_array("float", "values", w.flatten().tolist()))
    out.append(c_array("std::int8_t", "weight_codes", wc.flatten().tolist()))
    out.append(c_array("float", "weight_scale", ws.tolist()))
    for variant, n in variants.items():
        vc, vs = absmean_blocks(w, n)
        out.append(c_array("std::int8_t", f"{variant}_codes", vc.flatten().tolist()))
        out.append(c_array("float", f"{variant}_scales", vs.flatten().tolist()))
    for policy, quantize in policies.items():
        if (name, policy) not in undefined:
            pc, ps = quantize(w)
            out.append(c_array("std::int8_t", f"{policy}_codes", pc.flatten().tolist()))
            out.append(c_array("float", f"{policy}_scales", ps.tolist()))
    out.append(c_array("std::int8_t", "token_codes", xc.flatten().tolist()))
    out.append(c_array("float", "token_scales", xs.tolist()))
    out.append(c_array("std::int32_t", "token_sums", xc.sum(dim=1).tolist()))
    out.append(f"}}  // namespace {name}\n")
out.append("""
struct expected_quantization {
  std::span<const std::int8_t> codes;
  std::span<const float> scales;
};
struct quant_case {
  const char* name;
  std::size_t rows, cols;
  std::span<const float> values;
  expected_quantization absmean, per_channel, block64, block128, block256, twn, paper_gptq, paper_awq,
      absmax_int8;
  std::span<const std::int32_t> token_sums;
};
inline const quant_case quant_cases[] = {
""")
quantizers = {"weight_codes": "weight_scale", **{f"{v}_codes": f"{v}_scales" for v in [*variants, *policies]}, "token_codes": "token_scales"}
for name in cases:
    pairs = ", ".join("{}" if (name, codes.removesuffix("_codes")) in undefined else f"{{{name}::{codes}, {name}::{scales}}}"
                      for codes, scales in quantizers.items())
    out.append(f'    {{"{name}", {name}::rows, {name}::cols, {name}::values, {pairs}, {name}::token_sums}},\n')
out.append("};\n")
pathlib.Path(__file__).with_suffix(".inc").write_text("".join(out))
