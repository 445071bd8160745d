"""DIRECTORY MODEL TEXTS: prints the ids that llama.cpp gives each text of a file, separated by NUL."""
import ctypes
import pathlib
import sys

directory, model_path, texts = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
base = ctypes.CDLL(str(directory / "libggml-base.so"), ctypes.RTLD_GLOBAL)
ggml = ctypes.CDLL(str(next(directory.glob("libggml.*so*"))), ctypes.RTLD_GLOBAL)
llama = ctypes.CDLL(str(next(p for p in directory.glob("libllama*.so") if "common" not in p.name)))


class Params(ctypes.Structure):  # larger than any version's; the callee reads its part
    _fields_ = [("bytes", ctypes.c_byte * 1024)]


silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *ignored: None)
llama.llama_log_set(silent, None)
ggml.ggml_backend_load_all_from_path(str(directory).encode())
llama.llama_model_default_params.restype = Params
llama.llama_model_load_from_file.restype = ctypes.c_void_p
llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
llama.llama_model_get_vocab.restype = ctypes.c_void_p
llama.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
llama.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p,
                                 ctypes.c_int, ctypes.c_bool, ctypes.c_bool]
model = llama.llama_model_load_from_file(model_path.encode(), llama.llama_model_default_params())
if not model:
    sys.exit("llama.cpp cannot load " + model_path)
vocabulary = llama.llama_model_get_vocab(model)
for text in pathlib.Path(texts).read_bytes().split(b"\0"):
    ids = (ctypes.c_int32 * (len(text) + 8))()
    n = llama.llama_tokenize(vocabulary, text, len(text), ids, len(ids), False, True)
    print(*ids[:n])
