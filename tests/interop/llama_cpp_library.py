"""llama.cpp's library with a model in it. Each user runs in a process of its own, because the parts of the
library do not unload well."""
import ctypes
import pathlib
import sys

POINTER = ctypes.c_void_p


class Params(ctypes.Structure):  # larger than any version's; the callee reads its part
    _fields_ = [("bytes", ctypes.c_byte * 1024)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32)] + [
        (name, POINTER) for name in ("token", "embd", "pos", "n_seq_id", "seq_id", "logits")]


FUNCTIONS = {
    "llama_model_default_params": (Params, []),
    "llama_model_load_from_file": (POINTER, [ctypes.c_char_p, Params]),
    "llama_model_get_vocab": (POINTER, [POINTER]),
    "llama_vocab_n_tokens": (ctypes.c_int32, [POINTER]),
    "llama_tokenize": (ctypes.c_int32, [POINTER, ctypes.c_char_p, ctypes.c_int32, POINTER, ctypes.c_int32,
                                        ctypes.c_bool, ctypes.c_bool]),
    "llama_context_default_params": (Params, []),
    "llama_init_from_model": (POINTER, [POINTER, Params]),
    "llama_n_ctx": (ctypes.c_uint32, [POINTER]),
    "llama_set_n_threads": (None, [POINTER, ctypes.c_int32, ctypes.c_int32]),
    "llama_get_memory": (POINTER, [POINTER]),
    "llama_memory_clear": (None, [POINTER, ctypes.c_bool]),
    "llama_batch_get_one": (Batch, [POINTER, ctypes.c_int32]),
    "llama_decode": (ctypes.c_int32, [POINTER, Batch]),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), [POINTER, ctypes.c_int32]),
}


def load(directory, model_path):
    """Returns the library, with the types of FUNCTIONS set, and a pointer to the model."""
    directory = pathlib.Path(directory)
    ctypes.CDLL(str(directory / "libggml-base.so"), ctypes.RTLD_GLOBAL)
    ggml = ctypes.CDLL(str(next(directory.glob("libggml.*so*"))), ctypes.RTLD_GLOBAL)
    llama = ctypes.CDLL(str(next(p for p in directory.glob("libllama*.so") if "common" not in p.name)))
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, POINTER)(lambda *ignored: None)
    load.silent = silent  # lives as long as the library
    llama.llama_log_set(silent, None)
    ggml.ggml_backend_load_all_from_path(str(directory).encode())
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(llama, name)
        function.restype, function.argtypes = result, arguments
    model = llama.llama_model_load_from_file(str(model_path).encode(), llama.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp cannot load {model_path}")
    return llama, model
