# Other machines than the one that builds: a program of selected tests is compiled for each of them
# without any CMake package, and run on an emulated CPU, or directly where this machine runs it.
#
# Uses tern_skipped_test of programs.cmake and `all_headers` of compiler_flags.cmake.
find_program(TERN_ZIG zig HINTS "${PROJECT_SOURCE_DIR}/build/zig/ziglang")
mark_as_advanced(TERN_ZIG)

# The headers of packages are linked one by one, as what lies beside them is for this machine.
set(machines "${CMAKE_CURRENT_BINARY_DIR}/machines")
set(packages "${machines}/packages")
file(MAKE_DIRECTORY "${packages}")
set(packages_found TRUE)
# Catch2 is version 2, since version 3 is a library of this machine.
foreach(header catch2/catch.hpp xsimd/xsimd.hpp Eigen/Core nlohmann/json.hpp zlib.h zconf.h pcre2.h
               utf8proc.h)
  string(MAKE_C_IDENTIFIER "MACHINES_${header}" variable)
  find_path(${variable} ${header} PATH_SUFFIXES eigen3)
  mark_as_advanced(${variable})
  if(${variable})
    string(REGEX REPLACE "/.*" "" top "${header}")
    file(CREATE_LINK "${${variable}}/${top}" "${packages}/${top}" SYMBOLIC)
  else()
    set(packages_found FALSE)
  endif()
endforeach()

# tern_machine(name COMPILER program [argument...] SOURCES test... [FLAGS flag...] [MAIN_FLAGS flag...]
#              [CASES case...] [RUNS run...]) builds tests (relative to this folder, with wildcards) for a machine as
# the test machines/<name>/build, and runs the named Catch2 cases. A run is `name:level:command`: the
# level that the CPU must be found to have, and the words before the program. Without runs, the program
# is only built.
function(tern_machine name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "COMPILER;FLAGS;MAIN_FLAGS;SOURCES;CASES;RUNS")
  list(POP_FRONT arg_COMPILER compiler)
  string(MAKE_C_IDENTIFIER "MACHINE_${compiler}" variable)
  find_program(${variable} "${compiler}")
  mark_as_advanced(${variable})
  if(NOT ${variable} OR NOT packages_found)
    tern_skipped_test(machines/${name}
      "the machine ${name} needs ${compiler}, all packages of tern, and Catch2 version 2")
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${arg_SOURCES})
  set(program "${machines}/${name}/tests")
  add_test(NAME machines/${name}/build
           COMMAND "${CMAKE_COMMAND}" -D "PROGRAM=${program}" -D "MAIN=${CMAKE_CURRENT_SOURCE_DIR}/main.cpp"
                   -D "COMPILER=${CMAKE_CXX_COMPILER_LAUNCHER};${${variable}};${arg_COMPILER}"
                   -D "FLAGS=${arg_FLAGS};-I${PROJECT_SOURCE_DIR}/include;-I${PROJECT_SOURCE_DIR};-isystem;${packages}"
                   -D "MAIN_FLAGS=${arg_MAIN_FLAGS}" -D "SOURCES=${sources}" -P "${CMAKE_CURRENT_SOURCE_DIR}/machines/build.cmake")
  set_tests_properties(machines/${name}/build PROPERTIES FIXTURES_SETUP machine_${name} TIMEOUT 1200)
  foreach(run IN LISTS arg_RUNS)
    string(REGEX MATCH "(.*):(.*):(.*)" run "${run}")
    set(test machines/${name}/${CMAKE_MATCH_1})
    set(level "${CMAKE_MATCH_2}")
    separate_arguments(command UNIX_COMMAND "${CMAKE_MATCH_3}")
    if(command)
      list(GET command 0 emulator)
      string(MAKE_C_IDENTIFIER "MACHINE_${emulator}" variable)
      find_program(${variable} "${emulator}")
      mark_as_advanced(${variable})
      if(NOT ${variable})
        tern_skipped_test(${test} "the machine ${name} needs ${emulator} (package qemu-user)")
        continue()
      endif()
    endif()
    add_test(NAME ${test} COMMAND ${command} "${program}" ${arg_CASES})
    set_tests_properties(${test} PROPERTIES FIXTURES_REQUIRED machine_${name} TIMEOUT 1200
                         ENVIRONMENT "TERN_ISA=")
    if(level)
      set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT "TERN_TEST_LEVEL=${level}")
    endif()
  endforeach()
endfunction()

# The kernels and the floors below them.
set(kernels isa/*.cpp quant/*.cpp pack/*.cpp kernel/*.cpp linalg/gemm.cpp)
tern_machine(aarch64 COMPILER aarch64-linux-gnu-g++ FLAGS -O2 -static SOURCES ${kernels}
             RUNS "max:neon_dotprod:qemu-aarch64 -cpu max" "cortex-a53:neon:qemu-aarch64 -cpu cortex-a53")

# Machines without kernels of their own, and x86 of 32 bits. The longest cases are left out, because
# emulation is at least ten times slower.
set(portable core/byte_order.cpp core/random.cpp core/simd.cpp ${kernels})
set(short "~*around the line sizes*" "~*plain loops*" "~no sum overflows*" "~every f16*"
          "~f16 rounds to nearest*" "~*every shape around*")
tern_machine(riscv64 COMPILER riscv64-linux-gnu-g++ FLAGS -O1 -static SOURCES ${portable} CASES ${short}
             RUNS qemu:scalar:qemu-riscv64)
tern_machine(ppc64le COMPILER powerpc64le-linux-gnu-g++ FLAGS -O1 -static SOURCES ${portable} CASES ${short}
             RUNS qemu:scalar:qemu-ppc64le)
tern_machine(armhf COMPILER arm-linux-gnueabihf-g++ FLAGS -O1 -static -Wno-psabi SOURCES ${portable}
             CASES ${short} RUNS qemu:scalar:qemu-arm)
tern_machine(i686 COMPILER i686-linux-gnu-g++ FLAGS -O1 -static -msse2 -mfpmath=sse SOURCES ${portable}
             CASES ${short} RUNS "max:avx2:qemu-i386 -cpu max" "core2duo:scalar:qemu-i386 -cpu core2duo")
# Big-endian: packed layouts and products are right, and files are refused.
set(stored_nowhere ${portable})
list(TRANSFORM stored_nowhere REPLACE "^pack/.*" "pack/packed_matrix.cpp;pack/ternary_weights.cpp")
tern_machine(s390x COMPILER s390x-linux-gnu-g++ FLAGS -O1 -static
             SOURCES ${stored_nowhere} machines/big_endian.cxx CASES ${short}
             RUNS qemu:scalar:qemu-s390x)

# x87 rounds to a width of its own, so that arithmetic without SSE2 is refused.
find_program(MACHINE_i686_linux_gnu_g__ i686-linux-gnu-g++)
if(MACHINE_i686_linux_gnu_g__)
  add_test(NAME machines/i686/x87
           COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${MACHINE_i686_linux_gnu_g__}"
                   -D "SOURCE=${CMAKE_CURRENT_SOURCE_DIR}/machines/x87.cxx"
                   -D "FLAGS=-I${PROJECT_SOURCE_DIR}/include"
                   -P "${CMAKE_CURRENT_SOURCE_DIR}/compile/check.cmake")
endif()

# The Python package ziglang has the headers and libraries of macOS. The program is only linked. Catch2
# needs two macros there. tests/other_systems/ builds more for macOS on AArch64.
if(TERN_ZIG)
  tern_machine(macos_x86_64
    COMPILER "${TERN_ZIG}" c++ -fno-sanitize=undefined -target x86_64-macos FLAGS -O0
    MAIN_FLAGS -include cfloat "-DINFINITY=__builtin_inff()" SOURCES core/*.cpp isa/*.cpp)
else()
  tern_skipped_test(machines/macos_x86_64 "macOS needs zig (scripts/zig.sh)")
endif()
