// The command export: stores a model in a form that programs run.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include "commands.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "standard_output.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/pooling_files.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_model_text.hpp"
#include "tern/checkpoint/save_packed_model.hpp"
#include "tern/core/thread_pool.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// The type of the linears in a GGUF file where no option says it: TQ2_0 where its blocks of 256
/// weights suit the model, else Q2_0 with its blocks of 64; I2_S for norms before every linear,
/// which only bitnet.cpp runs.
std::string default_type(const tern::model_config& c) {
  if (!c.ternary) return "f16";
  const std::array widths{c.hidden_size, c.num_attention_heads * c.head_dim, c.intermediate_size};
  const auto are_multiples = [&](std::size_t n) {
    return std::ranges::all_of(widths, [&](std::size_t width) { return width % n == 0; });
  };
  if (c.sub_ln == tern::norm_placement::all && c.has_one_scale() && are_multiples(128))
    return "i2_s";
  const bool scales = c.scale_block({256, 256}).cols % 256 == 0;
  return scales && are_multiples(256) ? "tq2_0" : "q2_0";
}

tern::gguf_storage gguf_storage_of(const options& o, const tern::model_config& config) {
  using tern::ggml_type;
  if (o.head_bits == 4) throw tern::config_error("--to gguf: --head-bits must be 8, 16 or 32");
  tern::gguf_storage storage;
  const std::string name = o.type.empty() ? default_type(config) : o.type;
  for (const auto& [known, type] : {std::pair("f32", ggml_type::f32),
                                    {"f16", ggml_type::f16},
                                    {"bf16", ggml_type::bf16},
                                    {"q8_0", ggml_type::q8_0},
                                    {"tq1_0", ggml_type::tq1_0},
                                    {"tq2_0", ggml_type::tq2_0},
                                    {"q2_0", ggml_type::q2_0},
                                    {"i2_s", ggml_type::i2_s},
                                    {"i2_s_arm", ggml_type::i2_s}})
    if (name == known) storage.linears = type;
  storage.tables = o.head_bits == 8    ? ggml_type::q8_0
                   : o.head_bits == 16 ? ggml_type::f16
                                       : ggml_type::f32;
  if (storage.tables == ggml_type::q8_0 && config.hidden_size % 32 != 0)
    storage.tables = ggml_type::f16;  // rows are no whole blocks
  if (name == "i2_s_arm") storage.layout = tern::i2_s_layout::arm;
  return storage;
}

void report(const fs::path& file) {
  fmt::print("{}: {} bytes\n", file.string(),
             grouped(static_cast<std::size_t>(fs::file_size(file))));
}

/// Says where the file is not what was asked for.
void say_differences(const options& o, const tern::gguf_storage& storage,
                     const tern::model_config& config, const tern::model_text& text) {
  if (o.head_bits == 8 && storage.tables != tern::ggml_type::q8_0)
    say(fmt::format(
        "bitdistill: note: Q8_0 holds rows of 32 n values, and those of the embedding have {}; it "
        "is stored as F16",
        config.hidden_size));
  const std::size_t rows = config.vocab_size;
  if (!text.tokenizer || text.tokenizer->vocab_size() <= rows) return;
  say(fmt::format(
      "bitdistill: note: the model has {} tokens, its tokenizer {}; the file is without those from "
      "{} on",
      rows, text.tokenizer->vocab_size(),
      text.tokenizer->token_text(static_cast<std::int32_t>(rows))));
}

/// Removes the folder of a model, which did not exist before, where it could not be written.
class unfinished_folder {
 public:
  explicit unfinished_folder(fs::path path) : path_(std::move(path)) {}
  unfinished_folder(const unfinished_folder&) = delete;
  unfinished_folder& operator=(const unfinished_folder&) = delete;
  ~unfinished_folder() {
    std::error_code ignored;
    if (!finished_) fs::remove_all(path_, ignored);
  }
  void finish() { finished_ = true; }

 private:
  fs::path path_;
  bool finished_ = false;
};

}  // namespace

void export_model(const options& o) {
  const fs::path from = o.model, to = o.out;
  if (fs::exists(to)) throw tern::config_error("'" + o.out + "' exists already");
  auto model = tern::load_model<>(from);
  auto text = read_text_of(o.model, o.tokenizer);
  const auto pooling = tern::read_pooling(from);
  if (pooling && tern::is_gguf(from))
    text.files.merge(tern::pooling_files(*pooling, model.config().hidden_size));
  if (o.to == "gguf") {
    const auto storage = gguf_storage_of(o, model.config());
    std::optional<tern::pooling> embeddings;
    if (pooling) embeddings = pooling->kind;
    tern::save_gguf(model, to, storage, text.tokenizer ? &*text.tokenizer : nullptr,
                    text.conventions, embeddings);
    say_differences(o, storage, model.config(), text);
    return report(to);
  }
  tern::thread_pool pool(o.threads);
  unfinished_folder folder(to);
  if (o.to == "bitnet") {
    tern::save_model(model, to, tern::storage::deployed);
  } else {
    pack(model, o, pool);
    tern::save_packed_model(model, to, dense_type(o));
  }
  tern::save_model_text(text, to);
  tern::load_model<>(to);  // throws where the files cannot be read back
  folder.finish();
  report(to / "model.safetensors");
}

}  // namespace bitdistill
