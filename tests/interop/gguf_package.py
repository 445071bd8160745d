"""GGUF files between tern and the Python package gguf: each reads what the other wrote, and both
compute the same floats, bit for bit."""
from peers import DECODED, check_equal, decoded_by_tern, gguf, np, scratch, smollm2, tern, write

# The package reads a file that tern wrote.
ours = scratch / "ours.gguf"
tern("sample", ours)
reader = gguf.GGUFReader(ours)
assert reader.fields["general.architecture"].contents() == "tern"
assert reader.fields["tern.layers"].contents() == 7
assert reader.fields["tern.eps"].contents() == np.float32(1e-6)
assert reader.fields["tern.flag"].contents() is True
assert reader.fields["tern.words"].contents() == ["a", "Ġb", ""]
assert reader.fields["tern.numbers"].contents() == [-1, 0, 7]
decoded = decoded_by_tern(ours)
assert len(reader.tensors) == 7
for t in reader.tensors:
    assert list(t.shape) == ([512] if t.name == "norm" else [512, 3]), t.shape
    check_equal("tern's " + t.name, decoded[t.name], gguf.quants.dequantize(t.data, t.tensor_type))

# So it does with models that have a norm before every linear.
NORMS = {"attn_q": 256, "attn_k": 256, "attn_v": 256, "attn_output": 256, "ffn_gate": 256, "ffn_up": 256, "ffn_down": 512}
for family, arch in (("qwen3", "qwen3"), ("gemma3_text", "gemma3"), ("llama", "llama")):
    ours = scratch / f"{arch}-norms.gguf"
    tern("model", family, "TQ2_0", ours, "all")
    reader, decoded = gguf.GGUFReader(ours), decoded_by_tern(ours)
    assert reader.fields["general.architecture"].contents() == arch
    assert reader.fields[f"{arch}.attention.key_length"].contents() == 64
    tensors = {t.name: t for t in reader.tensors}
    assert "output.weight" not in tensors
    for linear, width in NORMS.items():
        for block in range(3):
            norm = tensors[f"blk.{block}.{linear}_norm_in.weight"]
            assert list(norm.shape) == [width] and norm.tensor_type == gguf.GGMLQuantizationType.F32, norm
    for name, t in tensors.items():
        assert np.array_equal(decoded[name], gguf.quants.dequantize(t.data, t.tensor_type).reshape(-1)), name
    print(f"{arch} with a norm before every linear: {len(tensors)} tensors, all the same")

# tern reads a file that the package wrote, with every type that it can quantize.
values = (np.random.default_rng(1).normal(0, 1, (37, 1024)) * 3).astype(np.float32)
tensors = {}
for name in DECODED:
    try:
        tensors[name] = (name, gguf.quants.quantize(values, gguf.GGMLQuantizationType[name]))
    except NotImplementedError:
        print(f"The package cannot quantize {name}")
theirs = scratch / "theirs.gguf"
write(theirs, tensors)
decoded = decoded_by_tern(theirs)
for name, (kind, data) in tensors.items():
    check_equal("the package's " + name, decoded[name],
                gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind]))

model = smollm2()
if model:
    decoded = decoded_by_tern(model)
    count = 0
    for t in gguf.GGUFReader(model).tensors:
        assert np.array_equal(decoded[t.name].view(np.uint32), gguf.quants.dequantize(
            t.data, t.tensor_type).reshape(-1).view(np.uint32)), t.name
        count += 1
    print(f"{model.name}: {count} tensors, all the same")
