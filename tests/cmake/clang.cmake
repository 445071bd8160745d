# Some test programs are built and run with clang, too: the oldest supported release and the newest
# that is installed. Those that use most of the standard library are also built with libc++, which is
# macOS's.
#
# Uses tern_skipped_test of programs.cmake. Sets NEWEST_CLANG_CXX.

# clang_tests(name compiler PROGRAMS program... [OPTIONS option...]) builds these test programs with that
# compiler and options of CMake, and runs them.
function(clang_tests name compiler)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "PROGRAMS;OPTIONS")
  set(build "${CMAKE_CURRENT_BINARY_DIR}/${name}")
  list(TRANSFORM arg_PROGRAMS PREPEND "--build-target;test_" OUTPUT_VARIABLE targets)
  add_test(NAME ${name}/build
           COMMAND "${CMAKE_CTEST_COMMAND}"
             --build-and-test "${PROJECT_SOURCE_DIR}" "${build}" --build-noclean ${targets}
             --build-generator "${CMAKE_GENERATOR}"
             --build-options "-DCMAKE_CXX_COMPILER=${compiler}" -DCMAKE_BUILD_TYPE=Release
                             "-DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}"
                             -DTERN_BUILD_EXAMPLES=OFF -DTERN_BUILD_BENCHMARKS=OFF -DTERN_UNITE=ON
                             ${arg_OPTIONS})
  set_tests_properties(${name}/build PROPERTIES FIXTURES_SETUP ${name})
  foreach(program IN LISTS arg_PROGRAMS)
    add_test(NAME ${name}/${program} COMMAND "${build}/bin/test_${program}")
    set_tests_properties(${name}/${program} PROPERTIES FIXTURES_REQUIRED ${name})
  endforeach()
endfunction()

find_program(CLANG_CXX clang++-16)
find_program(NEWEST_CLANG_CXX NAMES clang++-21 clang++-20 clang++-19 clang++-18 clang++-17 clang++-16)
mark_as_advanced(CLANG_CXX NEWEST_CLANG_CXX)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  # Here all test programs are built with clang, or a sanitizer is the purpose of the build.
elseif(CLANG_CXX)
  clang_tests(clang "${CLANG_CXX}" PROGRAMS isa quant pack kernel linalg)
  if(NOT NEWEST_CLANG_CXX STREQUAL CLANG_CXX)
    clang_tests(newest_clang "${NEWEST_CLANG_CXX}" PROGRAMS quant kernel distill)
  endif()
  execute_process(COMMAND "${CLANG_CXX}" -stdlib=libc++ -std=c++20 -fsyntax-only -include version -x c++
                          /dev/null
                  RESULT_VARIABLE libcxx_status ERROR_QUIET)
  if(libcxx_status EQUAL 0)
    # Optimised code is the same as with the other library.
    clang_tests(libcxx "${CLANG_CXX}" PROGRAMS core json metric text io gguf data train checkpoint recipe
                OPTIONS -DCMAKE_CXX_FLAGS=-stdlib=libc++ -DCMAKE_BUILD_TYPE=Debug
                        -DCMAKE_CXX_FLAGS_DEBUG=-O0)
  else()
    tern_skipped_test(libcxx "libc++ (package libc++-16-dev) is missing")
  endif()
else()
  tern_skipped_test(clang "clang++-16 (package clang-16) is missing")
endif()
