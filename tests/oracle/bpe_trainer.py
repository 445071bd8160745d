"""Writes bpe_trainer.inc: a BPE vocabulary learned by the `tokenizers` package and what it encodes."""
import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

CORPUS = """The ferry left the harbour at seven, and the harbour master's daughter watched it leave.
She'd counted 14 ferries since Monday; her father had counted 140. "They aren't late," he said,
"they're never late in summer." In winter the ferries were late, the letters were late, and even
the gulls seemed late.   Nobody in the harbour minded: what's late in winter is early in spring!

Žofie wrote to Andre\u0301 in Besan\u00e7on \u2014 \u201cder Fluss ist breit, der Fluss ist tief\u201d \u2014 and
Andr\u00e9 wrote back: \u6cb3\u5f88\u5bbd, \u6cb3\u5f88\u6df1. aaaa aaaaaa aaaaaaaa ababab abababab babababa
\tif (ferry.late()) { harbour.wait(ferry); } else { harbour.wave(ferry); }\r\n\r\n
The daughter's daughter watches the ferries now, 2001, 2002, 2003, and never counts them.
"""
TEXTS = ["The ferry's late.", "  harbour\tmaster\r\n\n42", "Andre\u0301 \u6cb3 \U0001F6F3",
         "aaaaaaaaaaaaa bababababab", "<|pad|>watching<|endoftext|> the gulls"]
SIZE = 420

qwen2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")
tokenizer = Tokenizer(models.BPE())
tokenizer.normalizer = normalizers.NFC()
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
    pre_tokenizers.Split(Regex(qwen2), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator([CORPUS], trainers.BpeTrainer(
    vocab_size=SIZE, min_frequency=2, special_tokens=["<|endoftext|>", "<|pad|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
made = {"corpus": CORPUS, "vocab_size": SIZE,
        "merges": json.loads(tokenizer.to_str())["model"]["merges"],
        "vectors": [{"text": t, "ids": tokenizer.encode(t).ids} for t in TEXTS]}
text = json.dumps(made, indent=None, separators=(",", ":")).replace('],[', '],\n[')
(pathlib.Path(__file__).parent / "bpe_trainer.inc").write_text(f'R"json({text})json"\n')
