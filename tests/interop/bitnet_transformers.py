"""Deployed models of tern's in Hugging Face transformers: it loads the `bitnet` folders and computes
tern's logits in float. argv: the program built from bitnet.cxx."""
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
for folder in sorted(root.iterdir()):
    family, sub_ln = folder.name.split("-")
    want = load_file(folder / "expected.safetensors")
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True,
                                                       attn_implementation="eager")
    torch.nn.Module.float(model)  # whatever `dtype` says, some modules stay F16
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
