// The subcommands. Each throws what the library throws.
#pragma once

#include "options.hpp"

namespace bitdistill {

void train(const options& o);  ///< demo, run, pretrain, finetune, distill
void tokenizer(const options& o);
void evaluate(const options& o);
void inspect(const options& o);
void generate(const options& o);
void bench(const options& o);
void export_model(const options& o);

}  // namespace bitdistill
