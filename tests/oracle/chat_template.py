"""Writes chat_template.inc: conversations and what transformers' apply_chat_template makes of them
with the templates of Qwen2.5 and Qwen3, whose tokenizer_config.json are in TERN_DATA_DIR.

    python tests/oracle/chat_template.py
"""
import json
import pathlib

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from inputs import inputs

CHATS = [
    ["user:Hello!"],
    ["system:Be brief.", "user:Why is\nthe sky blue? "],
    ["user:2 + 2?", "assistant:4", "user:And 3 + 3?"],
    ["user:2 + 2?", "assistant:<think>\nTwo pairs.\n</think>\n\n4", "user:And 3 + 3?"],
    ["user:2 + 2?", "assistant:<think>\nTwo pairs.\n</think>\n\n4"],
    ["user:2 + 2?", "assistant:4"],
    ["user:2 + 2?", "assistant:\n4\n", "assistant:a</think>b<think>c</think>\nd", "system:Stop."],
    ["system:", "user:", "assistant:\n\n<think></think>"],
    ["assistant:First."],
]
cases = []
for form, folder in [("qwen2", "configs/Qwen2.5-0.5B"), ("qwen3", "tokenizers/qwen3")]:
    template = json.loads((inputs("TERN_DATA_DIR", "data") / folder / "tokenizer_config.json").read_text())["chat_template"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template=template)
    for chat in CHATS:
        messages = [dict(zip(["role", "content"], m.split(":", 1))) for m in chat]
        for prompt, thinking in [(False, True), (True, True), (True, False)]:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt,
                                                 enable_thinking=thinking)
            cases.append({"form": form, "messages": messages, "add_generation_prompt": prompt,
                          "enable_thinking": thinking, "text": text})
lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
(pathlib.Path(__file__).parent / "chat_template.inc").write_text(f'R"json([{lines}])json"\n')
