"""A tiny Qwen3 of Hugging Face transformers and what it computes: model, logits and gradients, and the
same for the model after stage 1 of BitDistill (SubLN, ternary linears, straight-through) in float64.

    python tests/oracle/qwen3.py

writes tests/oracle/qwen3_tiny/: config.json, model.safetensors, expected.safetensors.
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

OUT = pathlib.Path(__file__).parent / "qwen3_tiny"
LENGTHS = [7, 1, 5]


def base_model():
    torch.manual_seed(11)
    config = Qwen3Config(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rope_theta=10000.0,
        tie_word_embeddings=True, attn_implementation="eager", dtype=torch.float32)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(1 + 0.2 * torch.randn_like(p) if p.dim() == 1 else 0.3 * torch.randn_like(p))
    return model.eval()


class RmsNorm(torch.nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.weight = torch.nn.Parameter(gain)

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def straight_through(x, q):
    return x + (q - x).detach()


class BitLinear(torch.nn.Module):
    def __init__(self, linear, norm=None):
        super().__init__()
        self.weight = linear.weight
        self.norm = norm

    def forward(self, x):
        x = self.norm(x) if self.norm else x
        g = x.abs().amax(-1, keepdim=True)
        x = straight_through(x, g / 127 * torch.clamp(torch.round(127 / (g + 1e-5) * x), -128, 127))
        d = self.weight.abs().mean()
        w = straight_through(self.weight, d * torch.clamp(torch.round(self.weight / (d + 1e-5)), -1, 1))
        return x @ w.T


def operate(model):
    """Stage 1; gains of SubLN drawn around 1 so that the test sees them."""
    model = model.double()
    for layer in model.model.layers:
        for owner, names in ((layer.self_attn, "qkvo"), (layer.mlp, ("gate", "up", "down"))):
            for name in names:
                linear = getattr(owner, name + "_proj")
                norm = None
                if name in ("o", "down"):
                    norm = RmsNorm(1 + 0.2 * torch.randn(linear.in_features, dtype=torch.float64))
                setattr(owner, name + "_proj", BitLinear(linear, norm))
    return model


def forward_backward(model, sequences):
    """Logits of all tokens, the mean next-token cross-entropy, its gradients."""
    model.zero_grad()
    logits = [model(input_ids=s[None]).logits[0] for s in sequences]
    targets = [torch.cat([s[1:], torch.tensor([-100])]) for s in sequences]
    loss = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets), ignore_index=-100)
    loss.backward()
    grads = {}
    for name, p in model.named_parameters():
        name = name.replace("self_attn.o_proj.norm", "self_attn.attn_sub_norm")
        name = name.replace("mlp.down_proj.norm", "mlp.ffn_sub_norm")
        grads[name] = p.grad.clone()
    return torch.cat(logits).detach(), loss.detach().reshape(1), grads


def main():
    OUT.mkdir(exist_ok=True)
    model = base_model()
    sequences = [torch.randint(0, 40, (n,)) for n in LENGTHS]
    model.config.save_pretrained(OUT)
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    save_file(weights, OUT / "model.safetensors", metadata={"format": "pt"})

    tensors = {"tokens": torch.cat(sequences).int(), "lengths": torch.tensor(LENGTHS).int()}
    for prefix, change in (("full", lambda m: m), ("ternary", operate)):
        logits, loss, grads = forward_backward(change(model), sequences)
        tensors |= {f"{prefix}.logits": logits, f"{prefix}.loss": loss}
        tensors |= {f"{prefix}.grad.{n}": g for n, g in grads.items()}
    for i, layer in enumerate(model.model.layers):
        tensors[f"gain.model.layers.{i}.self_attn.attn_sub_norm.weight"] = layer.self_attn.o_proj.norm.weight.detach()
        tensors[f"gain.model.layers.{i}.mlp.ffn_sub_norm.weight"] = layer.mlp.down_proj.norm.weight.detach()
    save_file({n: t.contiguous() for n, t in tensors.items()}, OUT / "expected.safetensors")


main()
