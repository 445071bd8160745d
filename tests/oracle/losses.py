#!/usr/bin/env python3
"""Expected values of tests/nn/cross_entropy.cpp and tests/distill/: the three losses written with
PyTorch as the papers state them, with autograd gradients. Writes losses.inc beside itself."""
import math
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F

from values import array, wave


def number(name, value):
    return f"inline constexpr double {name} = {value.item():.15g};"


def space(name, *lines):
    return f"namespace {name} {{\n" + "\n".join(lines) + "\n}\n"


def cross_entropy():
    logits = wave(5, 11, 1, 4.0).requires_grad_()
    loss = F.cross_entropy(logits, torch.tensor([3, -100, 0, 10, 3]), ignore_index=-100)
    loss.backward()
    return space("cross_entropy_case", number("loss", loss), array("gradient", logits.grad))


def logits(name, tau, squared, reverse=False):
    student, teacher = wave(5, 11, 1, 4.0).requires_grad_(), wave(5, 11, 2, 4.0)
    of, to = (teacher, student) if reverse else (student, teacher)
    loss = F.kl_div(F.log_softmax(of / tau, -1), F.softmax(to / tau, -1),
                    reduction="batchmean") * (tau ** 2 if squared else 1)
    loss.backward()
    return space(name, number("loss", loss), array("gradient", student.grad))


OFFSETS, LENGTHS, HEADS, LAYERS = [0, 3, 4, 11], [2, 1, 5], 2, 3


def relation_rows(x, form, mask, length, temperature):
    """(split_heads, T, T) relations of one sequence, and which entries exist."""
    t, width = x.shape
    a = x.reshape(t, HEADS, width // HEADS).transpose(0, 1)
    if form == "cosine":
        a, factor = F.normalize(a, dim=-1), 1 / temperature
    else:
        factor = 1 / (math.sqrt(a.shape[-1]) * temperature)
    seen = torch.ones(t, t, dtype=torch.bool)
    if mask != "all":
        seen[:, length:] = False
    if mask == "causal":
        seen &= torch.ones(t, t, dtype=torch.bool).tril()
    scores = (a @ a.transpose(1, 2) * factor).masked_fill(~seen, -math.inf)
    return torch.softmax(scores, -1)


def relation(form, mask, normaliser, amplitude=1.0, temperature=0.7, clamp=1e-8):
    student = wave(OFFSETS[-1], 8, 3, amplitude).requires_grad_()
    teacher = wave(OFFSETS[-1], 12, 4, amplitude)
    total, rows = 0, 0
    for first, last, length in zip(OFFSETS, OFFSETS[1:], LENGTHS):
        count = last - first if mask == "all" else length
        s, t = (relation_rows(x[first:last], form, mask, length, temperature)[:, :count].clamp(clamp)
                for x in (student, teacher))
        total = total + F.kl_div(s.log(), t, reduction="sum")
        rows += count
    loss = total / (HEADS * rows)
    if normaliser == "official":
        loss = loss / (LAYERS * HEADS)
    loss.backward()
    return loss, student.grad


def relations():
    for form, mask, normaliser in product(["cosine", "scaled_dot"], ["all", "nonpad", "causal"],
                                          ["paper", "official"]):
        loss, gradient = relation(form, mask, normaliser)
        lines = [number("loss", loss)]
        if normaliser == "paper":
            lines.append(array("gradient", gradient))
        yield space(f"{form}_{mask}_{normaliser}", *lines)
    loss, gradient = relation("scaled_dot", "all", "paper", amplitude=6.0)
    yield space("clamped", number("loss", loss), array("gradient", gradient))


text = "// Made by losses.py with PyTorch. Do not edit.\n#pragma once\n"
text += cross_entropy() + logits("logits_paper", 5.0, False) + logits("logits_code", 2.0, True)
text += logits("logits_reverse", 2.0, False, reverse=True)
text += "".join(relations())
Path(__file__).with_name("losses.inc").write_text(text)
