# These programs are compiled without any -m flag, as strangers compile. Instructions of newer CPUs
# stay inside the vector kernels; emulated older CPUs choose the level they should and meet no
# instruction they lack.
#
# Uses tern_test_main and tern_skipped_test of programs.cmake.
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" OR CMAKE_CXX_FLAGS MATCHES "-fsanitize|(^| )-m")
  return()
endif()
add_executable(test_baseline baseline/main.cxx)
target_link_libraries(test_baseline PRIVATE tern::tern)
add_test(NAME baseline/portable_gemm COMMAND test_baseline_kernel "[gemm]")
add_test(NAME baseline/no_avx COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/baseline/no_avx.sh"
                                      "${CMAKE_OBJDUMP}" "$<TARGET_FILE:test_baseline>")

file(GLOB sources CONFIGURE_DEPENDS core/simd.cpp isa/*.cpp quant/*.cpp kernel/*.cpp linalg/gemm.cpp)
add_executable(test_baseline_kernel ${sources})
tern_unite(test_baseline_kernel ${sources})
target_link_libraries(test_baseline_kernel PRIVATE tern_test_main)
target_include_directories(test_baseline_kernel PRIVATE "${PROJECT_SOURCE_DIR}")
target_compile_options(test_baseline_kernel PRIVATE -O2)

find_program(QEMU_X86_64 qemu-x86_64)
mark_as_advanced(QEMU_X86_64)
foreach(cpu_level IN ITEMS core2duo:scalar Nehalem:sse41 SandyBridge:sse41 Haswell:avx2)
  string(REGEX MATCH "(.*):(.*)" cpu_level "${cpu_level}")
  set(test baseline/${CMAKE_MATCH_1})
  if(NOT QEMU_X86_64)
    tern_skipped_test(${test} "qemu-x86_64 (package qemu-user) is missing")
    continue()
  endif()
  # The longest cases are left out, because emulation is at least ten times slower.
  add_test(NAME ${test} COMMAND "${QEMU_X86_64}" -cpu ${CMAKE_MATCH_1}
                                "$<TARGET_FILE:test_baseline_kernel>"
                                "~[gemm]~*around the line sizes*")
  add_test(NAME ${test}/gemm COMMAND "${QEMU_X86_64}" -cpu ${CMAKE_MATCH_1}
                                     "$<TARGET_FILE:test_baseline>")
  set_tests_properties(${test} ${test}/gemm PROPERTIES
                       ENVIRONMENT "TERN_ISA=;TERN_TEST_LEVEL=${CMAKE_MATCH_2}")
endforeach()
