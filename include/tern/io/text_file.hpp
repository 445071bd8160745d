// Text files, plain or compressed by gzip, checked to be UTF-8. The content tells which of the two
// a file is, not its name. Pipes are read, too.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "tern/core/error.hpp"
#include "tern/core/file_kind.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/core/os_error.hpp"
#include "tern/core/utf8.hpp"

namespace tern::inline TERN_ABI {

/// Unpacks gzip data (RFC 1952), concatenated members included. Zeros behind the last one are left
/// out, since tapes and archives pad files with them. Throws format_error naming `file` where the
/// data is damaged or cut off.
inline std::string gunzip(std::span<const std::byte> packed, const std::string& file) {
  struct inflater {
    z_stream stream{};
    inflater() {
      if (::inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
        throw io_error("zlib cannot begin to unpack");
    }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;
    ~inflater() { ::inflateEnd(&stream); }
  } gzip;
  auto& z = gzip.stream;
  std::string out;
  std::string buffer(std::size_t{1} << 18, '\0');
  int state = Z_OK;
  while (!packed.empty() || state != Z_STREAM_END) {
    if (state == Z_STREAM_END) {  // gzip files may have several members
      packed = packed.subspan(static_cast<std::size_t>(
          std::ranges::find_if(packed, [](std::byte b) { return b != std::byte{}; }) -
          packed.begin()));
      if (packed.empty()) break;
      ::inflateReset(&z);
    }
    const auto n = std::min<std::size_t>(packed.size(), std::numeric_limits<uInt>::max());
    z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
    z.avail_in = static_cast<uInt>(n);
    z.next_out = reinterpret_cast<Bytef*>(buffer.data());
    z.avail_out = static_cast<uInt>(buffer.size());
    state = ::inflate(&z, Z_NO_FLUSH);
    if (state == Z_BUF_ERROR) throw format_error(file + ": the gzip data is cut off");
    if (state != Z_OK && state != Z_STREAM_END)
      throw format_error(file + ": the gzip data is damaged" +
                         (z.msg != nullptr ? std::string(": ") + z.msg : ""));
    packed = packed.subspan(n - z.avail_in);
    out.append(buffer, 0, buffer.size() - z.avail_out);
  }
  return out;
}

namespace detail {

/// Whether a path is a pipe or a device, such as /dev/stdin, which can be read only once and from
/// the beginning to the end.
inline bool is_stream(const std::filesystem::path& path) {
  std::error_code unknown;
  const auto status = std::filesystem::status(path, unknown);
  return std::filesystem::is_fifo(status) || std::filesystem::is_socket(status) ||
         std::filesystem::is_character_file(status);
}

/// All bytes of a pipe or device.
inline std::string read_stream(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw_os_error("read", path);
  std::string content((std::istreambuf_iterator<char>(file)), {});
  if (file.bad()) throw_os_error("read", path);
  return content;
}

inline std::string unpacked(std::string_view content, const std::string& file) {
  return file_kind_of(content) == file_kind::gzip ? gunzip(std::as_bytes(std::span(content)), file)
                                                  : std::string(content);
}

}  // namespace detail

/// The whole content of a file or pipe as bytes, unpacked where it is gzip. Throws io_error or
/// format_error.
inline std::string read_file(const std::filesystem::path& path) {
  if (detail::is_stream(path)) return detail::unpacked(detail::read_stream(path), path.string());
  const mapped_file file(path);
  return detail::unpacked(file.text(), path.string());
}

/// Returns the content of `file` as UTF-8 text, without a byte-order mark. Throws format_error
/// "<file>:<line>: ..." where it is not UTF-8, and a message that names the kind where it is of
/// another kind than text, such as a Git LFS pointer or a Parquet table.
inline std::string checked_text(std::string text, const std::string& file) {
  if (file_kind_of(text) != file_kind::html)  // a web page is text, too
    refuse_known_kind(text, file, "text");
  // A zero is no part of a text, but of binary data and of UTF-16.
  const std::size_t at = std::min({find_invalid_utf8(text), text.find('\0'), text.size()});
  if (at != text.size()) {
    const auto before = std::string_view(text).substr(0, at);
    const auto line = std::ranges::count(before, '\n') + 1;
    const std::size_t column =
        at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0 on the first line
    throw format_error(file + ":" + std::to_string(line) +
                       ": expected UTF-8 text, got an invalid byte at column " +
                       std::to_string(column));
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

/// The whole content of a file or pipe as checked_text(). Throws io_error where it cannot be read.
inline std::string read_text(const std::filesystem::path& path) {
  return checked_text(read_file(path), path.string());
}

/// Calls f(line, number) for each line. Lines are counted from 1 and given without their end, LF or
/// CRLF.
template <class F>
void for_each_line(std::string_view text, F&& f) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    f(line, number);
  }
}

}  // namespace tern::inline TERN_ABI
