"""Deployed models of tern in Hugging Face transformers: it loads the `bitnet` folders and computes
the logits of tern's masters; and tern's own packed folder, read by safetensors. argv: the program built
from bitnet.cxx."""
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

for package in ("torch", "transformers", "accelerate", "safetensors"):
    if importlib.util.find_spec(package) is None:
        sys.exit(f"skipped: needs the Python package {package}")
os.environ["TORCHDYNAMO_DISABLE"] = "1"

import torch  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

root = pathlib.Path(tempfile.mkdtemp(prefix="tern-interop-"))
subprocess.run([sys.argv[1], root], check=True)
for folder in sorted(root.glob("*-*")):
    family, sub_ln = folder.name.split("-")
    want = load_file(folder / "expected.safetensors")
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True,
                                                       attn_implementation="eager")
    assert model.dtype == torch.float32  # as config.json says
    with torch.no_grad():
        got = model(input_ids=want["tokens"][None].long()).logits[0]
    difference = float((got - want["logits"]).abs().max() / want["logits"].abs().max())
    lost = info["unexpected_keys"]
    print(f"{folder.name}: {type(model).__name__}, difference {difference:.1e}, {len(lost)} tensors not loaded")
    assert not info["missing_keys"], info
    # Llama with SubLN is BitNet; the other families have no place for its gains, which are dropped with
    # a warning: what is computed then is another model.
    if sub_ln == "subln" and family not in ("llama", "bitnet"):
        assert lost and all(name.endswith("_sub_norm.weight") for name in lost), lost
        assert difference > 0.05
        continue
    assert not lost, lost
    assert (type(model).__name__ == "BitNetForCausalLM") == (sub_ln == "subln")
    # Sums in float and their order: 5e-7 here. An activation that rounds to another code makes 1e-2.
    assert difference < 1e-5, folder.name

# Packed weights are tensors of bytes at multiples of 64, which begin as docs/formats.md says.
packed = load_file(root / "packed" / "model.safetensors")
packed = {name: t.numpy() for name, t in packed.items() if t.dtype == torch.uint8}
deployed = load_file(root / "qwen3-none" / "model.safetensors")
content = (root / "packed" / "model.safetensors").read_bytes()
assert len(packed) == 14, sorted(packed)
for name, t in packed.items():
    rows, cols, total = (int.from_bytes(t[at:at + 8].tobytes(), "little") for at in (8, 16, 48))
    assert t[:4].tobytes() == b"TERN" and total == t.size, name
    assert [(rows + 3) // 4, cols] == list(deployed[name].shape), name
    assert t[64:68].view("<f4")[0] == (1 / deployed[name + "_scale"]).float().item(), name
    assert content.find(t.tobytes()) % 64 == 0, name
print(f"packed: {len(packed)} tensors of bytes")
try:
    AutoModelForCausalLM.from_pretrained(root / "packed")
except RuntimeError as e:
    assert "mismatched_sizes" in str(e), e
else:
    sys.exit("transformers loads the packed folder, which it does not understand")
