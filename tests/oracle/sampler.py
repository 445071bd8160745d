"""Probabilities of the next token after the logits processors of Hugging Face transformers,
written to sampler.inc beside this file: rows of `cases` there follow CASES here."""
import pathlib

import torch
from transformers import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                          TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

from values import array, wave

VOCABULARY, HISTORY = 23, [3, 7, 3, 11]
CASES = [  # temperature, top_k, top_p, min_p, repetition_penalty
    (1.0, 0, 1.0, 0.0, 1.0),
    (0.7, 0, 1.0, 0.0, 1.0),
    (1.0, 5, 1.0, 0.0, 1.0),
    (1.5, 0, 0.6, 0.0, 1.0),
    (1.0, 0, 1.0, 0.1, 1.0),
    (1.0, 0, 1.0, 0.0, 1.8),
    (0.8, 12, 0.7, 0.05, 1.3),
]

logits = wave(1, VOCABULARY, 0.4, 3.0).float()
rows = []
for temperature, k, p, min_p, penalty in CASES:
    steps = LogitsProcessorList()
    if penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty))
    steps.append(TemperatureLogitsWarper(temperature))
    if k:
        steps.append(TopKLogitsWarper(k))
    if p < 1:
        steps.append(TopPLogitsWarper(p))
    if min_p:
        steps.append(MinPLogitsWarper(min_p))
    rows.append(torch.softmax(steps(torch.tensor([HISTORY]), logits.clone())[0].double(), -1))

text = ["// Made by sampler.py.",
        f"inline constexpr std::int32_t history[] = {{{', '.join(map(str, HISTORY))}}};",
        "inline const tern::sampling_options cases[] = {"]
text += [f"  {{{t}, {k}, {p}, {m}, {r}, 1}}," for t, k, p, m, r in CASES]
text += ["};", array("logits", logits), array("probabilities", torch.stack(rows))]
pathlib.Path(__file__).with_suffix(".inc").write_text("\n".join(text) + "\n")
