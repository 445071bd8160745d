"""A model of a few thousand random weights with a tokenizer and a chat template, and the program serving it. Only
the standard library is needed."""
import json
import pathlib
import random
import re
import struct
import subprocess
import sys

CORPUS = """The first line is about the sea, and the ship that crosses it.

The second line is about héllo wörld, naïve café and 日本語 text.

A third one counts: one two three four five six seven eight nine ten.
""" * 20
CHAT = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "


def write(program, folder, positions=512):
    """Makes the model in `folder`, which must not exist. It reads up to `positions` tokens."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "corpus.txt").write_text(CORPUS)
    subprocess.run([program, "tokenizer", "--corpus", folder / "corpus.txt", "--vocab-size", "320", "--out",
                    folder / "tokenizer.json"], check=True, stdout=subprocess.DEVNULL)
    vocabulary = 1 + max(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"].values())
    hidden, middle, heads, layers = 64, 96, 4, 2
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": vocabulary + 1,
              "hidden_size": hidden, "intermediate_size": middle, "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": 2, "head_dim": hidden // heads,
              "max_position_embeddings": positions, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
              "hidden_act": "silu", "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHAT, "eos_token": "<|endoftext|>"}))
    draw = random.Random(7)
    tensors = {"model.embed_tokens.weight": (vocabulary + 1, hidden), "model.norm.weight": (hidden,)}
    for i in range(layers):
        p = f"model.layers.{i}."
        tensors |= {p + "input_layernorm.weight": (hidden,), p + "post_attention_layernorm.weight": (hidden,),
                    p + "self_attn.q_proj.weight": (hidden, hidden), p + "self_attn.k_proj.weight": (hidden // 2, hidden),
                    p + "self_attn.v_proj.weight": (hidden // 2, hidden), p + "self_attn.o_proj.weight": (hidden, hidden),
                    p + "mlp.gate_proj.weight": (middle, hidden), p + "mlp.up_proj.weight": (middle, hidden),
                    p + "mlp.down_proj.weight": (hidden, middle)}
    header, data = {}, bytearray()
    for name, shape in tensors.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [1.0] * count if len(shape) == 1 else [draw.gauss(0, 0.25) for _ in range(count)]
        begin = len(data)
        data += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


class Server:
    """The program, which serves until the end of a `with` block."""

    def __init__(self, program, model, *options):
        self.process = subprocess.Popen([program, "serve", "--model", model, "--port", "0", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
        if not found:
            error = self.process.stderr.read()
            if "serve is left out" in error:
                sys.exit("skipped: the program was built without cpp-httplib")
            sys.exit(f"the server says {line!r} {error!r}")
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
