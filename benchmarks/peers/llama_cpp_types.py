#!/usr/bin/env python3
"""A model that was fine-tuned on SST-2 in the quantized types of llama.cpp, made and run by llama.cpp's own library.

  llama_cpp_types.py F16.gguf --calibration FILE... --data FOLDER-OF-SST-2 [--types q8_0 q4_0 q2_k iq2_xxs iq1_m]
                     [--work DIR] [--threads 2] [--limit N] [--rounds 3]

Prints a row of a Markdown table for F16.gguf and for each type: megabytes (10^6 bytes) of the file, bits per weight,
accuracy, tokens/s, and how the matrices are stored. `iq2_xxs -> iq4_nl: 30 attn_q` says that llama.cpp fell back to
IQ4_NL for 30 matrices, because their rows are no multiple of the 256 weights that share an IQ2_XXS block.

- The importance matrix has the mean square of each column of each linear's input, as llama-imatrix computes it. The
  text is the first 8192 tokens of each calibration file (plain or gzip) in windows of 512, and 400 examples of
  train.tsv with their answers.
- Accuracy is measured on dev.tsv, or on its first N sentences, with prompt, label words and class of tern's task
  sst2. DIR/TYPE.jsonl gets the same lines as `bitdistill eval --predictions` writes.
- Tokens/s are those of `llama_cpp.py measure`, best of the rounds; 0 rounds leave them out. The machine must be idle.

DIR keeps the importance matrix, the quantized files and llama.cpp's logs. A later run takes what it finds there, so
another model or text needs another DIR. The libraries are found as tests/oracle/llama_cpp.py does; the layout of
their structures is that of v0.5.0 (npm @node-llama-cpp/linux-x64 3.22.1).
"""
import argparse
import collections
import concurrent.futures
import csv
import ctypes
import gzip
import json
import multiprocessing
import pathlib
import re
import subprocess
import sys

import gguf
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(TESTS / "oracle"), str(TESTS / "interop")]
from llama_cpp import find  # noqa: E402
from llama_cpp_library import POINTER, Batch, load  # noqa: E402

# As in include/tern/recipe/task_data.hpp and include/tern/data/named_task.hpp.
SEPARATOR, PROMPT, LABEL_WORDS = "<|endoftext|>", "{sentence} it was", ("terrible", "great")
CALIBRATION_TOKENS, CALIBRATION_EXAMPLES, WINDOW = 8192, 400, 512


class Tensor(ctypes.Structure):
    """The beginning of ggml_tensor."""
    _fields_ = [("type", ctypes.c_int32), ("buffer", POINTER), ("ne", ctypes.c_int64 * 4),
                ("nb", ctypes.c_size_t * 4), ("op", ctypes.c_int32), ("op_params", ctypes.c_int32 * 16),
                ("flags", ctypes.c_int32), ("src", POINTER * 10), ("view_src", POINTER),
                ("view_offs", ctypes.c_size_t), ("data", POINTER), ("name", ctypes.c_char * 64)]


class ImatrixEntry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", POINTER), ("size", ctypes.c_size_t)]


class QuantizeParams(ctypes.Structure):
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int32), ("tensor_types", ctypes.c_int32 * 2),
                ("flags", ctypes.c_bool * 6), ("imatrix", ctypes.POINTER(ImatrixEntry)), ("overrides", POINTER * 3)]


OnTensor = ctypes.CFUNCTYPE(ctypes.c_bool, POINTER, ctypes.c_bool, POINTER)
OnLog = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, POINTER)


class Model:
    """A GGUF file in llama.cpp, which calls `on_tensor` before and after it computes a tensor."""

    def __init__(self, directory, path, threads, on_tensor=OnTensor()):
        self.llama, model = load(directory, path)
        self.on_tensor = on_tensor  # lives as long as the context
        params = self.llama.llama_context_default_params()
        n_ctx, cb_eval = ctypes.c_uint32.from_buffer(params, 0), POINTER.from_buffer(params, 88)
        cache_types = (ctypes.c_int32 * 2).from_buffer(params, 104)
        if (n_ctx.value, cb_eval.value, *cache_types) != (512, None, 1, 1):
            sys.exit("expected the defaults of llama_context_params where llama.cpp v0.5.0 has them")
        n_ctx.value, cb_eval.value = WINDOW, ctypes.cast(on_tensor, POINTER).value
        self.context = self.llama.llama_init_from_model(model, params)
        if not self.context:
            sys.exit(f"llama.cpp makes no context for {path}")
        self.llama.llama_set_n_threads(self.context, threads, threads)
        self.vocabulary = self.llama.llama_model_get_vocab(model)
        self.separator, = self.tokenize(SEPARATOR, special=True)

    def tokenize(self, text, special=False):
        data = text.encode()
        ids = (ctypes.c_int32 * (len(data) + 8))()
        return ids[:self.llama.llama_tokenize(self.vocabulary, data, len(data), ids, len(ids), False, special)]

    def prompt(self, sentence, answer=""):
        return [self.separator] + self.tokenize(PROMPT.format(sentence=sentence) + answer)

    def decode(self, ids, every_token=False):
        """Computes a sequence anew and returns the logits behind its last token. With `every_token` llama.cpp
        computes those behind all tokens, and its last layer skips none."""
        tokens, wanted = np.array(ids, np.int32), np.full(len(ids), every_token, np.int8)
        wanted[-1] = 1
        batch = Batch(n_tokens=len(ids), token=tokens.ctypes.data, logits=wanted.ctypes.data)
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)
        if self.llama.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")
        return self.llama.llama_get_logits_ith(self.context, -1)


def examples(file):
    """Returns the sentences and labels of a TSV file."""
    with open(file, encoding="utf-8", newline="") as text:
        return [(row["sentence"].strip(), int(row["label"]))
                for row in csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)]


def write_imatrix(directory, args, out):
    sums, tokens = {}, collections.Counter()

    def on_tensor(pointer, asks, _):
        """llama.cpp asks before it computes a tensor, and calls again with the values if they are wanted."""
        if model.llama.ggml_op_desc(POINTER(pointer)) != b"MUL_MAT":
            return False
        weight, x = (Tensor.from_address(source) for source in Tensor.from_address(pointer).src[:2])
        name = weight.name.decode()
        if asks:
            return re.fullmatch(r"blk\..*\.weight", name) is not None
        values = np.ctypeslib.as_array(ctypes.cast(x.data, ctypes.POINTER(ctypes.c_float)), (x.ne[1], x.ne[0]))
        sums[name] = sums.get(name, 0) + np.square(values, dtype=np.float64).sum(0)
        tokens[name] += len(values)
        return True

    model = Model(directory, args.model, args.threads, OnTensor(on_tensor))
    model.llama.ggml_op_desc.restype = ctypes.c_char_p
    sequences = []
    for file in args.calibration:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8", errors="replace") as text:
            ids = model.tokenize(text.read(8 * CALIBRATION_TOKENS))[:CALIBRATION_TOKENS]
        sequences += [ids[i:i + WINDOW] for i in range(0, len(ids), WINDOW)]
    train = examples(args.data / "train.tsv")
    for sentence, label in train[::max(1, len(train) // CALIBRATION_EXAMPLES)][:CALIBRATION_EXAMPLES]:
        sequences.append(model.prompt(sentence, " " + LABEL_WORDS[label])[:WINDOW])
    for ids in sequences:
        model.decode(ids, every_token=True)
    if set(tokens.values()) != {sum(map(len, sequences))}:
        sys.exit("expected every linear of the layers to see every calibration token once")
    with open(out, "wb") as file:
        np.savez(file, **{name: (total / tokens[name]).astype(np.float32) for name, total in sums.items()})


def quantize(directory, args, kind, log, out):
    llama, _ = load(directory, args.model)
    matrix = dict(np.load(args.work / "imatrix.npz"))
    entries = (ImatrixEntry * (len(matrix) + 1))()  # the last one has no name
    for entry, (name, values) in zip(entries, matrix.items()):
        entry.name, entry.data, entry.size = name.encode(), values.ctypes.data, values.size
    llama.llama_model_quantize_default_params.restype = QuantizeParams
    params = llama.llama_model_quantize_default_params()
    params.nthread, params.ftype, params.imatrix = args.threads, gguf.LlamaFileType["MOSTLY_" + kind.upper()], entries
    with open(log, "wb") as file:
        on_log = OnLog(lambda level, text, data: file.write(text))
        llama.llama_log_set(on_log, None)
        failed = llama.llama_model_quantize(bytes(args.model), bytes(out), ctypes.byref(params))
        llama.llama_log_set(load.silent, None)
    if failed:
        sys.exit(f"llama.cpp cannot quantize to {kind}: see {log}")


def accuracy(directory, args, path, predictions):
    """Returns the percentage of right classes, and writes the prediction for each sentence."""
    model = Model(directory, path, args.threads)
    words = [model.tokenize(" " + word) for word in LABEL_WORDS]
    if max(map(len, words)) > 1:
        sys.exit(f"{path}: expected each of the label words to be one token")
    dev, right = examples(args.data / "dev.tsv")[:args.limit], 0
    with open(predictions, "w", encoding="utf-8") as file:
        for sentence, label in dev:
            logits = model.decode(model.prompt(sentence))
            guess = int(np.argmax([logits[token] for token, in words]))
            right += guess == label
            line = {"prediction": LABEL_WORDS[guess], "references": [LABEL_WORDS[label]]}
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return 100 * right / len(dev)


def speed(args, path):
    """Returns tokens/s of a prompt and of new tokens, as text."""
    command = [sys.executable, pathlib.Path(__file__).with_name("llama_cpp.py"), "measure", path, str(args.threads)]
    rounds = [subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
              for _ in range(args.rounds)]
    return [f"{max(map(float, rates)):.0f}" for rates in zip(*rounds)] or ["", ""]


def storage(path, log):
    """Returns bits per weight of the file and of the layers, and which matrices have which type, as text."""
    tensors = gguf.GGUFReader(path).tensors
    layers = [t for t in tensors if t.name.startswith("blk.")]
    bits = [f"{8 * sum(int(t.n_bytes) for t in part) / sum(int(t.n_elements) for t in part):.2f}"
            for part in (tensors, layers)]
    fell_back = r"(\S+) +- ncols.*required for type +(\w+)\) -> falling back"
    chosen = dict(re.findall(fell_back, log.read_text(encoding="utf-8"))) if log else {}
    groups = collections.defaultdict(collections.Counter)
    for t in tensors:
        if len(t.shape) > 1:
            kind, before = t.tensor_type.name.lower(), chosen.get(t.name)
            name = re.sub(r"^blk\.\d+\.|\.weight$", "", t.name)
            groups[f"{before.lower()} -> {kind}" if before else kind][name] += 1
    return *bits, "; ".join(f"{kind}: " + ", ".join(f"{n} {name}" for name, n in names.items())
                            for kind, names in groups.items())


def apart(function, *arguments):
    """Calls the function in a process of its own, because parts of the library do not unload well."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def once(path, make, *arguments):
    """Makes a file that is not there yet, under another name first: a file of this name is whole."""
    if not path.exists():
        part = path.with_name(path.name + ".part")
        apart(make, *arguments, part)
        part.replace(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, metavar="F16.gguf")
    parser.add_argument("--calibration", type=pathlib.Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of train.tsv and dev.tsv")
    parser.add_argument("--types", nargs="+", default=["q8_0", "q4_0", "q2_k", "iq2_xxs", "iq1_m"])
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("llama-cpp-types"), metavar="DIR")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, metavar="N", help="number of sentences of dev.tsv, default all")
    parser.add_argument("--rounds", type=int, default=3, help="how often speed is measured")
    args = parser.parse_args()
    directory = find()
    for kind in args.types:
        if "MOSTLY_" + kind.upper() not in gguf.LlamaFileType.__members__:
            sys.exit(f"llama.cpp has no type {kind}")
    args.work.mkdir(parents=True, exist_ok=True)
    print("| Type | MB | bits/weight: file | layers | accuracy | tokens/s: prompt | new | stored as |")
    print("|---|---|---|---|---|---|---|---|", flush=True)

    def row(name, path, log=None):
        file_bits, layer_bits, stored = storage(path, log)
        right = apart(accuracy, directory, args, path, args.work / f"{name}.jsonl")
        print(f"| {name} | {path.stat().st_size / 1e6:.1f} | {file_bits} | {layer_bits} | {right:.2f} | "
              f"{' | '.join(speed(args, path))} | {stored} |", flush=True)

    row("f16", args.model)
    once(args.work / "imatrix.npz", write_imatrix, directory, args)
    for kind in args.types:
        log = args.work / f"{kind}.log"
        row(kind, once(args.work / f"{kind}.gguf", quantize, directory, args, kind, log), log)


if __name__ == "__main__":
    main()
