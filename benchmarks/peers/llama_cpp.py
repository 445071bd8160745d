"""A whole model in llama.cpp, through its own library: tokens/s of a prompt of 512 and of 128 tokens
after it began anew, each by one and two threads. Random weights in the shape of a Qwen3.

  llama_cpp.py make SHAPE TYPE FILE    writes the model: qwen3-0.6b, 1.7b, 4b; f16, q8_0, q4_0, tq1_0, tq2_0, q2_0
  llama_cpp.py measure FILE THREADS    prints prefill and decode tokens/s

The linears are of TYPE; of a ternary type with an embedding, which is the head, of Q6_K, as
llama-quantize makes them. Finds the libraries as tests/oracle/llama_cpp.py does.
"""
import ctypes
import pathlib
import sys
import time

import numpy as np

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(TESTS / "oracle"), str(TESTS / "interop")]
from llama_cpp import TYPES, Ggml, find  # noqa: E402
from llama_cpp_library import load  # noqa: E402

VOCABULARY, KV_HEADS, HEAD = 151936, 8, 128
# Columns of a hidden state and of a feed-forward one, layers, heads.
SHAPES = {"qwen3-0.6b": (1024, 3072, 28, 16), "qwen3-1.7b": (2048, 6144, 28, 16),
          "qwen3-4b": (2560, 9728, 36, 32)}
TERNARY = ("tq1_0", "tq2_0", "q2_0")
PROMPT, GENERATED = 512, 128


def make(directory, shape, kind, path):
    import gguf

    hidden, feed_forward, layers, heads = SHAPES[shape]
    ggml, random = Ggml(directory), np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(40960)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(feed_forward)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")

    def norm(name, size):
        writer.add_tensor(name + ".weight", np.ones(size, np.float32))

    def matrix(name, rows, cols, type_name):
        # Rows repeat: what they are does not change the time.
        few = random.normal(0, 0.02, (128, cols)).astype(np.float32)
        if type_name in TERNARY:
            few = np.sign(few) * (np.abs(few) > 0.01) * np.float32(0.02)
        data = ggml.quantize(type_name, few).reshape(128, -1)
        data = np.concatenate([data] * (rows // 128))
        if type_name == "f16":
            data = data.view(np.float16)
        number = TYPES[type_name]
        gguf.GGML_QUANT_SIZES.setdefault(number, ggml.block(type_name))  # the package may not know the type
        writer.add_tensor(name + ".weight", data, raw_dtype=number)

    matrix("token_embd", VOCABULARY, hidden, "q6_K" if kind in TERNARY else kind)
    norm("output_norm", hidden)
    for i in range(layers):
        at = f"blk.{i}."
        norm(at + "attn_norm", hidden)
        norm(at + "attn_q_norm", HEAD)
        norm(at + "attn_k_norm", HEAD)
        norm(at + "ffn_norm", hidden)
        for name, rows, cols in (("attn_q", heads * HEAD, hidden), ("attn_k", KV_HEADS * HEAD, hidden),
                                 ("attn_v", KV_HEADS * HEAD, hidden), ("attn_output", hidden, heads * HEAD),
                                 ("ffn_gate", feed_forward, hidden), ("ffn_up", feed_forward, hidden),
                                 ("ffn_down", hidden, feed_forward)):
            matrix(at + name, rows, cols, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure(directory, path, threads):
    llama, model = load(directory, path)
    params = llama.llama_context_default_params()
    ctypes.c_uint32.from_buffer(params).value = 1024  # n_ctx
    context = llama.llama_init_from_model(model, params)
    assert llama.llama_n_ctx(context) == 1024
    llama.llama_set_n_threads(context, threads, threads)

    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    tokens = (ctypes.c_int32 * PROMPT)(*(i * 97 % vocabulary for i in range(PROMPT)))

    def decode(first, n):
        at = ctypes.cast(ctypes.byref(tokens, 4 * first), ctypes.c_void_p)
        if llama.llama_decode(context, llama.llama_batch_get_one(at, n)) != 0:
            sys.exit("llama_decode failed")

    def seconds(work):
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    seconds(lambda: decode(0, 32))
    prefill = seconds(lambda: decode(0, PROMPT))
    one_by_one = seconds(lambda: [decode(i, 1) for i in range(GENERATED)])
    print(f"{PROMPT / prefill:.1f} {GENERATED / one_by_one:.1f}")


def main():
    directory = find()
    match sys.argv[1:]:
        case ["make", shape, kind, path] if shape in SHAPES:
            make(directory, shape, kind, path)
        case ["measure", path, threads]:
            measure(directory, path, int(threads))
        case _:
            sys.exit(__doc__)


main()
