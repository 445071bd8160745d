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
#  include <cwchar>
#  include <filesystem>
#  include <locale>

#  include "system.hpp"

// A path is made of a string by this function of g++'s library, which MinGW lets take each byte for
// a character, though the string of a path is UTF-8. The linker puts the function below in its
// place (examples/CMakeLists.txt).
extern "C" std::codecvt_base::result
__wrap__ZNKSt7codecvtIwciE5do_inERiPKcS3_RS3_PwS5_RS5_(  // std::codecvt<wchar_t, char, int>::do_in
    const void*, std::mbstate_t& state, const char* from, const char* end, const char*& next,
    wchar_t* to, wchar_t* to_end, wchar_t*& to_next) {
  return std::codecvt_utf8_utf16<wchar_t>().in(state, from, end, next, to, to_end, to_next);
}

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
