// The functions of the subcommands. Each throws what the library throws.
#pragma once

#include "options.hpp"

namespace bitdistill {

/// Whether the command trains: demo, run, pretrain, finetune or distill.
bool trains(const options& o);

void train(const options& o);         ///< the commands that train
void plan(const options& o);          ///< plan
void tokenizer(const options& o);     ///< tokenizer
void evaluate(const options& o);      ///< eval
void inspect(const options& o);       ///< inspect
void generate(const options& o);      ///< generate
void embed(const options& o);         ///< embed
void bench(const options& o);         ///< bench
void quantize(const options& o);      ///< quantize
void export_model(const options& o);  ///< export
void report(const options& o);        ///< report
void watch(const options& o);         ///< watch
void serve(const options& o);         ///< serve

}  // namespace bitdistill
