"""llama.cpp's own quantization code, called through ctypes.

Its shared libraries are in the directory TERN_LLAMA_CPP_DIR, or else where scripts/interop.sh unpacks the npm
package @node-llama-cpp/linux-x64.
"""
import ctypes
import os
import pathlib
import sys

import numpy as np

TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q4_K": 12,
         "q5_K": 13, "q6_K": 14, "bf16": 30, "tq1_0": 34, "tq2_0": 35, "q2_0": 42}


def find():
    """Returns the directory of libggml-base.so. Ends the program with a message that CTest looks for where there is
    none."""
    if "TERN_LLAMA_CPP_DIR" in os.environ:
        return pathlib.Path(os.environ["TERN_LLAMA_CPP_DIR"])
    package = pathlib.Path(__file__).resolve().parents[2] / "build/interop/node_modules/@node-llama-cpp/linux-x64"
    for library in package.glob("bins/*/libggml-base.so"):
        return library.parent
    sys.exit("skipped: needs llama.cpp's libraries (scripts/interop.sh fetches them; or set TERN_LLAMA_CPP_DIR)")


class Ggml:
    def __init__(self, directory):
        self.lib = ctypes.CDLL(str(directory / "libggml-base.so"))
        self.lib.ggml_blck_size.restype = ctypes.c_int64
        self.lib.ggml_type_size.restype = ctypes.c_size_t
        self.lib.ggml_type_name.restype = ctypes.c_char_p
        self.lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                                 ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                                 ctypes.c_void_p]

    def block(self, name):
        """Elements and bytes of a block."""
        return self.lib.ggml_blck_size(TYPES[name]), self.lib.ggml_type_size(TYPES[name])

    def quantize(self, name, values):
        values = np.ascontiguousarray(values, np.float32).reshape(-1)
        count, size = self.block(name)
        out = np.zeros(values.size // count * size, np.uint8)
        if name == "f32":
            return values.view(np.uint8)
        written = self.lib.ggml_quantize_chunk(TYPES[name], values.ctypes.data, out.ctypes.data, 0, 1,
                                               values.size, None)
        assert written == out.size, (name, written, out.size)
        return out

    def dequantize(self, name, data):
        data = np.ascontiguousarray(data, np.uint8)
        count, size = self.block(name)
        out = np.zeros(data.size // size * count, np.float32)
        if name == "f32":
            return data.view(np.float32)
        function = {"f16": "ggml_fp16_to_fp32_row", "bf16": "ggml_bf16_to_fp32_row"}
        decode = getattr(self.lib, function.get(name, "dequantize_row_" + name))
        decode(ctypes.c_void_p(data.ctypes.data), ctypes.c_void_p(out.ctypes.data),
               ctypes.c_int64(out.size))
        return out
