"""Writes tiny.gguf, a file that tests/io/gguf.cpp reads, with the Python package gguf."""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants

path = pathlib.Path(__file__).parent / "tiny.gguf"
x = np.array([[0, -1.5, 3.25], [65504, 2**-14, -(2**-24)]], np.float32)
writer = GGUFWriter(path, "tiny")
writer.add_custom_alignment(64)
writer.add_block_count(3)
writer.add_rope_freq_base(1e6)
writer.add_bool("tiny.flag", True)
writer.add_array("tiny.words", ["a", "Ġb"])
writer.add_array("tiny.numbers", [-1, 0, 7])
writer.add_tensor("f32", x)
writer.add_tensor("f16", x.astype(np.float16))
for name in ("BF16", "Q4_0"):
    kind = GGMLQuantizationType[name]
    values = x if name == "BF16" else np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64)
    writer.add_tensor(name.lower(), quants.quantize(values, kind), raw_dtype=kind)
writer.add_tensor("iq4_nl", np.zeros((1, 18), np.uint8), raw_dtype=GGMLQuantizationType.IQ4_NL)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
