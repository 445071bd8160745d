# How tern's own tests, examples and benchmarks are compiled. Projects that use tern get nothing of
# this.
include(CheckCXXSourceRuns)

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

find_program(CCACHE ccache)
mark_as_advanced(CCACHE)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
endif()

# g++ collects its garbage from 128 MB on at the latest, which takes up to a fifth of its time here.
add_compile_options("$<$<CXX_COMPILER_ID:GNU>:SHELL:--param ggc-min-heapsize=524288>")

add_library(tern_own_build INTERFACE)
target_compile_options(tern_own_build INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                                -Werror)
# g++ 12 warns of an overlap in `"text" + string` that does not exist (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(tern_own_build INTERFACE -Wno-restrict)
endif()

# For programs that instantiate the library: none of its functions takes more than 16 KB of stack. A
# build without optimisation or with a sanitizer gives variables more room.
add_library(tern_small_frames INTERFACE)
target_compile_options(tern_small_frames INTERFACE $<$<CONFIG:Release>:-Wframe-larger-than=16384>)

# x86-64-v3 is preferred to native, since the results in docs/ are measured with it.
if(TERN_NATIVE AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT CMAKE_CROSSCOMPILING)
  check_cxx_source_runs("
    int main() {
      return !(__builtin_cpu_supports(\"avx2\") && __builtin_cpu_supports(\"fma\") &&
               __builtin_cpu_supports(\"bmi2\"));
    }" TERN_RUNS_X86_64_V3)
  target_compile_options(tern_own_build INTERFACE
                         -march=$<IF:$<BOOL:${TERN_RUNS_X86_64_V3}>,x86-64-v3,native>)
endif()

# tern_unite(target sources...) compiles these sources of the target as one unit if TERN_UNITE is
# on. They instantiate the same templates, so this takes a third of the time. It is off by default,
# because an edit of one source then compiles all of them again.
function(tern_unite target)
  if(TERN_UNITE)
    set_source_files_properties(${ARGN} PROPERTIES UNITY_GROUP united)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  endif()
endfunction()

# By measurement this saves about 4 s for each scalar type in each unit that multiplies matrices.
add_library(tern_instances STATIC "${CMAKE_CURRENT_LIST_DIR}/instances.cpp")
target_link_libraries(tern_instances PRIVATE tern tern_own_build tern_small_frames)
target_compile_definitions(tern_instances PUBLIC TERN_EXTERN_GEMM)

# Finds libtorch for the test of its adapter and for an example. This is a function, because
# libtorch's package sets many variables. libtorch is not built for sanitizers, and clang refuses
# the headers of version 1 as C++20.
function(tern_find_torch)
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    return()
  endif()
  set(CMAKE_MESSAGE_LOG_LEVEL ERROR)
  find_package(Torch QUIET)
  if(Torch_FOUND AND NOT (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND Torch_VERSION VERSION_LESS 2))
    add_library(tern_torch INTERFACE IMPORTED GLOBAL)
    target_link_libraries(tern_torch INTERFACE ${TORCH_LIBRARIES})
    target_include_directories(tern_torch INTERFACE ${TORCH_INCLUDE_DIRS})
  endif()
endfunction()
tern_find_torch()
