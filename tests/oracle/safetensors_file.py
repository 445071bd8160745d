"""Writes tiny.safetensors, a file that tests/io/safetensors.cpp reads, with the Python package.

Given the path of another file, prints what the package reads from it."""
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

if len(sys.argv) > 1:
    with safe_open(sys.argv[1], framework="pt") as f:
        print(f.metadata())
        for name in f.keys():
            print(name, f.get_tensor(name))
else:
    x = torch.tensor([[0, -1.5, 3.25], [65504, 2**-14, -(2**-24)]], dtype=torch.float64)
    tensors = {
        "f64": x,
        "f32": x.float(),
        "f16": x.half(),
        "bf16": x.bfloat16(),
        "i8": torch.tensor([-128, 0, 127], dtype=torch.int8),
        "u8": torch.tensor([0, 7, 255], dtype=torch.uint8),
        "i64": torch.tensor(-5),
    }
    path = pathlib.Path(__file__).parent / "tiny.safetensors"
    save_file(tensors, path, metadata={"made_by": "safetensors.torch"})
