"""Tiny random models in the two forms of Microsoft's BitNet-Embedding, and what they compute, by a model that is
written here from the description of these forms: a Qwen3 or a Gemma 3 with an RMSNorm before every linear, weights
that are rounded to -1, 0 and 1 times their mean magnitude, and activations that are rounded to int8 for each token.

    python tests/oracle/embedding.py

writes tests/oracle/embedding_<family>_tiny/: a folder like Hugging Face's (config.json, model.safetensors without the
prefix "model.", tokenizer.json and the files of sentence-transformers), model.gguf, which holds another model with
linears in I2_S and everything else in F16, and the expected values in double precision: embeddings of texts.txt, and
for the folder the logits, the loss and the straight-through gradients.
"""
import json
import math
import pathlib
import shutil
import struct

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
TEXTS = ["a cab", "z", "the quick brown fox", "dog"]
END = "<|endoftext|>"
SPACE, END_ID, VOCABULARY = 26, 27, 28
LINEARS = [("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
           ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
           ("mlp.down_proj", "ffn_down")]


def tokens_of(text):
    return torch.tensor([SPACE if c == " " else ord(c) - ord("a") for c in text] + [END_ID])


def straight_through(x, rounded):
    return x + (rounded - x).detach()


def ternary(w):
    scale = w.abs().mean().clamp(min=1e-5)
    return straight_through(w, scale * torch.clamp(torch.round(w / scale), -1, 1))


def int8(x):
    step = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    return straight_through(x, step * torch.clamp(torch.round(x / step), -128, 127))


class Model:
    def __init__(self, family, seed, hidden, middle, layers, heads, kv_heads, head_dim):
        torch.manual_seed(seed)
        self.gemma = family == "gemma3"
        self.hidden, self.middle, self.layers = hidden, middle, layers
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, head_dim
        self.theta, self.eps = (1e4 if self.gemma else 1e6), 1e-6
        self.rounds = True  # linears are masters, which the forward pass rounds
        q, kv = heads * head_dim, kv_heads * head_dim
        shapes = dict(zip([name for name, _ in LINEARS], [(q, hidden), (kv, hidden), (kv, hidden), (hidden, q),
                                                         (middle, hidden), (middle, hidden), (hidden, middle)]))
        self.parameters = {"embed_tokens.weight": 0.3 * torch.randn(VOCABULARY, hidden)}
        outer = ["input_layernorm", "post_attention_layernorm"]
        outer += ["pre_feedforward_layernorm", "post_feedforward_layernorm"] if self.gemma else []
        for i in range(layers):
            at = f"layers.{i}."
            for name, shape in shapes.items():
                self.parameters[at + name + ".weight"] = 0.3 * torch.randn(shape)
                self.parameters[at + name + ".norm.weight"] = 1 + 0.2 * torch.randn(shape[1])
            for name in outer:
                self.parameters[at + name + ".weight"] = self.gain(hidden)
            for name in ("self_attn.q_norm", "self_attn.k_norm"):
                self.parameters[at + name + ".weight"] = self.gain(head_dim)
        self.parameters["norm.weight"] = self.gain(hidden)

    def gain(self, n):
        return (0 if self.gemma else 1) + 0.2 * torch.randn(n)

    def round_parameters(self, dtype):
        self.parameters = {n: p.to(dtype) for n, p in self.parameters.items()}

    def prepare(self, gradients=False):
        self.values = {n: p.double().requires_grad_(gradients) for n, p in self.parameters.items()}

    def rms_norm(self, x, gain):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * gain

    def norm(self, x, name):
        return self.rms_norm(x, (1 if self.gemma else 0) + self.values[name + ".weight"])

    def linear(self, x, name):
        w = self.values[name + ".weight"]
        x = int8(self.rms_norm(x, self.values[name + ".norm.weight"]))
        return x @ (ternary(w) if self.rounds else w).T

    def rope(self, x):
        half = self.head_dim // 2
        angles = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * self.theta ** (
            -torch.arange(half, dtype=torch.float64) / half)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    def attention(self, x, at):
        def split(name, heads):
            return self.linear(x, at + name).view(-1, heads, self.head_dim).transpose(0, 1)
        q = self.rope(self.norm(split("q_proj", self.heads), at + "q_norm"))
        k = self.rope(self.norm(split("k_proj", self.kv_heads), at + "k_norm"))
        k, v = [t.repeat_interleave(self.heads // self.kv_heads, 0) for t in (k, split("v_proj", self.kv_heads))]
        scores = q @ k.transpose(1, 2) / math.sqrt(self.head_dim)
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        return self.linear((scores.softmax(-1) @ v).transpose(0, 1).reshape(x.shape[0], -1), at + "o_proj")

    def feed_forward(self, x, at):
        def act(y):
            return torch.nn.functional.gelu(y, approximate="tanh") if self.gemma else torch.nn.functional.silu(y)
        return self.linear(act(self.linear(x, at + "gate_proj")) * self.linear(x, at + "up_proj"), at + "down_proj")

    def hidden_states(self, tokens):
        x = self.values["embed_tokens.weight"][tokens] * (math.sqrt(self.hidden) if self.gemma else 1)
        for i in range(self.layers):
            at = f"layers.{i}."
            y = self.attention(self.norm(x, at + "input_layernorm"), at + "self_attn.")
            x = x + (self.norm(y, at + "post_attention_layernorm") if self.gemma else y)
            before = "pre_feedforward_layernorm" if self.gemma else "post_attention_layernorm"
            y = self.feed_forward(self.norm(x, at + before), at + "mlp.")
            x = x + (self.norm(y, at + "post_feedforward_layernorm") if self.gemma else y)
        return self.norm(x, "norm")


def expected(model):
    """Embeddings of the texts, which are the hidden states of the last token with an L2 norm of one, and tokens."""
    sequences = [tokens_of(text) for text in TEXTS]
    with torch.no_grad():
        last = torch.stack([model.hidden_states(s)[-1] for s in sequences])
    return {"tokens": torch.cat(sequences).int(), "lengths": torch.tensor([len(s) for s in sequences]).int(),
            "embeddings": last / last.norm(dim=-1, keepdim=True)}


def training(model):
    """Logits, the mean next-token cross-entropy and its gradients under the names of tern's parameters."""
    model.prepare(gradients=True)
    sequences = [tokens_of(text) for text in TEXTS]
    logits = torch.cat([model.hidden_states(s) @ model.values["embed_tokens.weight"].T for s in sequences])
    targets = torch.cat([torch.cat([s[1:], torch.tensor([-100])]) for s in sequences])
    loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100)
    loss.backward()
    gradients = {f"ternary.grad.model.{n.replace('_proj.norm.', '_proj.rms_norm.')}": p.grad
                 for n, p in model.values.items()}
    return {"ternary.logits": logits.detach(), "ternary.loss": loss.detach().reshape(1)} | gradients


def write_json(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_folder(folder, model):
    config = dict(
        architectures=["Gemma3TextModel" if model.gemma else "Qwen3Model"],
        model_type="gemma3_text" if model.gemma else "qwen3", vocab_size=VOCABULARY, hidden_size=model.hidden,
        intermediate_size=model.middle, num_hidden_layers=model.layers, num_attention_heads=model.heads,
        num_key_value_heads=model.kv_heads, head_dim=model.head_dim, max_position_embeddings=64,
        rms_norm_eps=model.eps, rope_theta=model.theta, attention_bias=False, tie_word_embeddings=True,
        torch_dtype="bfloat16", eos_token_id=END_ID)
    if model.gemma:
        config |= dict(hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=model.head_dim,
                       layer_types=["full_attention"] * model.layers)
    else:
        config |= dict(hidden_act="silu")
    write_json(folder / "config.json", config)
    save_file({n: p.contiguous() for n, p in model.parameters.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    kind = "sentence_transformers.models."
    write_json(folder / "modules.json", [
        dict(idx=0, name="0", path="", type=kind + "Transformer"),
        dict(idx=1, name="1", path="1_Pooling", type=kind + "Pooling"),
        dict(idx=2, name="2", path="2_Normalize", type=kind + "Normalize")])
    write_json(folder / "1_Pooling" / "config.json", dict(
        word_embedding_dimension=model.hidden, pooling_mode_cls_token=False, pooling_mode_mean_tokens=False,
        pooling_mode_max_tokens=False, pooling_mode_mean_sqrt_len_tokens=False,
        pooling_mode_weightedmean_tokens=False, pooling_mode_lasttoken=True, include_prompt=True))
    end = dict(id=END_ID, content=END, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    write_json(folder / "tokenizer.json", dict(
        version="1.0", truncation=None, padding=None, added_tokens=[end], normalizer=dict(type="NFC"),
        pre_tokenizer=dict(type="Sequence", pretokenizers=[
            dict(type="Split", pattern=dict(Regex=QWEN2), behavior="Isolated", invert=False),
            dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False)]),
        post_processor=dict(type="TemplateProcessing", special_tokens={END: dict(id=END, ids=[END_ID], tokens=[END])},
                            single=[dict(Sequence=dict(id="A", type_id=0)), dict(SpecialToken=dict(id=END, type_id=0))],
                            pair=[dict(Sequence=dict(id="A", type_id=0)), dict(Sequence=dict(id="B", type_id=0))]),
        decoder=dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False),
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix="", end_of_word_suffix="",
                   fuse_unk=False, byte_fallback=False, ignore_merges=False,
                   vocab={PIECES[i]: i for i in range(END_ID)}, merges=[])))
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")


QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
         r"\s+(?!\S)|\s+")
PIECES = [chr(ord("a") + i) for i in range(26)] + ["Ġ", END]


class Gguf:
    """A writer of GGUF files that knows I2_S, which the package gguf does not."""
    U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
    F16_TENSOR, I2_S_TENSOR = 1, 36

    def __init__(self):
        self.keys, self.entries, self.data = [], [], b""

    def text(self, text):
        return struct.pack("<Q", len(text.encode())) + text.encode()

    def key(self, name, kind, value):
        form = {self.U32: "<I", self.I32: "<i", self.F32: "<f", self.BOOL: "<?"}.get(kind)
        body = self.text(value) if kind == self.STRING else struct.pack(form, value)
        self.keys.append(self.text(name) + struct.pack("<I", kind) + body)

    def list(self, name, kind, values):
        body = b"".join(self.text(v) if kind == self.STRING else struct.pack("<i", v) for v in values)
        self.keys.append(self.text(name) + struct.pack("<IIQ", self.ARRAY, kind, len(values)) + body)

    def tensor(self, name, shape, kind, data):
        self.entries.append(self.text(name) + struct.pack("<I", len(shape)) +
                            b"".join(struct.pack("<Q", n) for n in reversed(shape)) +
                            struct.pack("<IQ", kind, len(self.data)))
        self.data += data + bytes(-len(data) % 32)

    def write(self, path):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.entries), len(self.keys))
        head += b"".join(self.keys) + b"".join(self.entries)
        path.write_bytes(head + bytes(-len(head) % 32) + self.data)


def i2_s(codes, scale):
    """Blocks of 128 codes: byte p holds c[p], c[32 + p], c[64 + p] and c[96 + p], the first in its highest bits."""
    c = (codes.to(torch.int64) + 1).reshape(-1, 4, 32)
    packed = (c[:, 0] << 6 | c[:, 1] << 4 | c[:, 2] << 2 | c[:, 3]).to(torch.uint8)
    return bytes(packed.flatten().tolist()) + struct.pack("<f", scale) + bytes(28)


def write_gguf(path, model):
    """Writes the model as bitnet.cpp's converter does, and gives it the values that a reader gets."""
    arch = "gemma3" if model.gemma else "qwen3"
    names = {"embed_tokens": "token_embd", "norm": "output_norm"}
    for i in range(model.layers):
        a, b = f"layers.{i}.", f"blk.{i}."
        for ours, theirs in LINEARS:
            names |= {a + ours: b + theirs, a + ours + ".norm": b + theirs + "_norm_in"}
        names |= {a + "input_layernorm": b + "attn_norm", a + "self_attn.q_norm": b + "attn_q_norm",
                  a + "self_attn.k_norm": b + "attn_k_norm",
                  a + "post_attention_layernorm": b + ("post_attention_norm" if model.gemma else "ffn_norm"),
                  a + "pre_feedforward_layernorm": b + "ffn_norm",
                  a + "post_feedforward_layernorm": b + "post_ffw_norm"}
    file = Gguf()
    file.key("general.architecture", file.STRING, arch)
    for key, n in (("block_count", model.layers), ("context_length", 64), ("embedding_length", model.hidden),
                   ("feed_forward_length", model.middle), ("attention.head_count", model.heads),
                   ("attention.head_count_kv", model.kv_heads), ("vocab_size", VOCABULARY),
                   ("rope.dimension_count", model.head_dim), ("attention.key_length", model.head_dim),
                   ("attention.value_length", model.head_dim), ("pooling_type", 3)):
        file.key(f"{arch}.{key}", file.U32, n)
    file.key(f"{arch}.rope.freq_base", file.F32, model.theta)
    file.key(f"{arch}.attention.layer_norm_rms_epsilon", file.F32, model.eps)
    file.key("general.file_type", file.U32, 40)
    file.key("tokenizer.ggml.model", file.STRING, "gpt2")
    file.key("tokenizer.ggml.pre", file.STRING, "qwen2")
    file.list("tokenizer.ggml.tokens", file.STRING, PIECES)
    file.list("tokenizer.ggml.token_type", file.I32, [1] * END_ID + [3])
    file.list("tokenizer.ggml.merges", file.STRING, [])
    file.key("tokenizer.ggml.eos_token_id", file.U32, END_ID)
    file.key("tokenizer.ggml.add_eos_token", file.BOOL, True)
    for name, p in model.parameters.items():
        stem = name.removesuffix(".weight")
        gguf_name = names[stem] + ".weight"
        if p.dim() == 2 and name != "embed_tokens.weight":
            scale = p.double().abs().mean().float()
            codes = torch.clamp(torch.round(p / scale), -1, 1)
            file.tensor(gguf_name, p.shape, file.I2_S_TENSOR, i2_s(codes, scale.item()))
            model.parameters[name] = codes * scale
            continue
        added = 1 if model.gemma and p.dim() == 1 and not stem.endswith("_proj.norm") else 0
        half = (p + added).half()
        file.tensor(gguf_name, p.shape, file.F16_TENSOR, half.numpy().tobytes())
        model.parameters[name] = half.double() - added
    file.write(path)
    model.rounds = False


for family, seed in (("qwen3", 31), ("gemma3", 32)):
    folder = HERE / f"embedding_{family}_tiny"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tiny = Model(family, seed, hidden=16, middle=24, layers=2, heads=4, kv_heads=2, head_dim=8)
    tiny.round_parameters(torch.bfloat16)
    write_folder(folder, tiny)
    tiny.prepare()
    values = expected(tiny) | training(tiny)
    save_file({n: t.contiguous() for n, t in values.items()}, folder / "expected.safetensors")
    wide = Model(family, seed + 2, hidden=128, middle=128, layers=2, heads=2, kv_heads=1, head_dim=128)
    write_gguf(folder / "model.gguf", wide)
    wide.prepare()
    save_file(expected(wide), folder / "expected_gguf.safetensors")
