#!/usr/bin/env python3
"""Expected values of tests/nn/attention.cpp: PyTorch's scaled_dot_product_attention and its
autograd gradients, sequence by sequence. Writes attention.inc beside itself."""
from pathlib import Path

import torch
import torch.nn.functional as F

from values import array, wave

OFFSETS = [0, 3, 4, 11]
CASES = [("grouped", 4, 2, 6, None), ("one_kv_head", 3, 1, 5, 0.3), ("equal_heads", 2, 2, 4, None)]


def case_of(name, q_heads, kv_heads, d, scale):
    n = OFFSETS[-1]
    q = wave(n, q_heads * d, 1).requires_grad_()
    k = wave(n, kv_heads * d, 2).requires_grad_()
    v = wave(n, kv_heads * d, 3).requires_grad_()
    dy = wave(n, q_heads * d, 4)

    def heads(x, first, last, count):
        return x[first:last].reshape(1, last - first, count, d).transpose(1, 2)

    parts = []
    for first, last in zip(OFFSETS, OFFSETS[1:]):
        y = F.scaled_dot_product_attention(
            heads(q, first, last, q_heads), heads(k, first, last, kv_heads),
            heads(v, first, last, kv_heads), is_causal=True, scale=scale, enable_gqa=True)
        parts.append(y.transpose(1, 2).reshape(last - first, q_heads * d))
    y = torch.cat(parts)
    (y * dy).sum().backward()
    body = [f"constexpr std::size_t q_heads = {q_heads}, kv_heads = {kv_heads}, head_dim = {d};",
            f"constexpr double scale = {scale or 0};"]
    body += [array(key, value) for key, value in
             [("y", y), ("dq", q.grad), ("dk", k.grad), ("dv", v.grad)]]
    return f"namespace {name} {{\n" + "\n".join(body) + "\n}\n"


text = "// Made by attention.py with PyTorch. Do not edit.\n" + "".join(case_of(*case) for case in CASES)
Path(__file__).with_name("attention.inc").write_text(text)
