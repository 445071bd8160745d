"""Blocks of every type of io/ggml_*.hpp and the floats llama.cpp makes of them, written to ggml.inc.

Each type's bytes begin with llama.cpp's quantization of `numbers` and `halves` (ternary types: of
`0.5 * trits`); the rest is pseudo-random with moderate scales, so that every bit of the format
counts.
"""
import pathlib

import numpy as np

from llama_cpp import TYPES, Ggml, find

# Byte offsets of a block's F16 fields.
SCALES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q4_K": [0, 2],
          "q5_K": [0, 2], "q6_K": [208], "tq1_0": [52], "tq2_0": [64], "q2_0": [0]}


def numbers(count):
    i = np.arange(count)
    return ((7919 * i % 1021 - 510) / 512).astype(np.float32)


def halves():
    """Codes of Q8_0 that lie between two integers: its scale is 1."""
    return np.append(np.arange(31) - 15.5, 127).astype(np.float32)


def trits(count):
    i = np.arange(count)
    return ((7 * i + i // 5 + i // 31) % 3 - 1).astype(np.float32)


def random_blocks(ggml, name, count, seed):
    random = np.random.default_rng(seed)
    elements, size = ggml.block(name)
    blocks = count // elements
    data = random.integers(0, 256, (blocks, size), np.uint8)
    for offset in SCALES.get(name, []):
        scale = random.uniform(-2, 2, blocks).astype(np.float16)
        data[:, offset:offset + 2] = scale.reshape(-1, 1).view(np.uint8)
    if name in ("f32", "f16", "bf16"):  # finite ones
        data = ggml.quantize(name, random.normal(0, 1, count) * 10.0 ** random.integers(-7, 4, count))
    return data.reshape(-1)


def lines(words, width, open_line="", close_line=""):
    per_line = 98 // width
    return [open_line + "".join(words[i:i + per_line]).rstrip() + close_line
            for i in range(0, len(words), per_line)]


def text(ggml):
    out = ["// Made by ggml.py with llama.cpp's code; `values` are the bits of floats."]
    for name in TYPES:
        count = max(ggml.block(name)[0], 32)
        source = 0.5 * trits(count) if name in ("tq1_0", "tq2_0", "q2_0") else numbers(count)
        if count == 32:
            source = np.concatenate([source, halves()])
        data = np.concatenate([ggml.quantize(name, source), random_blocks(ggml, name, count, TYPES[name])])
        values = ggml.dequantize(name, data)
        assert np.isfinite(values).all(), name
        out += [f"namespace {name.lower()} {{", "inline constexpr std::string_view bytes ="]
        out += lines([f"{v:02x}" for v in data], 2, '    "', '"')
        out[-1] += ";"
        out.append("inline constexpr std::uint32_t values[] = {")
        out += lines([f"0x{v:08x}, " for v in values.view(np.uint32)], 12, "    ")
        out.append(f"}};\n}}  // namespace {name.lower()}")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".inc").write_text(text(Ggml(find())))
