// Text to pre-train on: the documents of files of plain text, JSON lines or JSON, which may be
// gzip-compressed, and the stream of tokens that the documents make.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/data/json_lines.hpp"
#include "tern/io/text_file.hpp"

namespace tern::inline TERN_ABI {

/// Where one document of a plain text file ends and the next begins.
enum class document_split {
  blank_lines,  ///< one or more blank lines stand between two documents
  lines,        ///< each line is a document
  none          ///< the file is one document
};

namespace detail {

/// Calls f for each document of plain text. A document is its lines joined by LF, without blank
/// lines at both ends.
template <class F>
void split_documents(std::string_view text, document_split split, F&& f) {
  std::string document;
  const auto finish = [&] {
    while (document.ends_with('\n')) document.pop_back();
    if (!document.empty()) f(std::as_const(document));
    document.clear();
  };
  for_each_line(text, [&](std::string_view line, std::size_t) {
    const bool blank = line.find_first_not_of(" \t") == line.npos;
    if (blank && (document.empty() || split != document_split::none)) return finish();
    document += line;
    document += '\n';
    if (split == document_split::lines) finish();
  });
  finish();
}

/// Calls f for the "text" of each object of a file of JSON lines or JSON.
template <class F>
void split_json(std::string_view text, text_form form, const std::string& file, F&& f) {
  for_each_json_value(text, form, file, [&](const nlohmann::json& json, const std::string& place) {
    if (!json.is_object() || !json.contains("text") || !json["text"].is_string())
      throw format_error(place + ": expected a JSON object with a string \"text\"");
    if (const auto& document = json["text"].template get_ref<const std::string&>();
        !document.empty())
      f(document);
  });
}

}  // namespace detail

/// Calls f(const std::string&) for each document of a file of JSON lines or JSON (the field "text"
/// of each object) or of plain text, as text_form_of() tells. The file may be gzip-compressed, and
/// it may be a pipe. Empty documents are left out, line ends become LF. Throws io_error, or
/// format_error "<path>:<line>: expected ..." where the file is not UTF-8, not JSON or holds no
/// document at all, or where it is of another kind, such as a compressed or a Parquet file.
template <class F>
void for_each_document(const std::filesystem::path& path, F&& f,
                       document_split split = document_split::blank_lines) {
  std::size_t count = 0;
  const auto counted = [&](const std::string& document) {
    ++count;
    f(document);
  };
  const std::string text = read_text(path);
  const text_form form = text_form_of(path, text);
  if (form == text_form::plain)
    detail::split_documents(text, split, counted);
  else
    detail::split_json(text, form, path.string(), counted);
  if (count == 0) throw format_error(path.string() + ":1: expected text, got an empty file");
}

/// All documents of all files, in order. Throws as for_each_document() does.
inline std::vector<std::string> read_corpus(const std::vector<std::filesystem::path>& files,
                                            document_split split = document_split::blank_lines) {
  std::vector<std::string> documents;
  for (const auto& file : files)
    for_each_document(
        file, [&](const std::string& document) { documents.push_back(document); }, split);
  return documents;
}

/// The documents as one stream of tokens, each followed by `separator`. `make_encoder()` gives a
/// callable (std::string_view text, std::vector<std::int32_t>& ids) that appends the ids of a text;
/// it is called once for each part of the corpus that a thread works on. The stream does not depend
/// on the executor.
template <class MakeEncoder>
std::vector<std::int32_t> tokenize(std::span<const std::string> documents,
                                   MakeEncoder&& make_encoder, std::int32_t separator,
                                   executor_ref ex = {}) {
  const std::size_t grain = std::max<std::size_t>(1, documents.size() / 64);
  std::vector<std::vector<std::int32_t>> parts((documents.size() + grain - 1) / grain);
  ex.parallel_for(documents.size(), grain, [&](std::size_t begin, std::size_t end) {
    auto encode = make_encoder();
    for (std::size_t i = begin; i < end; ++i) {
      auto& ids = parts[i / grain];
      encode(std::string_view(documents[i]), ids);
      ids.push_back(separator);
    }
  });
  std::vector<std::int32_t> stream;
  for (auto& part : parts) {
    stream.insert(stream.end(), part.begin(), part.end());
    std::vector<std::int32_t>().swap(part);
  }
  return stream;
}

}  // namespace tern::inline TERN_ABI
