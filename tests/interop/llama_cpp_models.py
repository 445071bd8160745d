"""Whole models between tern and llama.cpp: it loads and runs what tern writes, and both compute the same
logits, token by token through its cache."""
import subprocess
import sys

from peers import check_equal, decoded_by_tern, gguf, logits_by_tern, np, own, scratch, smollm2, tern

from llama_cpp import find

directory = find()


PROMPT = [ord(c) for c in "tell me a story"]


def compare(name, model, tolerance, agreeing, prompt=PROMPT):
    """`tolerance` is a fraction of the largest logit, `agreeing` the share of tokens that both find likeliest."""
    out = scratch / "theirs.npz"
    subprocess.run([sys.executable, own("llama_cpp_logits.py"), directory, model, out, "24",
                    *map(str, prompt)], check=True)
    theirs = np.load(out)
    ours = logits_by_tern(model, theirs["ids"])
    worst = np.abs(ours - theirs["logits"]).max() / np.abs(theirs["logits"]).max()
    same = (ours.argmax(1) == theirs["logits"].argmax(1)).mean()
    print(f"{name}: {len(ours)} tokens, logits within {worst:.1e}, {same:.0%} the same likeliest")
    if not (worst < tolerance and same >= agreeing):
        sys.exit(f"{name}: expected logits within {tolerance:.0e} of the largest")


# llama.cpp stores K and V as F16.
for family in ["llama", "qwen2", "qwen3", "gemma3_text", "bitnet"]:
    file = scratch / f"{family}.gguf"
    tern("model", family, "F32", file, "own")
    compare(f"{family}, F32", file, 4e-3, 1)

# llama.cpp rounds activations to 8 bits in blocks of 256, tern in rows, so no two logits are the same. Where two
# tokens of a random model are about equally likely, both choices are right.
for family in ["llama", "qwen2", "qwen3", "gemma3_text", "bitnet"]:
    for kind in ["Q2_0", "TQ1_0", "TQ2_0"]:
        file = scratch / f"{family}-{kind}.gguf"
        tern("model", family, kind, file, "own")
        compare(f"{family}, {kind}", file, 0.06, 0.8)

# llama.cpp refuses norms before every linear, which bitnet.cpp runs.
other = scratch / "norms.gguf"
tern("model", "qwen3", "F32", other, "all")
refused = subprocess.run([sys.executable, own("llama_cpp_logits.py"), directory, other, scratch / "none.npz", "1", "1"],
                         stderr=subprocess.PIPE, text=True)
assert "llama.cpp cannot load" in refused.stderr, refused.stderr

# The package gguf reads the last file, and finds the tokenizer.
reader = gguf.GGUFReader(file)
decoded = decoded_by_tern(file)
for t in reader.tensors:
    ours = decoded[t.name]
    check_equal(t.name, ours, gguf.quants.dequantize(t.data, t.tensor_type)) if "blk.0" in t.name else None
texts = scratch / "texts"
texts.write_text("the tin man<|endoftext|>\n and then")
done = subprocess.run([sys.executable, own("llama_cpp_tokens.py"), directory, file, texts],
                     stdout=subprocess.PIPE, text=True, check=True)
assert done.stdout.split() == tern("tokenize", file, texts).split(), done.stdout

model = smollm2()
if model:  # Q4_1, activations again in 8 bits
    compare(model.name, model, 0.06, 0.9, [1, 4093, 198, 504, 3575, 282, 4649, 314, 2, 198, 1, 520, 9531, 198])
