#!/usr/bin/env python3
"""The model and step of training_step.cpp in PyTorch eager: a Qwen3-like decoder whose linears in the layers
are plain or fake-quantized (absmean weights, absmax int8 activations, straight-through, SubLN), next-
token loss, gradient clipping, AdamW. Prints one line: model, kind, threads, the milliseconds of each step."""
import argparse
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {  # vocabulary, hidden, layers, heads, ffn, sequences, length
    "base": (8192, 512, 6, 8, 1536, 16, 128),
    "demo": (60, 64, 4, 4, 192, 64, 32),
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
    def __init__(self, d, heads, ffn, quantized):
        super().__init__()
        linear = BitLinear if quantized else (lambda i, o: nn.Linear(i, o, bias=False))
        sub_norm = (lambda n: nn.RMSNorm(n, eps=1e-5)) if quantized else (lambda n: nn.Identity())
        self.heads, self.head_dim = heads, d // heads
        self.norm1, self.norm2 = nn.RMSNorm(d, eps=1e-6), nn.RMSNorm(d, eps=1e-6)
        self.q_norm, self.k_norm = (nn.RMSNorm(self.head_dim, eps=1e-6) for _ in range(2))
        self.q, self.k, self.v, self.o = (linear(d, d) for _ in range(4))
        self.gate, self.up, self.down = linear(d, ffn), linear(d, ffn), linear(ffn, d)
        self.o_norm, self.down_norm = sub_norm(d), sub_norm(ffn)

    def forward(self, x, cos, sin):
        b, t, d = x.shape

        def rope(u):
            a, c = u.chunk(2, dim=-1)
            return torch.cat((a * cos - c * sin, c * cos + a * sin), dim=-1)

        def split(u):
            return u.view(b, t, self.heads, self.head_dim).transpose(1, 2)

        h = self.norm1(x)
        q, k = rope(self.q_norm(split(self.q(h)))), rope(self.k_norm(split(self.k(h))))
        y = F.scaled_dot_product_attention(q, k, split(self.v(h)), is_causal=True)
        x = x + self.o(self.o_norm(y.transpose(1, 2).reshape(b, t, d)))
        h = self.norm2(x)
        return x + self.down(self.down_norm(F.silu(self.gate(h)) * self.up(h)))


class Decoder(nn.Module):
    def __init__(self, vocabulary, d, layers, heads, ffn, length, quantized):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, d)
        self.layers = nn.ModuleList(Layer(d, heads, ffn, quantized) for _ in range(layers))
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
    args.add_argument("--kind", choices=("full_precision", "ternary"), default="ternary")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--steps", type=int, default=3)
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    vocabulary, d, layers, heads, ffn, sequences, length = SIZES[args.model]
    model = Decoder(vocabulary, d, layers, heads, ffn, length, args.kind == "ternary")
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-4, betas=(0.9, 0.95))
    windows = torch.randint(vocabulary, (sequences, length + 1))
    tokens, targets = windows[:, :-1].contiguous(), windows[:, 1:].reshape(-1)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(tokens).view(-1, vocabulary), targets)
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
    print(args.model, args.kind, args.threads, *(f"{t:.2f}" for t in times))


if __name__ == "__main__":
    main()
