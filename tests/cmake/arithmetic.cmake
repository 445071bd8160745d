# Flags that let compilers reorder sums, replace divisions or ignore NaN do not change results beyond
# rounding. -ffinite-math-only is refused (compile/refused).
#
# Uses `flags`, the include folders of compile_cases.cmake, and NEWEST_CLANG_CXX of clang.cmake.
set(include_flags "${flags}")
# arithmetic_test(compiler name options...) compiles arithmetic/main.cxx with these options.
function(arithmetic_test compiler name)
  cmake_path(GET compiler FILENAME by)
  set(program "${CMAKE_CURRENT_BINARY_DIR}/arithmetic/${name}_${by}")
  add_test(NAME arithmetic/${name}/${by}
           COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${compiler}" -D "PROGRAM=${program}"
                   -D "SOURCE=${CMAKE_CURRENT_SOURCE_DIR}/arithmetic/main.cxx"
                   -D "FLAGS=-O2;${ARGN};${include_flags}"
                   -P "${CMAKE_CURRENT_SOURCE_DIR}/arithmetic/check.cmake")
endfunction()
foreach(compiler IN LISTS compilers)
  arithmetic_test("${compiler}" unsafe -funsafe-math-optimizations)
  arithmetic_test("${compiler}" fast -ffast-math -fno-finite-math-only)
  if(compiler MATCHES "clang")
    arithmetic_test("${compiler}" no_nans -ffast-math -fno-finite-math-only -fno-honor-nans)
  endif()
endforeach()
