"""GGUF files between tern and llama.cpp's own libraries: the same floats of every type, files that its
strict reader takes, and the same tokens of a real model."""
import ctypes
import json
import os
import pathlib
import subprocess
import sys

from peers import check_equal, decoded_by_tern, gguf, np, scratch, smollm2, tern, write

import ggml as oracle
from llama_cpp import TYPES, Ggml, find

directory = find()
ggml = Ggml(directory)

# tern decodes blocks that llama.cpp made, and pseudo-random ones.
values = (np.random.default_rng(2).normal(0, 1, 64 * 1024) * 3).astype(np.float32)
tensors = {}
for name in TYPES:
    if name.upper() not in gguf.GGMLQuantizationType.__members__:
        print(f"The package gguf cannot write {name.upper()}")
        continue
    size = ggml.block(name)[1] * 1024 // ggml.block(name)[0]
    data = np.concatenate([ggml.quantize(name, values),
                           oracle.random_blocks(ggml, name, 64 * 1024, 3)]).reshape(-1, size)
    tensors[name] = (name.upper(), data.view({"f32": np.float32, "f16": np.float16}.get(name, np.uint8)))
theirs = scratch / "theirs.gguf"
write(theirs, tensors)
decoded = decoded_by_tern(theirs)
for name, (kind, data) in tensors.items():
    check_equal("llama.cpp's " + name, decoded[name], ggml.dequantize(name, data.view(np.uint8).reshape(-1)))

# llama.cpp's reader opens a file that tern wrote.
ours = scratch / "ours.gguf"
tern("sample", ours)
decoded = decoded_by_tern(ours)
lib = ggml.lib
lib.gguf_init_from_file.restype = ctypes.c_void_p
lib.gguf_get_n_tensors.restype = ctypes.c_int64
lib.gguf_find_tensor.restype = ctypes.c_int64
lib.gguf_get_tensor_offset.restype = ctypes.c_size_t
lib.gguf_get_data_offset.restype = ctypes.c_size_t


class Params(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


context = lib.gguf_init_from_file(str(ours).encode(), Params(True, None))
if not context:
    sys.exit("llama.cpp does not open tern's file")
context = ctypes.c_void_p(context)
assert lib.gguf_get_n_tensors(context) == 7
content = ours.read_bytes()
for name in ("f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0"):
    index = ctypes.c_int64(lib.gguf_find_tensor(context, name.upper().encode()))
    assert lib.gguf_get_tensor_type(context, index) == TYPES[name]
    begin = lib.gguf_get_data_offset(context) + lib.gguf_get_tensor_offset(context, index)
    size = 3 * 512 // ggml.block(name)[0] * ggml.block(name)[1]
    data = np.frombuffer(content[begin:begin + size], np.uint8)
    check_equal("tern's " + name, decoded[name.upper()], ggml.dequantize(name, data))
    if name.startswith("tq"):  # encoding their floats again gives tern's bytes
        assert np.array_equal(ggml.quantize(name, ggml.dequantize(name, data)), data), name

# The tokens of a real model. A process of its own computes them, because the libraries do not unload well.
model = smollm2()
if model:
    own = pathlib.Path(__file__).read_text()
    cases = own.split("\n\n") + [
        "Hello  world", "  5 apples, 12345 pears", "It's we'll 're DON'T", "a\n\n\n b \t c   ", "   ",
        "ÄÖÜ ñ é 中文字 ١٢٣ ½ Ⅷ x²", "🙂👍🏽 ok", "<|im_start|>user\nHi<|im_end|>\n",
        "\u00a0\u3000x \u180e y", "x" * 300, "don't  7\n7  "]
    vectors = pathlib.Path(os.environ.get("TERN_DATA_DIR", "")) / "tokenizers/qwen3-vectors/vectors.jsonl"
    if vectors.is_file():
        cases += [json.loads(line)["text"] for line in vectors.read_text().splitlines()]
    cases = [text for text in cases if text and "\0" not in text]
    texts = scratch / "texts"
    texts.write_bytes("\0".join(cases).encode())
    done = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("llama_cpp_tokens.py"), directory,
                          model, texts], stdout=subprocess.PIPE, text=True, check=True)
    theirs, ours = done.stdout.splitlines(), tern("tokenize", model, texts).splitlines()
    assert len(theirs) == len(ours) == len(cases)
    for text, a, b in zip(cases, ours, theirs):
        if a.split() != b.split():
            sys.exit(f"{text!r}: tern {a}, llama.cpp {b}")
    print(f"{len(cases)} texts, the same tokens")
