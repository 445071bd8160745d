"""Expected values of the ops in include/tern/nn, written to nn.inc beside this file.

RMSNorm and RoPE are Hugging Face's Qwen3 modules in float32; the activations, their gradients and
BitLinear (fake quantization with a straight-through gradient) are PyTorch in float64.
"""
import pathlib

import torch
import torch.nn.functional as F
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import (
    Qwen3RMSNorm,
    Qwen3RotaryEmbedding,
    apply_rotary_pos_emb,
)

torch.manual_seed(11)
out = ["// Made by nn.py.\n#pragma once\n"]


def array(name, t):
    form = {torch.int64: "d", torch.float32: ".9g", torch.float64: ".17g"}[t.dtype]
    kind = "std::int32_t" if form == "d" else "double"
    values = ", ".join(format(v, form) for v in t.detach().flatten().tolist())
    out.append(f"inline constexpr {kind} {name}[] = {{{values}}};\n")


def rms_norm():
    x = torch.randn(3, 10, requires_grad=True)
    norm = Qwen3RMSNorm(10, eps=1e-6)
    norm.weight.data = 1 + 0.3 * torch.randn(10)
    dy = torch.randn(3, 10)
    y = norm(x)
    y.backward(dy)
    inputs = dict(x=x, gain=norm.weight, dy=dy)
    for name, t in dict(**inputs, y=y, dx=x.grad, dgain=norm.weight.grad).items():
        array(name, t)


def rope():
    config = Qwen3Config(head_dim=8, num_attention_heads=2, rope_theta=1e6, hidden_size=16)
    positions = torch.tensor([[0, 1, 7, 300]])
    q = torch.randn(1, 2, 4, 8)
    cos, sin = Qwen3RotaryEmbedding(config)(q, positions)
    turned, _ = apply_rotary_pos_emb(q, q, cos, sin)
    array("positions", positions)
    array("x", q.transpose(1, 2))
    array("y", turned.transpose(1, 2))


def activations():
    gate = torch.linspace(-6, 6, 24, dtype=torch.float64).reshape(2, 12).requires_grad_()
    up = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    dy = torch.randn(2, 12, dtype=torch.float64)
    for name, t in dict(gate=gate, up=up, dy=dy).items():
        array(name, t)
    functions = dict(
        silu=F.silu,
        gelu_tanh=lambda g: F.gelu(g, approximate="tanh"),
        gelu=F.gelu,
        relu2=lambda g: F.relu(g).square(),
    )
    for name, f in functions.items():
        gate.grad = up.grad = None
        y = f(gate) * up
        y.backward(dy)
        array(f"{name}_y", y)
        array(f"{name}_dgate", gate.grad)
        array(f"{name}_dup", up.grad)


def bit_linear():
    eps = 1e-5
    x = torch.randn(4, 20, dtype=torch.float64, requires_grad=True)
    w = (0.1 * torch.randn(6, 20, dtype=torch.float64)).requires_grad_()
    gain = (1 + 0.3 * torch.randn(20, dtype=torch.float64)).requires_grad_()
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    dy = torch.randn(4, 6, dtype=torch.float64)
    for name, t in dict(x=x, w=w, gain=gain, bias=bias, dy=dy).items():
        array(name, t)

    def ste(v, q):
        return v + (q - v).detach()

    sub_ln = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * gain
    for name, normed in dict(plain=x, sub_ln=sub_ln).items():
        x.grad = w.grad = gain.grad = bias.grad = None
        d = w.abs().mean()
        g = normed.abs().amax(-1, keepdim=True)
        qw = d * torch.clamp(torch.round(w / (d + eps)), -1, 1)
        qx = g / 127 * torch.clamp(torch.round(127 / (g + eps) * normed), -128, 127)
        y = F.linear(ste(normed, qx), ste(w, qw), bias)
        y.backward(dy)
        array(f"{name}_y", y)
        array(f"{name}_dx", x.grad)
        array(f"{name}_dw", w.grad)
        array(f"{name}_dbias", bias.grad)
        if gain.grad is not None:
            array(f"{name}_dgain", gain.grad)


for part in (rms_norm, rope, activations, bit_linear):
    out.append(f"namespace {part.__name__}_values {{\n")
    part()
    out.append("}\n")
pathlib.Path(__file__).with_suffix(".inc").write_text("".join(out))
