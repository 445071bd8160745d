// The command tokenizer: trains a byte-level BPE tokenizer.
#include <fmt/core.h>

#include <filesystem>

#include "commands.hpp"
#include "format.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/text/tokenizer_json.hpp"

namespace bitdistill {

void tokenizer(const options& o) {
  if (std::filesystem::exists(o.out))
    throw tern::config_error("'" + o.out + "' exists already: choose another --out");
  const auto documents = tern::read_corpus({o.corpus.begin(), o.corpus.end()});
  const auto made = tern::train_tokenizer(documents, o.vocab_size);
  made.save(o.out);
  std::size_t bytes = 0, tokens = 0;
  auto encoder = made.encoder();
  std::vector<std::int32_t> ids;
  for (const auto& document : documents) {
    ids.clear();
    encoder.encode(document, ids);
    bytes += document.size();
    tokens += ids.size();
  }
  fmt::print(
      "{}: {} tokens; the {} documents of the corpus, {} bytes, are {} tokens ({:.2f} bytes "
      "each)\n",
      o.out, made.vocab_size(), grouped(documents.size()), grouped(bytes), grouped(tokens),
      static_cast<double>(bytes) / static_cast<double>(tokens));
}

}  // namespace bitdistill
