#!/usr/bin/env python3
"""Writes a model with random weights in the shape of another: time and memory do not depend on what weights say.

    scripts/random_model.py FOLDER OUT      FOLDER has config.json and tokenizer.json; needs torch and transformers
"""
import pathlib
import shutil
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

if len(sys.argv) != 3:
    sys.exit(__doc__)
shape, out = map(pathlib.Path, sys.argv[1:])
torch.manual_seed(1)
model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(shape), dtype=torch.bfloat16)
model.save_pretrained(out)
shutil.copy(shape / "tokenizer.json", out)
