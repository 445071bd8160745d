"""Operands that C++ makes too (tests/oracle/wave.hpp), and C++ arrays of results."""
import torch


def wave(rows, cols, seed, amplitude=1.0):
    """amplitude * sin(0.37 (i^2 mod 211) + seed), i the row-major index."""
    i = torch.arange(rows * cols) ** 2 % 211
    return (amplitude * torch.sin(0.37 * i.double() + seed)).reshape(rows, cols)


def array(name, tensor):
    """`inline constexpr double name[] = {...};`, wrapped."""
    words = [f"{v:.15g}" for v in tensor.detach().flatten().tolist()]
    lines = [", ".join(words[i:i + 5]) for i in range(0, len(words), 5)]
    return f"inline constexpr double {name}[] = {{\n  " + ",\n  ".join(lines) + "};"
