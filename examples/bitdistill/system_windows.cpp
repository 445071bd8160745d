#if defined(_WIN32)

#  define NOMINMAX
#  define WIN32_LEAN_AND_MEAN
#  include <windows.h>
// These need <windows.h> before them.
#  include <fcntl.h>
#  include <io.h>
#  include <psapi.h>
#  include <shellapi.h>

#  include <codecvt>
#  include <filesystem>
#  include <locale>

#  include "system.hpp"

namespace bitdistill {

std::vector<std::string> command_line_arguments(int, char**) {
  int count = 0;
  wchar_t** const words = ::CommandLineToArgvW(::GetCommandLineW(), &count);
  std::vector<std::string> arguments;
  for (int i = 1; i < count; ++i) {
    const std::u8string word = std::filesystem::path(words[i]).u8string();
    arguments.emplace_back(word.begin(), word.end());
  }
  ::LocalFree(words);
  return arguments;
}

void prepare_process() {
  // g++ makes paths of strings by the global locale, and strings of paths as UTF-8.
  std::locale::global(std::locale(std::locale(), new std::codecvt_utf8_utf16<wchar_t>));
  ::SetConsoleOutputCP(CP_UTF8);
  for (std::FILE* stream : {stdout, stderr}) {
    const int file = ::_fileno(stream);
    ::_setmode(file, _O_BINARY);
    const auto console = reinterpret_cast<HANDLE>(::_get_osfhandle(file));
    if (DWORD mode = 0; ::GetConsoleMode(console, &mode) != 0)
      ::SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
  }
}

bool is_terminal(std::FILE* stream) { return ::_isatty(::_fileno(stream)) != 0; }

double resident_megabytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  if (::K32GetProcessMemoryInfo(::GetCurrentProcess(), &counters, sizeof counters) == 0) return 0;
  return static_cast<double>(counters.WorkingSetSize) / 1e6;
}

}  // namespace bitdistill

#endif
