"""Writes two files with the Python package gguf: tiny.gguf, which tests/io/gguf.cpp reads, and the
seed tokenizer.gguf of the fuzzing program."""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quants


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add(writer, name, values):
    kind = GGMLQuantizationType[name]
    writer.add_tensor(name.lower(), quants.quantize(values, kind), raw_dtype=kind)


here = pathlib.Path(__file__).parent
x = np.array([[0, -1.5, 3.25], [65504, 2**-14, -(2**-24)]], np.float32)
writer = GGUFWriter(here / "tiny.gguf", "tiny")
writer.add_custom_alignment(64)
writer.add_block_count(3)
writer.add_rope_freq_base(1e6)
writer.add_bool("tiny.flag", True)
writer.add_array("tiny.words", ["a", "Ġb"])
writer.add_array("tiny.numbers", [-1, 0, 7])
writer.add_tensor("f32", x)
writer.add_tensor("f16", x.astype(np.float16))
add(writer, "BF16", x)
add(writer, "Q4_0", np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64))
writer.add_tensor("iq4_nl", np.zeros((1, 18), np.uint8), raw_dtype=GGMLQuantizationType.IQ4_NL)
finish(writer)

writer = GGUFWriter(here.parent / "fuzz" / "seeds" / "tokenizer.gguf", "tiny")
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
writer.add_token_list(["a", "b", "Ġ", "Ġa", "<e>", "ab", "<u>", "[PAD]"])
writer.add_token_types([1, 1, 1, 1, 3, 1, 4, 5])
writer.add_token_merges(["Ġ a", "a b"])
for name in ("TQ1_0", "TQ2_0", "Q8_0"):
    add(writer, name, np.resize(np.float32([0.5, 0, -0.5]), (1, 256)))
finish(writer)
