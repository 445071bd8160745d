"""Writes bpe_tokenizers/*.json: small tokenizers of each kind, trained here by the `tokenizers` package,
and what it makes of the texts below: {"tokenizer": <tokenizer.json>, "vectors": [...]}.

    python tests/oracle/bpe_tokenizers.py
"""
import json
import pathlib

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

CORPUS = """The ferry left the harbour at seven, and the harbour master's daughter watched it leave.
She'd counted 14 ferries since Monday; her father had counted 1409. "They aren't late," he said,
"they're never late in summer." In winter the ferries were late, the letters were late, and even
the gulls seemed late.   Nobody in the harbour minded: what's late in winter is early in spring!
Žofie wrote to André in Besançon — “der Fluss ist breit, der Fluss ist tief” — and 河很宽 河很深.
\tif (ferry.late()) { harbour.wait(ferry); } else { harbour.wave(ferry); }
The daughter's daughter watches the ferries now, 2001, 2002, 2003, and never counts them."""
TEXTS = ["", " ", "The ferry's late.", "the ferries", "  harbour\tmaster\r\n\n42  ", "12345 1 22 x99",
         "Andre\u0301 河很宽! 🛳️ ſ'S", "a\u00a0b\u3000c\u2028d\u180ee", "▁the▁▁ ferry <0x0A>", "x \n \n  y   ",
         "<s>The</s> late<unk>é", "I'll WE'RE they'Ve", "late<m>  the <l> <r>  ferry", "<w>x <w> x<w>_<w>",
         "é<n> e\u0301 <n>", "ゆゆゆ the ゆ", "<e>ferry<e> late", "<b> the\n <b>\t<b>ferry<r> <l>"]

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
FLAGS = [AddedToken("<m>"), AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True, special=True),
         AddedToken("<w>", single_word=True), AddedToken("<b>", lstrip=True, rstrip=True, normalized=False),
         AddedToken("<n>", normalized=True, single_word=True), AddedToken("e\u0301 <n>", normalized=True)]


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def replace(a, b):
    return {"type": "Replace", "pattern": {"String": a}, "content": b}


def template(before, after):
    def around(name, kind):
        special = lambda t: {"SpecialToken": {"id": t, "type_id": kind}}
        return [*map(special, before), {"Sequence": {"id": name, "type_id": kind}}, *map(special, after)]
    return {"type": "TemplateProcessing", "single": around("A", 0), "pair": around("A", 0) + around("B", 1),
            "special_tokens": {t: {"id": t, "ids": [["<s>", "</s>"].index(t)], "tokens": [t]}
                               for t in before + after}}


def trained(pre_tokenizer, special, alphabet, size, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS.split("\n"), trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    return json.loads(tokenizer.to_str())


def write(name, made, added=(), **parts):
    made["added_tokens"] = [t for t in made["added_tokens"] if not t["content"].startswith("<0x")]
    made.update(parts)
    tokenizer = Tokenizer.from_str(json.dumps(made))
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    vectors = [{"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids,
                "special": tokenizer.encode(t).ids,
                "decoded": tokenizer.decode(tokenizer.encode(t, add_special_tokens=False).ids,
                                            skip_special_tokens=False),
                "skipped": tokenizer.decode(tokenizer.encode(t).ids)} for t in TEXTS]
    folder = pathlib.Path(__file__).parent / "bpe_tokenizers"
    folder.mkdir(exist_ok=True)
    text = json.dumps({"vectors": vectors, "tokenizer": json.loads(tokenizer.to_str())},
                      ensure_ascii=False, separators=(",", ":"))
    (folder / f"{name}.json").write_text(text.replace('{"text"', '\n{"text"') + "\n")


def of_bytes(name, *steps, added=(), **parts):
    made = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), ["<s>", "</s>"],
                   pre_tokenizers.ByteLevel.alphabet(), 360)
    made["model"]["ignore_merges"] = parts.pop("ignore_merges", False)
    write(name, made, added, pre_tokenizer=steps[0] if len(steps) == 1 else sequence("pretokenizers", *steps),
          decoder=byte_level(), **parts)


def of_characters(name, added=(), byte_tokens=range(256), strip=False, **parts):
    special = ["<s>", "</s>", "<unk>"] + [f"<0x{b:02X}>" for b in byte_tokens]
    made = trained(pre_tokenizers.Metaspace(), special, [], len(special) + 130, unk_token="<unk>",
                   byte_fallback=len(byte_tokens) > 0, fuse_unk=True)
    for key in [k for k in parts if k in ("fuse_unk", "ignore_merges")]:
        made["model"][key] = parts.pop(key)
    decoders = [replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    decoders += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if strip else []
    write(name, made, added, decoder=sequence("decoders", *decoders), **parts)


def metaspace(scheme, cut):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


print("tokenizers", tokenizers.__version__)
nfc = {"type": "NFC"}
spaces = replace(" ", "▁")
of_bytes("gpt2", byte_level())
of_bytes("gpt2_prefix", byte_level(prefix=True), normalizer=nfc, added=FLAGS)
of_bytes("llama3", split({"Regex": LLAMA3}), byte_level(regex=False), ignore_merges=True,
         post_processor=sequence("processors", byte_level(), template(["<s>"], ["</s>"])))
of_bytes("smollm2", {"type": "Digits", "individual_digits": True}, byte_level())
of_bytes("splits", {"type": "Digits", "individual_digits": False}, split({"String": "."}, "MergedWithPrevious"),
         split({"Regex": "[lw]"}, "MergedWithNext"), split({"Regex": "t"}, "Contiguous"),
         split({"Regex": r"[^\n]+"}, "Removed", invert=True), byte_level(prefix=True, regex=False))
of_characters("llama2", normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, spaces),
              pre_tokenizer=None, strip=True, post_processor=template(["<s>"], []), added=FLAGS)
of_characters("mistral", pre_tokenizer=metaspace("first", False), strip=True, added=FLAGS)
of_characters("metaspace", pre_tokenizer=metaspace("always", True), strip=True, ignore_merges=True)
of_characters("gemma", normalizer=spaces, pre_tokenizer=split({"String": " "}, "MergedWithPrevious"),
              post_processor=template(["<s>"], []), added=[AddedToken("▁▁", normalized=False)])
of_characters("unknown", normalizer=spaces, pre_tokenizer=None, byte_tokens=[])
of_characters("unfused", normalizer=spaces, pre_tokenizer=None, byte_tokens=[0xF0, 0x9F, 0x9B, 0xB3, 0xC2, 0xA0],
              fuse_unk=False)
