# The kernels are cross-compiled for AArch64, then run on an emulated CPU with dot products and on one
# without.
#
# Uses tern_skipped_test of programs.cmake.
find_program(AARCH64_CXX aarch64-linux-gnu-g++)
find_program(QEMU_AARCH64 qemu-aarch64)
find_path(CATCH2_V2_HEADERS catch2/catch.hpp)  # version 3 is a library of this machine
find_path(XSIMD_HEADERS xsimd/xsimd.hpp)
find_path(EIGEN_HEADERS Eigen/Core PATH_SUFFIXES eigen3)
mark_as_advanced(AARCH64_CXX QEMU_AARCH64 CATCH2_V2_HEADERS XSIMD_HEADERS EIGEN_HEADERS)
if(NOT (AARCH64_CXX AND QEMU_AARCH64 AND CATCH2_V2_HEADERS AND XSIMD_HEADERS AND EIGEN_HEADERS))
  tern_skipped_test(aarch64
    "AArch64 needs g++-aarch64-linux-gnu, qemu-user, Eigen, xsimd and Catch2 version 2")
  return()
endif()
set(build "${CMAKE_CURRENT_BINARY_DIR}/aarch64")
add_test(NAME aarch64/build
         COMMAND "${CMAKE_CTEST_COMMAND}"
           --build-and-test "${CMAKE_CURRENT_SOURCE_DIR}/aarch64" "${build}"
           --build-generator "${CMAKE_GENERATOR}"
           --build-options -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64
                           "-DCMAKE_CXX_COMPILER=${AARCH64_CXX}"
                           "-DCMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}"
                           "-DCATCH2=${CATCH2_V2_HEADERS}" "-DXSIMD=${XSIMD_HEADERS}"
                           "-DEIGEN=${EIGEN_HEADERS}")
set_tests_properties(aarch64/build PROPERTIES FIXTURES_SETUP aarch64)
foreach(cpu_level IN ITEMS max:neon_dotprod cortex-a53:neon)
  string(REGEX MATCH "(.*):(.*)" cpu_level "${cpu_level}")
  set(test aarch64/${CMAKE_MATCH_1})
  add_test(NAME ${test} COMMAND "${QEMU_AARCH64}" -cpu ${CMAKE_MATCH_1} "${build}/test_aarch64")
  set_tests_properties(${test} PROPERTIES FIXTURES_REQUIRED aarch64
                       ENVIRONMENT "TERN_ISA=;TERN_TEST_LEVEL=${CMAKE_MATCH_2}")
endforeach()
