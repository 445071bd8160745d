#!/usr/bin/env python3
"""Runs the program on inputs that other people have: models, tokenizers, corpora and command lines, each in a folder
of its own. What is expected is said below, with the reason.

  files.py BITDISTILL    the inputs are in TERN_CASES_DIR, or in ../shared/cases beside the repository
"""
import pathlib
import shutil
import sys
import tempfile

from answers import cases, difference, finish, run

program = str(pathlib.Path(sys.argv[1]).resolve())
files = cases("files")

GENERATE = ["generate", "--max-tokens", "4", "--model", "m", "--prompt", "the cat"]
PERPLEXITY = ["eval", "--model", "m", "--perplexity", "--corpus"]
TSV = ["--task", "tsv", "--data", "data", "--label-words", "two,one"]

# Folder, arguments, exit code, pattern in what is printed, why.
EXPECTED = [
    *[("added-token-twice-or-empty", ["generate", "--model", m, "--prompt", "a<|x|>b", "--max-tokens", "0"], 0, "",
       "tokenizers loads such files") for m in ("empty", "twice", "same-id")],
    ("chat-without-chatml", ["generate", "--model", "m", "--chat", "--prompt", "hi", "--max-tokens", "0"], 0,
     r"9 \+ 0 tokens", "the model's own template, as transformers renders it"),
    ("end-token-of-generation-config", GENERATE, 0, r"\+ 0 tokens", "generation_config.json ends the text"),
    ("export-loses-special-tokens", ["export", "--model", "m", "--to", "bitnet", "--out", "out"], 0, "", ""),
    ("f16-overflow", ["export", "--model", "m", "--to", "bitnet", "--out", "b"], 2, "embed_tokens.*F16",
     "a weight that F16 cannot hold"),
    ("gguf-export-of-bytelevel-regex", ["export", "--model", "gpt2", "--to", "gguf", "--out", "a.gguf"], 0, "",
     "the split of GPT-2"),
    ("gguf-export-of-bytelevel-regex", ["export", "--model", "smollm", "--to", "gguf", "--out", "b.gguf"], 0, "",
     "the split of SmolLM"),
    ("gguf-without-pre", ["generate", "--model", "m.gguf", "--prompt", "x", "--max-tokens", "1"], 0, "guess",
     "the default is said"),
    *[("json-under-other-names", [*PERPLEXITY, "a." + e], 0, "8 tokens", "JSON lines are read as such")
      for e in ("jsonl", "ndjson", "json", "JSONL")],
    *[("lfs-pointer", ["generate", "--model", m, "--prompt", "x"], 2, "Git LFS pointer", "")
      for m in ("m", "t", "x.gguf")],
    ("messages-without-the-cause", ["generate", "--model", "window", "--prompt", "x", "--max-tokens", "1"], 0, "",
     "null means that there is no window"),
    ("messages-without-the-cause", ["generate", "--model", "theta", "--prompt", "x"], 2,
     "config.json.*rope_theta", "file and key"),
    ("messages-without-the-cause", ["eval", "--model", "m", "--task", "sst2"], 2, "--data", "the missing option"),
    ("messages-without-the-cause", ["generate", "--model", "m", "--prompt", "the cat sat on", "--context", "4"], 2,
     "--context", "the option that is too small"),
    ("messages-without-the-cause", ["generate", "--modle", "m"], 2, "--modle.*--model", "the unknown option"),
    ("ordinary-close-s", GENERATE, 0, "(</s>){4}", "an ordinary entry of the vocabulary ends nothing"),
    ("padded-vocabulary", ["generate", "--model", "m", "--prompt", "the cat", "--max-tokens", "40", "--temperature",
                           "5"], 0, r"\+ 40 tokens", "ids without a token are not drawn"),
    ("prompt-in-brackets", ["generate", "--model", "m", "--max-tokens", "0", "--prompt", "[INST] the cat [/INST]"],
     0, r"17 \+ 0 tokens", "an argument is text"),
    ("rope-theta-beside-rope-parameters", [*PERPLEXITY, "t.txt"], 0, r"321\.0020", "what transformers 5.24 computes"),
    ("stale-index", [*PERPLEXITY, "t.txt"], 0, r"321\.1776", "the single file, as transformers 5.24 takes it"),
    ("test-tsv-is-not-read", ["eval", "--model", "m", *TSV], 0, "7 examples", "test.tsv is there"),
    ("test-tsv-is-not-read", ["eval", "--model", "m", *TSV, "--part", "test"], 0, "7 examples", ""),
    ("tied-head-only", [*PERPLEXITY, "t.txt"], 0, r"321\.1776", "head and embedding are one tensor"),
    ("tokenizer-without-endoftext", ["finetune", "--model", "m", *TSV, "--out", "run", "--set", "finetuning.steps=1"],
     0, "", "the end of text that the tokenizer names"),
]


def content(file):
    return file.read_bytes() if file.is_file() else b""


failures = []
with tempfile.TemporaryDirectory() as scratch:
    copy = pathlib.Path(scratch, "files")
    shutil.copytree(files, copy)
    for folder, arguments, code, pattern, why in EXPECTED:
        failures += difference(f"{folder}: {' '.join(arguments)}", run(copy / folder, [program, *arguments]), code,
                               pattern, why)

    kept = copy / "export-loses-special-tokens"
    for name in ("tokenizer_config.json", "generation_config.json"):
        if content(kept / "out" / name) != content(kept / "m" / name):
            failures.append(f"export-loses-special-tokens: {name} is not that of the source")
    if b"eos_token_id" not in content(kept / "out" / "config.json"):
        failures.append("export-loses-special-tokens: config.json has no eos_token_id")

    for arguments in ([*PERPLEXITY, "t.txt"],
                      ["bench", "--model", "m", "--json", "--threads", "1", "--prompt-tokens", "2", "--new-tokens", "2"]):
        with open("/dev/full", "w") as full:
            done = run(copy / "full-stdout", [program, *arguments], full)
        if done.returncode != 2 or "No space left on device" not in done.stderr:
            failures.append(f"full-stdout: {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")

finish(failures)
