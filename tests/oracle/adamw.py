"""Expected values of AdamW with clipping: torch.optim.AdamW over ten steps in float64. Writes adamw.inc beside
itself."""
import pathlib

import torch

torch.manual_seed(3)
w = torch.nn.Parameter(torch.tensor([[0.5, -1.25, 2.0], [0.0, 0.75, -0.1]], dtype=torch.float64))
target = torch.tensor([[1.0, 1.0, -1.0], [0.5, -0.5, 0.25]], dtype=torch.float64)
optimizer = torch.optim.AdamW([w], lr=0.05, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
for step in range(10):
    optimizer.zero_grad()
    ((w - target) ** 2).sum().backward()
    torch.nn.utils.clip_grad_norm_([w], 1.0)
    optimizer.step()
pathlib.Path(__file__).with_suffix(".inc").write_text(
    "// Made by tests/oracle/adamw.py: the weights after ten steps.\n"
    + ", ".join(repr(x) for x in w.detach().flatten().tolist()) + "\n")
