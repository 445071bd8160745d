// The library core in one include: all that needs Eigen and xsimd only, as the target tern::tern.
// Files, text and the pipeline (io/, data/, text/, checkpoint/, recipe/) have dependencies of their
// own and are included one by one.
#pragma once

// Foundations. version.hpp comes first: its messages about flags and macros precede other errors.
#include "tern/core/arena.hpp"        // arena, arena_scope: memory that is reused from step to step
#include "tern/core/error.hpp"        // error and its kinds: all that the library throws
#include "tern/core/executor.hpp"     // executor_ref, serial_executor: how work is spread
#include "tern/core/random.hpp"       // philox: numbers by (seed, stream), the same everywhere
#include "tern/core/simd.hpp"         // simd::transform, fold, dot ...: vectorised loops over rows
#include "tern/core/tensor.hpp"       // matrix_view, row_view, tensor_traits: any matrix type
#include "tern/core/thread_pool.hpp"  // thread_pool: spreads it over threads
#include "tern/isa/level.hpp"         // isa::active: the kernels that this CPU runs
#include "tern/version.hpp"           // TERN_VERSION_MAJOR, _MINOR, _PATCH

// Owners
#include "tern/adapt/eigen.hpp"  // matrix<T>, and every Eigen matrix, map and block

// Quantizers, packed weights, integer products
#include "tern/kernel/matmul.hpp"         // ternary_matmul: packed weights times int8, in int32
#include "tern/pack/base3.hpp"            // base3: 1.6 bits a weight
#include "tern/pack/eight_bit.hpp"        // eight_bit: for embeddings and heads
#include "tern/pack/four_bit.hpp"         // four_bit: the same in half
#include "tern/pack/packed_bytes.hpp"     // serialize, view_bytes: packed weights stored and mapped
#include "tern/pack/packed_matrix.hpp"    // packed_matrix, packed_view, pack, unpack
#include "tern/pack/ternary_weights.hpp"  // ternary_weights: trits and scales, packed by a policy
#include "tern/pack/two_bit.hpp"          // two_bit: 2 bits a weight
#include "tern/quant/absmax_int8.hpp"     // absmax_int8: activations, one scale a token
#include "tern/quant/absmean.hpp"         // absmean: ternary weights, one scale a tensor
#include "tern/quant/block.hpp"           // block<N>: one scale to N columns of a row
#include "tern/quant/chosen_quantizer.hpp"  // chosen_quantizer: a policy that is chosen at run time
#include "tern/quant/given_scales.hpp"      // given_scales: scales that are trained or calibrated
#include "tern/quant/paper_awq.hpp"         // paper_awq: what BitDistill's code calls "awq"
#include "tern/quant/paper_gptq.hpp"        // paper_gptq: what BitDistill's code calls "gptq"
#include "tern/quant/per_channel.hpp"       // per_channel: one scale a row
#include "tern/quant/quantizer.hpp"         // weight_quantizer, activation_quantizer, dequantize
#include "tern/quant/scaled_trit.hpp"       // scaled_trit: the code of a weight for a given scale
#include "tern/quant/twn.hpp"               // twn: Ternary Weight Networks, one scale a tensor

// Ops, each a forward and a backward
#include "tern/grad/ste.hpp"             // ste: a quantizer that gradients pass straight through
#include "tern/linalg/cholesky.hpp"      // cholesky, multiply_by_inverse
#include "tern/linalg/gemm.hpp"          // gemm: the float matrix product
#include "tern/linalg/scaled_codes.hpp"  // gemm of floats and int8 codes with scales
#include "tern/nn/attention.hpp"      // attention: causal, grouped queries, memory linear in length
#include "tern/nn/bit_linear.hpp"     // bit_linear: y = Qa(x) Qw(w)^T + b, with or without SubLN
#include "tern/nn/cross_entropy.hpp"  // cross_entropy: its gradient in blocks of the vocabulary
#include "tern/nn/embedding.hpp"      // embedding: rows of a table
#include "tern/nn/feed_forward.hpp"   // gated_activation: SiLU, GELU, squared ReLU
#include "tern/nn/linear.hpp"         // linear: y = x w^T + b
#include "tern/nn/rms_norm.hpp"       // rms_norm, sub_ln
#include "tern/nn/rope.hpp"           // rope, rope_table: rotary positions
#include "tern/nn/scaled_bit_linear.hpp"  // scaled_bit_linear: the same with scales as parameters

// Distillation
#include "tern/distill/logits.hpp"    // logits_loss: KL between next-token distributions
#include "tern/distill/relation.hpp"  // relation_loss: KL between relations of Q, K or V

// Glue: the ops on a tape, models made of them, their training
#include "tern/distill/objective.hpp"  // objective: CE + lambda LD + gamma AD on a tape
#include "tern/grad/tape.hpp"          // tape, variable
#include "tern/model/config.hpp"       // model_config: the sizes of a decoder
#include "tern/model/decoder.hpp"      // decoder: Qwen, Llama, Gemma ... of any owner type
#include "tern/model/surgery.hpp"      // insert_sub_ln, make_ternary: stage 1
#include "tern/nn/graph.hpp"           // graph::linear, graph::bit_linear ...: one function an op
#include "tern/train/adamw.hpp"        // adamw, gradient_norm
#include "tern/train/schedule.hpp"     // schedule: learning rate and weight decay by step
#include "tern/train/trainer.hpp"      // trainer: micro-batches, clipping, updates, reports
