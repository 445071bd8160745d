"""DIRECTORY MODEL TEXTS: prints the ids that llama.cpp gives each text of a file, separated by NUL."""
import ctypes
import pathlib
import sys

from llama_cpp_library import load

llama, model = load(*sys.argv[1:3])
vocabulary = llama.llama_model_get_vocab(model)
for text in pathlib.Path(sys.argv[3]).read_bytes().split(b"\0"):
    ids = (ctypes.c_int32 * (len(text) + 8))()
    n = llama.llama_tokenize(vocabulary, text, len(text), ids, len(ids), False, True)
    print(*ids[:n])
