"""Tiny random models of Hugging Face transformers, one folder for each family, and what transformers
computes with them: logits of all tokens, the mean next-token cross-entropy and its gradients.

    python tests/oracle/families.py

writes tests/oracle/<family>_tiny/: config.json, weights and expected.safetensors. Every model is
computed with after from_pretrained(), so the folders are what transformers understands.
"""
import json
import os
import pathlib
import shutil

os.environ["TORCHDYNAMO_DISABLE"] = "1"
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, BitNetConfig, BitNetForCausalLM, Gemma3ForCausalLM,
                          Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM)
from transformers.integrations.bitnet import pack_weights

HERE = pathlib.Path(__file__).parent
LENGTHS = [11, 1, 5]
SIZES = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64)
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_model(folder, model, seed, center=1.0, **options):
    """Random weights; vectors around 0 where they are biases, else around `center`."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            middle = 0 if p.dim() == 2 or name.endswith("bias") else center
            p.copy_(middle + (0.3 if p.dim() == 2 else 0.2) * torch.randn_like(p))
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)


def is_projection(name):
    return name.split(".")[-2] in PROJECTIONS and name.endswith("weight")


def quantize_folder(folder, source, convention, change):
    """The folder `source` with a quantization_config, its projections changed by `change`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"], **convention}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {}
    for name, w in load_file(source / "model.safetensors").items():
        tensors |= change(name, w) if is_projection(name) else {name: w}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def packed(inverse):
    def change(name, w):
        mean = w.abs().mean()
        codes = torch.clamp(torch.round(w / mean), -1, 1)
        scale = (1 / mean if inverse else mean).reshape(1)
        return {name: pack_weights(codes), name + "_scale": scale}
    return change


def evaluate(folder, sequences, gradients):
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    logits = [model(input_ids=s[None]).logits[0] for s in sequences]
    targets = [torch.cat([s[1:], torch.tensor([-100])]) for s in sequences]
    loss = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets), ignore_index=-100)
    tensors = {"full.logits": torch.cat(logits).detach(), "full.loss": loss.detach().reshape(1)}
    if gradients:
        loss.backward()
        tensors |= {"full.grad." + n: p.grad for n, p in model.named_parameters()}
    tensors |= {"tokens": torch.cat(sequences).int(), "lengths": torch.tensor(LENGTHS).int()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / "expected.safetensors")


def main():
    torch.manual_seed(5)
    sequences = [torch.randint(0, 40, (n,)) for n in LENGTHS]
    # Biases of q, k and v; windows in the last layer.
    write_model(HERE / "qwen2_tiny", Qwen2ForCausalLM(Qwen2Config(
        **SIZES, rope_theta=10000.0, tie_word_embeddings=False, use_sliding_window=True, sliding_window=3,
        max_window_layers=1)), 21)
    # Scaled RoPE with all three kinds of waves, shards.
    write_model(HERE / "llama_tiny", LlamaForCausalLM(LlamaConfig(
        **SIZES, head_dim=12, tie_word_embeddings=False, rope_parameters=dict(
            rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32))), 22, max_shard_size="10KB")
    write_model(HERE / "gemma3_tiny", Gemma3ForCausalLM(Gemma3TextConfig(
        **SIZES | dict(num_hidden_layers=3), head_dim=8, query_pre_attn_scalar=12, sliding_window=4,
        sliding_window_pattern=3, rope_parameters=dict(
            full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=2.0),
            sliding_attention=dict(rope_type="default", rope_theta=100.0)))), 23, center=0.0)
    for name in ("qwen2", "llama", "gemma3"):
        evaluate(HERE / f"{name}_tiny", sequences, True)

    plain = HERE / "plain"
    write_model(plain, BitNetForCausalLM(BitNetConfig(**SIZES, tie_word_embeddings=True)), 24)
    auto = dict(linear_class="autobitlinear")
    quantize_folder(HERE / "bitnet_tiny", plain, auto | dict(quantization_mode="online"),
                    lambda name, w: {name: w.bfloat16()})
    quantize_folder(HERE / "bitnet_offline_tiny", plain, auto | dict(quantization_mode="offline"), packed(False))
    write_model(plain, LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)), 25)

    def with_norm(name, w):
        gain = {name.replace(".weight", ".rms_norm.weight"): 1 + 0.2 * torch.randn(w.shape[1])}
        return packed(True)(name, w) | gain
    quantize_folder(HERE / "bitnet_llama_tiny", plain, dict(use_rms_norm=True, rms_norm_eps=1e-4), with_norm)
    write_model(plain, Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=True)), 26)
    quantize_folder(HERE / "bitnet_qwen2_tiny", plain, auto | dict(quantization_mode="offline"), packed(False))
    shutil.rmtree(plain)
    evaluate(HERE / "bitnet_tiny", sequences, True)
    evaluate(HERE / "bitnet_offline_tiny", sequences, False)
    evaluate(HERE / "bitnet_llama_tiny", sequences, False)
    evaluate(HERE / "bitnet_qwen2_tiny", sequences, False)


main()
