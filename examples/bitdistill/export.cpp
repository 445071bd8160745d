// A model in the form that runs it.
#include <fmt/core.h>

#include <filesystem>

#include "commands.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "tern/model/checkpoint.hpp"
#include "tern/model/load_tokenizer.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

}  // namespace

void export_model(const options& o) {
  const fs::path from = o.model, to = o.out;
  if (fs::exists(to)) throw tern::config_error("'" + o.out + "' exists already");
  auto model = tern::load_model<>(from);
  tern::thread_pool pool(o.threads);
  if (o.to == "bitnet") {
    tern::save_model(model, to, tern::storage::deployed);
  } else {
    pack(model, o, pool);
    tern::save_packed_model(model, to, dense_type(o));
  }
  if (tern::is_gguf(from) || fs::exists(from / "tokenizer.json"))
    tern::load_tokenizer(from).save(to / "tokenizer.json");
  tern::load_model<>(to);  // reads back
  fmt::print("{}: {} bytes of weights\n", to.string(),
             grouped(static_cast<std::size_t>(fs::file_size(to / "model.safetensors"))));
}

}  // namespace bitdistill
