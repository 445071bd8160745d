"""llama.cpp's library with a model in it. Each user runs in a process of its own, because the parts of the
library do not unload well."""
import ctypes
import pathlib
import sys


class Params(ctypes.Structure):  # larger than any version's; the callee reads its part
    _fields_ = [("bytes", ctypes.c_byte * 1024)]


def load(directory, model_path):
    """Returns the library and a pointer to the model."""
    directory = pathlib.Path(directory)
    ctypes.CDLL(str(directory / "libggml-base.so"), ctypes.RTLD_GLOBAL)
    ggml = ctypes.CDLL(str(next(directory.glob("libggml.*so*"))), ctypes.RTLD_GLOBAL)
    llama = ctypes.CDLL(str(next(p for p in directory.glob("libllama*.so") if "common" not in p.name)))
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *ignored: None)
    load.silent = silent  # lives as long as the library
    llama.llama_log_set(silent, None)
    ggml.ggml_backend_load_all_from_path(str(directory).encode())
    llama.llama_model_default_params.restype = Params
    llama.llama_model_load_from_file.restype = ctypes.c_void_p
    llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
    model = llama.llama_model_load_from_file(str(model_path).encode(), llama.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp cannot load {model_path}")
    return llama, model
