# The compiler of the Python package ziglang (scripts/zig.sh), which has the headers and libraries of
# musl and macOS. TERN_ZIG is the program and TERN_ZIG_TARGET the system: x86_64-linux-musl, whose
# programs run on this machine, or aarch64-macos, whose programs are only linked.
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TERN_ZIG TERN_ZIG_TARGET)
string(REGEX MATCH "^[^-]+" CMAKE_SYSTEM_PROCESSOR "${TERN_ZIG_TARGET}")
if(TERN_ZIG_TARGET MATCHES "macos")
  set(CMAKE_SYSTEM_NAME Darwin)
else()
  set(CMAKE_SYSTEM_NAME Linux)
endif()
set(CMAKE_C_COMPILER "${TERN_ZIG}" cc)
set(CMAKE_CXX_COMPILER "${TERN_ZIG}" c++)
foreach(language IN ITEMS C CXX)
  set(CMAKE_${language}_FLAGS_INIT "-target ${TERN_ZIG_TARGET} -fno-sanitize=undefined")
  set(CMAKE_${language}_ARCHIVE_CREATE "\"${TERN_ZIG}\" ar qc <TARGET> <OBJECTS>")
  set(CMAKE_${language}_ARCHIVE_FINISH "\"${TERN_ZIG}\" ranlib <TARGET>")
endforeach()

# What lies in /usr/include is for the C library of this machine.
set(CMAKE_FIND_ROOT_PATH /nonexistent)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
