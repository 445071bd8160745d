# `cmake -D COMPILER=g++ -D INCLUDE=include -P tags.cmake` checks that TERN_ABI differs between all
# sets of flags for which the compiler generates other code. Flags that the compiler does not know
# are left out.
cmake_minimum_required(VERSION 3.25)
set(flag_sets "-O2" "-msse3" "-mssse3" "-msse4.1" "-msse4.2" "-mavx" "-mavx -mfma" "-mavx -mf16c" "-mavx2"
              "-mavx2 -mfma" "-mavx2 -mfma -mbmi2" "-mavx2 -mavxvnni" "-mavx512f" "-mavx512f -mavx512cd"
              "-mavx512f -mavx512bw" "-mavx512f -mavx512dq" "-mavx512f -mavx512vl"
              "-mavx512f -mavx512bw -mavx512vnni" "-mavx512f -mavx512bw -mavx512vbmi"
              "-mavx512f -mavx512bw -mavx512bf16" "-march=x86-64-v3"
              "-march=x86-64-v4")
if(NOT COMPILER MATCHES "clang")  # clang defines no macro for these
  list(APPEND flag_sets "-fassociative-math -fno-signed-zeros -fno-trapping-math" "-freciprocal-math"
                        "-funsafe-math-optimizations" "-frounding-math")
endif()
set(seen "")
foreach(flags IN LISTS flag_sets)
  separate_arguments(arguments UNIX_COMMAND "${flags}")
  execute_process(COMMAND "${COMPILER}" -std=c++20 ${arguments} "-I${INCLUDE}" -include tern/abi.hpp -E -P
                          -x c++ "${CMAKE_CURRENT_LIST_DIR}/tag.txt"
                  OUTPUT_VARIABLE tag RESULT_VARIABLE status ERROR_QUIET)
  if(NOT status EQUAL 0)
    continue()
  endif()
  string(REGEX MATCH "v0[a-zA-Z0-9_]*" tag "${tag}")
  if(DEFINED "flags_${tag}")
    message(SEND_ERROR "'${flags}' and '${flags_${tag}}' have the tag '${tag}'")
  endif()
  set("flags_${tag}" "${flags}")
  list(APPEND seen "${tag}")
endforeach()
list(LENGTH seen count)
if(count LESS 10)
  message(FATAL_ERROR "only ${count} sets of flags could be compared")
endif()
message(STATUS "${seen}")
