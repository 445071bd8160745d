"""Writes scaled_bit_linear.inc: PyTorch's values of a linear layer with ParetoQ's stretched elastic
quantization (SEQ, arXiv 2502.02631, equation 5 and its backward) to three levels, and int8 activations.

The paper's scale a belongs to the levels -2/3 a, 0 and +2/3 a, so tern's scale is s = 2 a / 3 and its
gradient 3/2 of the paper's. The paper's factor 1 / sqrt(number of weights) on that gradient is left out."""

import pathlib

import torch
import torch.nn.functional as F

from values import array

torch.manual_seed(3)


class Seq(torch.autograd.Function):
    """Rounds w (rows, columns) with a scale for each row of `a` (rows, 1)."""

    @staticmethod
    def forward(ctx, w, a):
        ratio = w / a
        levels = torch.round(torch.clamp(ratio, -0.99, 0.99) * 1.5) / 1.5
        ctx.save_for_backward(ratio, levels)
        return levels * a

    @staticmethod
    def backward(ctx, grad):
        ratio, levels = ctx.saved_tensors
        inside = ratio.abs() < 1
        da = torch.where(inside, levels - ratio, ratio.sign() * 2 / 3) * grad
        return grad * inside, da.sum(1, keepdim=True)


x = torch.randn(5, 24, dtype=torch.float64, requires_grad=True)
w = (0.1 * torch.randn(7, 24, dtype=torch.float64)).requires_grad_()
a = (1.5 * 1.1 * w.detach().abs().mean(1, keepdim=True)).requires_grad_()
dy = torch.randn(5, 7, dtype=torch.float64)
absmax = x.detach().abs().amax(-1, keepdim=True)
codes = torch.clamp(torch.round(127 / (absmax + 1e-5) * x.detach()), -128, 127)
rounded = x + (absmax / 127 * codes - x).detach()
y = F.linear(rounded, Seq.apply(w, a))
y.backward(dy)
assert 0.05 < (w / a).abs().ge(1).double().mean() < 0.5, "both sides of the clipping must occur"

results = dict(x=x, w=w, scales=2 / 3 * a, dy=dy, y=y, dx=x.grad, dw=w.grad, dscales=1.5 * a.grad)
text = "// Made by scaled_bit_linear.py.\n#pragma once\nnamespace scaled_bit_linear_values {\n"
text += "\n".join(array(name, value) for name, value in results.items())
pathlib.Path(__file__).with_suffix(".inc").write_text(text + "\n}\n")
