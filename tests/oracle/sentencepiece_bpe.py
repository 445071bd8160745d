"""Trains two small BPE models with the package sentencepiece, puts them into GGUF files as llama.cpp's
converters do, and writes what sentencepiece makes of some texts: sentencepiece.inc and, beside it,
sentencepiece_llama.gguf (a space before the text) and sentencepiece_gemma.gguf (none).

    python tests/oracle/sentencepiece_bpe.py
"""
import io
import json
import pathlib

import sentencepiece
from gguf import GGUFWriter, TokenType

CORPUS = """The ferry left the harbour at seven, and the harbour master's daughter watched it leave.
She'd counted 14 ferries since Monday; her father had counted 1409. "They aren't late," he said,
"they're never late in summer." In winter the ferries were late, the letters were late, and even
the gulls seemed late.   Nobody in the harbour minded: what's late in winter is early in spring!
The daughter's daughter watches the ferries now, 2001, 2002, 2003, and never counts them."""
TEXTS = ["The ferry's late.", "the ferries", "  harbour\tmaster\r\n\n42  ", "12345 1 22 x99", " ", "",
         "Andre\u0301 河很宽! 🛳️ ſ'S", "a\u00a0b\u3000c", "x \n \n  y   ", "late late   late", "latelate harbourharbour",
         "watcheswatchedwatch", "summersummer winter.winter"]
here = pathlib.Path(__file__).parent
lines = ["// Made by sentencepiece_bpe.py.\n"]

for name, prefix, own in [("llama", True, []), ("gemma", False, ["<turn>", "\u2581\u2581"])]:
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.split("\n") * 3), model_writer=made, model_type="bpe", vocab_size=460,
        byte_fallback=True, character_coverage=0.98, user_defined_symbols=own,
        normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix,
        num_threads=1, minloglevel=2)
    model = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())

    writer = GGUFWriter(here / f"sentencepiece_{name}.gguf", "llama")
    writer.add_tokenizer_model("llama")
    tokens, kinds = [], []
    for i in range(len(model)):
        token = model.id_to_piece(i)
        kind = (TokenType.UNKNOWN if model.is_unknown(i) else TokenType.CONTROL if model.is_control(i) else
                TokenType.BYTE if model.is_byte(i) else TokenType.NORMAL)
        if token in own:
            token, kind = token.replace("\u2581", " "), TokenType.USER_DEFINED
        tokens.append(token)
        kinds.append(kind)
    writer.add_token_list(tokens)
    writer.add_token_scores([model.get_score(i) for i in range(len(model))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    if not prefix:
        writer.add_add_space_prefix(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()

    lines.append(f"inline const std::vector<tokenized> sentencepiece_{name} = {{")
    for text in TEXTS + ([] if prefix else ["<turn>late  late<turn>", "a   b<turn> "]):
        ids = ", ".join(map(str, model.encode(text)))
        lines.append(f"    {{{json.dumps(model.decode(model.encode(text)), ensure_ascii=False)},\n"
                     f"     {json.dumps(text, ensure_ascii=False)}, {{{ids}}}}},")
    lines.append("};\n")
(here / "sentencepiece.inc").write_text("\n".join(lines))
