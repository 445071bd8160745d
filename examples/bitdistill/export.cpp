// A model folder in the form that runs it.
#include <fmt/core.h>

#include <filesystem>

#include "commands.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/model/checkpoint.hpp"

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
  if (fs::exists(from / "tokenizer.json"))
    tern::write_file(to / "tokenizer.json", tern::mapped_file(from / "tokenizer.json").text());
  tern::load_model<>(to);  // reads back
  fmt::print("{}: {} bytes of weights\n", to.string(),
             grouped(static_cast<std::size_t>(fs::file_size(to / "model.safetensors"))));
}

}  // namespace bitdistill
