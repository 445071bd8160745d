// What a file is, told by its first bytes. People rename files, and downloads leave other things
// than the file that was asked for, so a name proves nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Kinds of files that are recognized by their content.
enum class file_kind : std::uint8_t {
  unknown,          ///< none of the others, such as plain text
  git_lfs_pointer,  ///< the small text that Git LFS leaves in the place of a large file
  gguf,
  safetensors,
  gzip,
  zstd,
  xz,
  bzip2,
  lz4,
  zip,     ///< a ZIP archive; checkpoints of PyTorch are archives with a pickle
  pickle,  ///< a pickle of Python, as older checkpoints of PyTorch are
  hdf5,
  numpy,
  tar,
  parquet,
  pdf,
  ggml,   ///< a model file of llama.cpp from before GGUF
  utf16,  ///< text in UTF-16 behind a byte-order mark
  html,   ///< a web page, such as the error that a server sent instead of a file
};

namespace detail {

/// Whether a header of a plausible length follows that is JSON.
inline bool begins_like_safetensors(std::string_view content) {
  if (content.size() < 10) return false;
  std::uint64_t size = 0;
  for (std::size_t i = 8; i-- > 0;) size = size << 8 | static_cast<unsigned char>(content[i]);
  return size >= 2 && size <= 100'000'000 && content[8] == '{' &&
         (content[9] == '"' || content[9] == '}' || content[9] == ' ' || content[9] == '\n');
}

inline bool begins_like_html(std::string_view content) {
  constexpr std::string_view blanks = " \t\r\n";
  content.remove_prefix(std::min(content.find_first_not_of(blanks), content.size()));
  std::string begin(content.substr(0, 14));
  std::ranges::transform(begin, begin.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return begin.starts_with("<!doctype html") || begin.starts_with("<html");
}

}  // namespace detail

/// The kind of a file whose content, or the first 300 bytes of it, is given.
inline file_kind file_kind_of(std::string_view content) {
  using enum file_kind;
  struct magic {
    std::string_view bytes;
    file_kind kind;
  };
  using namespace std::string_view_literals;
  constexpr std::array magics{
      magic{"version https://git-lfs.github.com/spec/"sv, git_lfs_pointer},
      magic{"version https://hawser.github.com/spec/"sv, git_lfs_pointer},
      magic{"\x1F\x8B"sv, gzip},
      magic{"\x28\xB5\x2F\xFD"sv, zstd},
      magic{"\xFD"
            "7zXZ\0"sv,
            xz},
      magic{"\x04\x22\x4D\x18"sv, lz4},
      magic{"PK\x03\x04"sv, zip},
      magic{"PK\x05\x06"sv, zip},
      magic{"\x80\x02"sv, pickle},
      magic{"\x80\x03"sv, pickle},
      magic{"\x80\x04\x95"sv, pickle},
      magic{"\x80\x05\x95"sv, pickle},
      magic{"\x89HDF\r\n\x1A\n"sv, hdf5},
      magic{"\x93NUMPY"sv, numpy},
      magic{"PAR1"sv, parquet},
      magic{"%PDF-"sv, pdf},
      magic{"lmgg"sv, ggml},
      magic{"fmgg"sv, ggml},
      magic{"tjgg"sv, ggml},
      magic{"\xFF\xFE"sv, utf16},
      magic{"\xFE\xFF"sv, utf16},
  };
  // A safetensors file may begin with any byte, so its form is looked at first. A text may begin
  // with the word GGUF; the version behind the magic has bytes of 0.
  if (detail::begins_like_safetensors(content)) return safetensors;
  if (content.starts_with("GGUF") && content.substr(4, 4).find('\0') != content.npos) return gguf;
  // The byte between the two parts is the size of the blocks.
  if (content.starts_with("BZh") && content.size() > 4 && content.substr(4).starts_with("1AY&SY"))
    return bzip2;
  for (const auto& [bytes, kind] : magics)
    if (content.starts_with(bytes)) return kind;
  if (content.size() > 262 && content.substr(257, 5) == "ustar") return tar;
  return detail::begins_like_html(content) ? html : unknown;
}

/// What a file of the kind is and what helps, as words that follow "it is"; empty where the kind is
/// unknown.
inline std::string_view file_kind_text(file_kind kind) {
  switch (kind) {
    case file_kind::unknown:
      return "";
    case file_kind::git_lfs_pointer:
      return "a Git LFS pointer, which stands for a file that was not downloaded: fetch the file "
             "itself, for example with 'git lfs pull'";
    case file_kind::gguf:
      return "a GGUF file";
    case file_kind::safetensors:
      return "a safetensors file";
    case file_kind::gzip:
      return "compressed by gzip: unpack it first";
    case file_kind::zstd:
      return "compressed by zstd: unpack it first";
    case file_kind::xz:
      return "compressed by xz: unpack it first";
    case file_kind::bzip2:
      return "compressed by bzip2: unpack it first";
    case file_kind::lz4:
      return "compressed by lz4: unpack it first";
    case file_kind::zip:
      return "a ZIP archive, as checkpoints of PyTorch are: unpack it, or convert the checkpoint "
             "to "
             "safetensors";
    case file_kind::pickle:
      return "a Python pickle, as checkpoints of PyTorch are: convert it to safetensors";
    case file_kind::hdf5:
      return "an HDF5 file: convert it";
    case file_kind::numpy:
      return "a NumPy array: convert it";
    case file_kind::tar:
      return "a tar archive: unpack it first";
    case file_kind::parquet:
      return "a Parquet table: convert it to JSON lines or TSV";
    case file_kind::pdf:
      return "a PDF document: convert it to text";
    case file_kind::ggml:
      return "a model file of llama.cpp from before GGUF: convert it to GGUF";
    case file_kind::utf16:
      return "text in UTF-16: convert it to UTF-8";
    case file_kind::html:
      return "a web page, perhaps an error that a server sent instead of the file";
  }
  return "";
}

/// Throws format_error "<file>: expected <expected>, but it is ..." where the content is of a known
/// kind; does nothing where the kind is unknown. For readers that have found out that a file is not
/// theirs.
inline void refuse_known_kind(std::string_view content, const std::string& file,
                              std::string_view expected) {
  const std::string_view is = file_kind_text(file_kind_of(content));
  if (!is.empty())
    throw format_error(file + ": expected " + std::string(expected) + ", but it is " +
                       std::string(is));
}

}  // namespace tern::inline TERN_ABI
