#!/usr/bin/env python3
"""Expected values of tests/checkpoint/rope_keys.cpp: the bases and the factor of RoPE that
transformers takes from a config.json in which several keys speak of them. Writes rope_keys.inc
beside itself."""
import json
from pathlib import Path

from transformers import AutoConfig

SIZES = dict(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=6,
             num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=128)
LINEAR = {"rope_type": "linear", "factor": 2.0}
DEFAULT = {"rope_type": "default"}


def default(theta):
    return {"rope_type": "default", "rope_theta": theta}


CASES = [
    ("qwen3", {}),
    ("qwen3", {"rope_theta": 500.0}),
    ("qwen3", {"rope_theta": 500.0, "rope_parameters": DEFAULT}),
    ("qwen3", {"rope_theta": 500.0, "rope_parameters": default(900.0)}),
    ("qwen3", {"rope_parameters": default(900.0), "rope_scaling": LINEAR}),
    ("qwen3", {"rope_theta": 500.0, "rope_parameters": default(900.0), "rope_scaling": LINEAR}),
    ("qwen3", {"rope_parameters": default(900.0), "rope_scaling": None}),
    ("qwen3", {"rope_parameters": default(900.0), "rope_scaling": {}}),
    ("qwen3", {"rope_theta": 500.0, "rope_parameters": {}}),
    ("qwen3", {"rope_theta": 500.0, "rope_scaling": LINEAR | {"rope_theta": 700.0}}),
    ("qwen2", {"rope_theta": 500.0, "rope_parameters": DEFAULT}),
    ("llama", {"rope_theta": 500.0, "rope_parameters": LINEAR}),
    ("bitnet", {"rope_parameters": DEFAULT}),
    ("gemma3_text", {}),
    ("gemma3_text", {"rope_theta": 500.0, "rope_local_base_freq": 50.0}),
    ("gemma3_text", {"rope_theta": 500.0, "rope_local_base_freq": 50.0, "rope_scaling": LINEAR}),
    ("gemma3_text", {"rope_theta": 500.0, "rope_local_base_freq": 50.0, "rope_parameters":
                     {"full_attention": DEFAULT, "sliding_attention": DEFAULT}}),
    ("gemma3_text", {"rope_theta": 500.0, "rope_parameters": {"full_attention": default(900.0)}}),
    ("gemma3_text", {"rope_theta": 500.0, "rope_local_base_freq": 50.0, "rope_parameters":
                     {"sliding_attention": default(90.0)}}),
]


def row(model_type, keys):
    config = AutoConfig.for_model(model_type, **SIZES, **json.loads(json.dumps(keys)))
    rope = config.rope_parameters
    full, local = rope.get("full_attention", rope), rope.get("sliding_attention")
    values = [full["rope_theta"], local["rope_theta"] if local else 0, full.get("factor", 1)]
    text = json.dumps({"model_type": model_type} | keys)
    return f'    {{R"({text})",\n     ' + ", ".join(map(str, values)) + "},"


rows = "\n".join(row(*case) for case in CASES)
Path(__file__).with_name("rope_keys.inc").write_text(f"""// Made by rope_keys.py with transformers. Do not edit.
#pragma once
struct rope_case {{
  const char* keys;  // of config.json, beside the sizes
  double base, local, factor;
}};
inline constexpr rope_case rope_cases[]{{
{rows}
}};
""")
