#!/usr/bin/env python3
"""The models and steps of training_step.cpp in PyTorch: a decoder whose linears in the layers are plain or
fake-quantized (absmean weights, absmax int8 activations, straight-through, SubLN), next-token loss, for
`distilled` also the divergence from a full-precision teacher's logits, gradient clipping, AdamW. With
--precision bf16 the products run under autocast; masters and optimizer stay fp32. Prints one line: model,
kind, precision, threads, `eager` or `compiled`, the milliseconds of each step."""
import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {  # vocabulary, hidden, layers, heads, heads of k and v, ffn, sequences, length, norms of q and k
    "base": (8192, 512, 6, 8, 8, 1536, 16, 128, True),
    "demo": (60, 64, 4, 4, 4, 192, 64, 32, True),
    "smollm2": (49152, 576, 30, 9, 3, 1536, 16, 128, False),  # SmolLM2-135M
}


def ternary(w):
    scale = w.abs().mean()
    q = (w / (scale + 1e-5)).round().clamp(-1, 1) * scale
    return w + (q - w).detach()


def int8(x):
    top = x.abs().amax(dim=-1, keepdim=True)
    q = (x * (127 / (top + 1e-5))).round().clamp(-128, 127) * (top / 127)
    return x + (q - x).detach()


class BitLinear(nn.Linear):
    def __init__(self, fan_in, fan_out):
        super().__init__(fan_in, fan_out, bias=False)

    def forward(self, x):
        return F.linear(int8(x), ternary(self.weight))


class Layer(nn.Module):
    def __init__(self, d, heads, kv_heads, ffn, qk_norm, quantized):
        super().__init__()
        linear = BitLinear if quantized else (lambda i, o: nn.Linear(i, o, bias=False))
        norm = lambda wanted, n, eps: nn.RMSNorm(n, eps=eps) if wanted else nn.Identity()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, d // heads
        self.norm1, self.norm2 = nn.RMSNorm(d, eps=1e-6), nn.RMSNorm(d, eps=1e-6)
        self.q_norm, self.k_norm = (norm(qk_norm, self.head_dim, 1e-6) for _ in range(2))
        self.q, self.o = linear(d, d), linear(d, d)
        self.k, self.v = (linear(d, kv_heads * self.head_dim) for _ in range(2))
        self.gate, self.up, self.down = linear(d, ffn), linear(d, ffn), linear(ffn, d)
        self.o_norm, self.down_norm = norm(quantized, d, 1e-5), norm(quantized, ffn, 1e-5)

    def forward(self, x, cos, sin):
        b, t, d = x.shape

        def rope(u):
            a, c = u.chunk(2, dim=-1)
            return torch.cat((a * cos - c * sin, c * cos + a * sin), dim=-1)

        def split(u, heads):
            return u.view(b, t, heads, self.head_dim).transpose(1, 2)

        h = self.norm1(x)
        q = rope(self.q_norm(split(self.q(h), self.heads)))
        k = rope(self.k_norm(split(self.k(h), self.kv_heads)))
        y = F.scaled_dot_product_attention(q, k, split(self.v(h), self.kv_heads), is_causal=True,
                                           enable_gqa=self.kv_heads != self.heads)
        x = x + self.o(self.o_norm(y.transpose(1, 2).reshape(b, t, d)))
        h = self.norm2(x)
        return x + self.down(self.down_norm(F.silu(self.gate(h)) * self.up(h)))


class Decoder(nn.Module):
    def __init__(self, size, quantized):
        super().__init__()
        vocabulary, d, layers, heads, kv_heads, ffn, _, length, qk_norm = size
        self.embedding = nn.Embedding(vocabulary, d)
        self.layers = nn.ModuleList(
            Layer(d, heads, kv_heads, ffn, qk_norm, quantized) for _ in range(layers))
        self.norm = nn.RMSNorm(d, eps=1e-6)
        half = d // heads // 2
        angle = torch.outer(torch.arange(length), 1e6 ** (-torch.arange(half) / half))
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.embedding.weight)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--model", choices=SIZES, default="base")
    args.add_argument("--kind", choices=("full_precision", "ternary", "distilled"), default="ternary")
    args.add_argument("--precision", choices=("exact", "bf16"), default="exact")
    args.add_argument("--compile", action="store_true", help="torch.compile the loss")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--steps", type=int, default=3)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    size = SIZES[args.model]
    vocabulary, sequences, length = size[0], size[6], size[7]
    model = Decoder(size, args.kind != "full_precision")
    teacher = Decoder(size, False).requires_grad_(False) if args.kind == "distilled" else None
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-4, betas=(0.9, 0.95))
    windows = torch.randint(vocabulary, (sequences, length + 1))
    tokens, targets = windows[:, :-1].contiguous(), windows[:, 1:].reshape(-1)

    def loss_of(tokens, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
            logits = model(tokens).view(-1, vocabulary).float()
            loss = F.cross_entropy(logits, targets)
            if teacher is None:
                return loss
            with torch.no_grad():
                wanted = teacher(tokens).view(-1, vocabulary).float().log_softmax(-1)
            return loss + F.kl_div(logits.log_softmax(-1), wanted, log_target=True,
                                   reduction="batchmean")

    recorded = torch.compile(loss_of) if args.compile else loss_of

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = recorded(tokens, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    step()
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    print(args.model, args.kind, args.precision, args.threads,
          "compiled" if args.compile else "eager", *(f"{t:.2f}" for t in times))


if __name__ == "__main__":
    main()
