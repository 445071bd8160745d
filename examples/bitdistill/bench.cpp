// The command bench: speed and memory of a model that reads a prompt at once, then token by token.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "kernel_limits.hpp"
#include "known_shape.hpp"
#include "machine.hpp"
#include "system.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_packed_model.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/infer/session.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/quant/block.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// New tokens behind positions that the cache already holds.
struct context_result {
  std::size_t positions;
  double tokens_per_second;
  double cache_bytes_per_token;  ///< bytes of the cache that a token reads, mean of the new tokens
  /// The same as decode_of_bandwidth.
  std::optional<double> of_bandwidth;
};

struct result {
  std::string format;
  std::size_t threads;
  double prefill_tokens_per_second, decode_tokens_per_second, resident_megabytes, file_megabytes,
      load_ms;
  /// Bytes of weights and of the cache that a new token reads, divided by the measured bandwidth
  /// and by the time that the token took. There is no value where the level of the CPU has no loop
  /// that measures it.
  std::optional<double> decode_of_bandwidth;
  /// Multiply-adds of the packed linears of the layers for the prompt, divided by the measured rate
  /// of dot products of int8 and by the time that the prompt took. There is no value where
  /// there is no loop, too, and where no linear is packed.
  std::optional<double> prefill_of_peak;
  std::vector<context_result> contexts;  ///< those of --context, ascending
};

/// What a token costs at least.
struct token_work {
  std::size_t bytes = 0;          ///< weights that a new token reads
  std::size_t multiply_adds = 0;  ///< those of the packed linears of the layers
};

token_work work_of(tern::decoder<>& model) {
  using projection = tern::projection<tern::matrix<float>>;
  token_work work;
  const auto read = [&](const projection& p) {
    const auto [rows, cols] = p.weight.shape;
    work.bytes += p.packed ? p.packed->size_bytes() : sizeof(float) * rows * cols;
  };
  for (auto& layer : model.layers())
    layer.for_each_projection([&](const projection& p) {
      read(p);
      if (p.packed) work.multiply_adds += p.weight.shape.rows * p.weight.shape.cols;
    });
  read(model.head_projection());
  return work;
}

/// Measures what the machine can do at best with the threads of a pool, at any time.
class machine_limits {
 public:
  /// `bytes` is the size of the memory that is read.
  machine_limits(std::size_t bytes, tern::thread_pool& pool) : pool_(pool) {
    constexpr std::size_t least = std::size_t{1} << 26, most = std::size_t{1} << 30;
    if (bench::loops.at(level_).read == nullptr) return;
    const std::size_t size = std::clamp(bytes, least, most);
    if (size / pool.threads() >= 4096) memory_.assign(size, 1);
  }

  /// Bytes a second that are read from memory in so many seconds. It is 0 where the level of the
  /// CPU has no loop for it.
  double bytes_per_second(double seconds) {
    return memory_.empty() ? 0 : bench::mean_reading(level_, memory_, pool_, seconds);
  }
  /// Multiply-adds a second of int8 numbers in registers, or 0.
  double multiply_adds_per_second(double seconds) {
    return memory_.empty() ? 0 : bench::mean_dots(level_, pool_, seconds) / 2;
  }

 private:
  tern::isa::level level_ = tern::isa::active();
  tern::thread_pool& pool_;
  std::vector<std::uint8_t> memory_;
};

/// A model with random weights. They are made one matrix at a time, so that a large model never
/// exists in full precision.
tern::decoder<> random_model(const options& o, const std::string& format, tern::executor_ref ex) {
  const bool ternary = format != "f32";
  tern::decoder<> model(known_shape(o.shape, ternary), false);
  std::uint64_t stream = 0;
  model.for_each_projection([&](tern::projection<tern::matrix<float>>& p) {
    p.weight.allocate();
    const auto w = p.weight.view();
    const std::uint64_t seed = ++stream;
    tern::for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      tern::philox random(seed, r);
      for (std::size_t c = 0; c < w.cols; ++c)
        w(r, c) = static_cast<float>(0.04 * random.uniform() - 0.02);
    });
    const auto pack = [&](const auto& quantizer) {
      if (format == "base3")
        tern::pack_projection<tern::base3>(p, quantizer, ex);
      else
        tern::pack_projection<tern::two_bit>(p, quantizer, ex);
    };
    if (!p.ternary)
      ternary ? pack_table(p, o, ex) : void();
    else if (o.shape_scale == "group:64")
      pack(tern::block<64>{});
    else if (o.shape_scale == "group:128")
      pack(tern::block<128>{});
    else
      pack(tern::absmean{});
  });
  return model;
}

std::vector<std::int32_t> random_tokens(std::size_t n, std::size_t vocabulary) {
  std::vector<std::int32_t> tokens(n);
  tern::philox random(1);
  for (auto& t : tokens)
    t = static_cast<std::int32_t>(random.uniform() * static_cast<double>(vocabulary));
  return tokens;
}

/// The fastest of three calls, and the limit beside it.
struct best_turn {
  double seconds;  ///< that the call took
  double limit;    ///< a second, or 0
  /// Which share of the limit a call reaches that does so much work.
  [[nodiscard]] std::optional<double> share(double work) const {
    return limit > 0 && work > 0 ? std::optional(work / seconds / limit) : std::nullopt;
  }
};

/// Calls f three times. After each call `limit(seconds)` measures the limit for as long as the call
/// took. The best of both count, since other programs can only slow them down; they slow both
/// down alike.
template <class F, class Limit>
best_turn best_of_turns(F&& f, Limit&& limit) {
  best_turn best{std::numeric_limits<double>::infinity(), 0};
  for (int i = 0; i < 3; ++i) {
    const tern::stopwatch watch;
    f();
    const double seconds = watch.seconds();
    best = {std::min(best.seconds, seconds), std::max(best.limit, limit(seconds))};
  }
  return best;
}

/// Fills a sequence with random keys and values up to so many positions. Reading them takes as long
/// as reading those of a text, and a text of that length would have to be read first.
template <class Model>
void fill_cache(tern::session<Model>& s, std::size_t positions) {
  const tern::kv_shape shape = s.cache().shape();
  const std::size_t width = shape.kv_heads * shape.head_dim;
  std::vector<float> rows(shape.chunk * width);
  tern::philox random(2);
  for (float& x : rows) x = static_cast<float>(random.normal());
  while (s.length() < positions) {
    const std::size_t n = std::min(shape.chunk, positions - s.length());
    for (std::size_t l = 0; l < shape.layers; ++l)
      s.cache().append(l, 0, {rows.data(), n, width}, {rows.data(), n, width});
    s.cache().advance(0, n);
  }
}

/// Bytes of the cache that new tokens behind these positions read together.
template <class Model>
double cache_bytes(const tern::session<Model>& s, std::size_t positions, std::size_t new_tokens) {
  double bytes = 0;
  for (std::size_t i = 1; i <= new_tokens; ++i)
    bytes += static_cast<double>(s.cache().bytes_read(positions + i));
  return bytes;
}

/// Measures new tokens behind the positions of --context.
template <class Model>
std::vector<context_result> measure_contexts(const options& o, Model& model,
                                             tern::thread_pool& pool, std::size_t weight_bytes,
                                             machine_limits& limits) {
  std::vector<context_result> results;
  if (o.contexts.empty()) return results;
  std::vector<std::size_t> contexts = o.contexts;
  std::ranges::sort(contexts);
  tern::session s(model, {.capacity = contexts.back() + o.new_tokens, .storage = kv_storage_of(o)},
                  pool);
  const auto next = random_tokens(o.new_tokens, model.config().vocab_size);
  for (const std::size_t positions : contexts) {
    fill_cache(s, positions);
    const double bytes = cache_bytes(s, positions, next.size());
    const best_turn best = best_of_turns(
        [&] {
          s.truncate(0, positions);
          for (const std::int32_t& token : next) s.append({&token, 1});
        },
        [&](double seconds) { return limits.bytes_per_second(seconds); });
    s.truncate(0, positions);
    const auto tokens = static_cast<double>(next.size());
    results.push_back({positions, tokens / best.seconds, bytes / tokens,
                       best.share(bytes + tokens * static_cast<double>(weight_bytes))});
  }
  return results;
}

/// Size of the files that hold the weights.
std::uintmax_t bytes_of(const fs::path& model) {
  std::uintmax_t bytes = 0;
  if (tern::is_gguf(model)) {
    const tern::gguf_file file(model);
    for (const auto& part : file.files()) bytes += part.bytes().size();
  } else {
    const tern::safetensors_shards shards(model);
    for (const auto& file : shards.files()) bytes += fs::file_size(file.path());
  }
  return bytes;
}

result measure(const options& o, const fs::path& model_path, std::string format,
               std::size_t threads) {
  const tern::stopwatch watch;
  auto model = tern::load_model<>(model_path);
  result r{std::move(format), threads, 0, 0, 0, 0, watch.seconds() * 1e3, {}, {}, {}};
  r.file_megabytes = static_cast<double>(bytes_of(model_path)) / 1e6;
  const std::size_t most = model.config().max_position_embeddings;
  for (const auto& [option, tokens] :
       {std::pair("--prompt-tokens", o.prompt_tokens), {"--new-tokens", o.new_tokens}})
    if (tokens > most)
      throw tern::config_error(
          fmt::format("{} {}: the model reads at most {} tokens (max_position_embeddings)", option,
                      tokens, most));
  for (const std::size_t positions : o.contexts)
    if (positions + o.new_tokens > most)
      throw tern::config_error(
          fmt::format("--context {}: with {} new tokens the model reads at most {} tokens "
                      "(max_position_embeddings)",
                      positions, o.new_tokens, most));
  tern::thread_pool pool(threads);
  tern::session s(
      model, {.capacity = std::max(o.prompt_tokens, o.new_tokens), .storage = kv_storage_of(o)},
      pool);
  const std::size_t vocabulary = model.config().vocab_size;
  const auto prompt = random_tokens(o.prompt_tokens, vocabulary),
             next = random_tokens(o.new_tokens, vocabulary);
  // One pass touches all of the model's memory, before memory is taken to measure the limits with.
  s.append(prompt);
  s.truncate(0, 0);
  for (const std::int32_t& token : next) s.append({&token, 1});
  r.resident_megabytes = resident_megabytes();
  const token_work work = work_of(model);
  machine_limits limits(work.bytes, pool);
  const best_turn prefill = best_of_turns(
      [&] {
        s.truncate(0, 0);
        s.append(prompt);
      },
      [&](double seconds) { return limits.multiply_adds_per_second(seconds); });
  const best_turn decode = best_of_turns(
      [&] {
        s.truncate(0, 0);
        for (const std::int32_t& token : next) s.append({&token, 1});
      },
      [&](double seconds) { return limits.bytes_per_second(seconds); });
  const auto read = static_cast<double>(prompt.size()), made = static_cast<double>(next.size());
  r.prefill_tokens_per_second = read / prefill.seconds;
  r.decode_tokens_per_second = made / decode.seconds;
  r.prefill_of_peak = prefill.share(read * static_cast<double>(work.multiply_adds));
  r.decode_of_bandwidth =
      decode.share(made * static_cast<double>(work.bytes) + cache_bytes(s, 0, next.size()));
  r.contexts = measure_contexts(o, model, pool, work.bytes, limits);
  return r;
}

/// A folder below the temporary directory; the destructor removes it.
class temporary_folder {
 public:
  temporary_folder() {
    std::error_code error;
    do {
      path_ = fs::temp_directory_path() / fmt::format("bitdistill-{:08x}", std::random_device()());
    } while (!fs::create_directory(path_, error) && !error);
    if (error) throw tern::io_error("cannot make '" + path_.string() + "'");
    fs::permissions(path_, fs::perms::owner_all, error);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<result> all_cases(const options& o) {
  std::vector<result> results;
  const auto add = [&](const fs::path& folder, const std::string& format) {
    for (const std::size_t threads : o.thread_counts)
      results.push_back(measure(o, folder, format, threads));
  };
  if (o.shape.empty()) {
    add(o.model, "as stored");
    return results;
  }
  for (const std::string& format : o.formats) {
    std::optional<temporary_folder> temporary;
    if (o.out.empty()) temporary.emplace();
    const fs::path folder = temporary ? temporary->path() : fs::path(o.out);
    {
      tern::thread_pool pool;
      auto model = random_model(o, format, pool);
      tern::save_packed_model(model, folder, dense_type(o));
    }
    add(folder, format);
  }
  return results;
}

nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

void print_json(const options& o, const std::vector<result>& results) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const result& r : results) {
    nlohmann::ordered_json contexts = nlohmann::ordered_json::array();
    for (const context_result& c : r.contexts)
      contexts.push_back({{"positions", c.positions},
                          {"decode_tokens_per_second", c.tokens_per_second},
                          {"cache_bytes_per_token", c.cache_bytes_per_token},
                          {"decode_of_bandwidth", or_null(c.of_bandwidth)}});
    list.push_back({{"model", o.shape.empty() ? o.model : o.shape},
                    {"format", r.format},
                    {"threads", r.threads},
                    {"prefill_tokens_per_second", r.prefill_tokens_per_second},
                    {"decode_tokens_per_second", r.decode_tokens_per_second},
                    {"prefill_of_peak", or_null(r.prefill_of_peak)},
                    {"decode_of_bandwidth", or_null(r.decode_of_bandwidth)},
                    {"resident_megabytes", r.resident_megabytes},
                    {"file_megabytes", r.file_megabytes},
                    {"load_ms", r.load_ms},
                    {"contexts", std::move(contexts)}});
  }
  fmt::print("{}\n", list.dump(2));
}

void print_table(const options& o, const std::vector<result>& results) {
  fmt::print("{}, prompt of {} tokens, {} new ones\n", o.shape.empty() ? o.model : o.shape,
             o.prompt_tokens, o.new_tokens);
  fmt::print("{:<10} {:>7} {:>14} {:>8} {:>14} {:>13} {:>12} {:>9} {:>9}\n", "Format", "Threads",
             "Prefill tok/s", "of peak", "Decode tok/s", "of bandwidth", "Resident MB", "File MB",
             "Load ms");
  const auto percent = [](const std::optional<double>& share) {
    return share ? fmt::format("{:.0f} %", 100 * *share) : std::string("-");
  };
  for (const result& r : results)
    fmt::print("{:<10} {:>7} {:>14.1f} {:>8} {:>14.1f} {:>13} {:>12.1f} {:>9.1f} {:>9.1f}\n",
               r.format, r.threads, r.prefill_tokens_per_second, percent(r.prefill_of_peak),
               r.decode_tokens_per_second, percent(r.decode_of_bandwidth), r.resident_megabytes,
               r.file_megabytes, r.load_ms);
  if (o.contexts.empty()) return;
  fmt::print("\nNew tokens behind positions that the cache ({}) holds\n", o.kv);
  fmt::print("{:<10} {:>7} {:>9} {:>14} {:>14} {:>13}\n", "Format", "Threads", "Positions",
             "Decode tok/s", "Cache MB/token", "of bandwidth");
  for (const result& r : results)
    for (const context_result& c : r.contexts)
      fmt::print("{:<10} {:>7} {:>9} {:>14.1f} {:>14.1f} {:>13}\n", r.format, r.threads,
                 c.positions, c.tokens_per_second, c.cache_bytes_per_token / 1e6,
                 percent(c.of_bandwidth));
}

}  // namespace

void bench(const options& o) {
  if (o.shape.empty() == o.model.empty())
    throw tern::config_error("bench: expected either --shape NAME or --model FOLDER");
  if (!o.out.empty() && o.formats.size() > 1)
    throw tern::config_error("bench: --out keeps one model, expected a single --format");
  if (!o.out.empty() && fs::exists(o.out))
    throw tern::config_error("'" + o.out + "' exists already");
  const auto results = all_cases(o);
  o.json ? print_json(o, results) : print_table(o, results);
}

}  // namespace bitdistill
