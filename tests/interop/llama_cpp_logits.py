"""DIRECTORY MODEL OUT N ID...: feeds llama.cpp the ids, then N tokens that it thinks likeliest; writes all
ids and the logits behind each to a .npz file."""
import ctypes
import sys

import numpy as np

from llama_cpp_library import load

out, n, ids = sys.argv[3], int(sys.argv[4]), [int(i) for i in sys.argv[5:]]
llama, model = load(*sys.argv[1:3])
context = llama.llama_init_from_model(model, llama.llama_context_default_params())
if not context:
    sys.exit("llama.cpp makes no context")
llama.llama_set_n_threads(context, 1, 1)  # its threads wait for each other busily
size = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
logits = []
for i in range(len(ids) + n):
    token = (ctypes.c_int32 * 1)(ids[i])
    if llama.llama_decode(context, llama.llama_batch_get_one(token, 1)) != 0:
        sys.exit("llama.cpp cannot decode")
    logits.append(np.ctypeslib.as_array(llama.llama_get_logits_ith(context, -1), (size,)).copy())
    if i + 1 >= len(ids):
        ids.append(int(logits[-1].argmax()))
np.savez(out, ids=ids[:len(logits)], logits=np.array(logits))
