# Flags of a stranger's project: results stay right where the compiler may reorder sums, replace
# divisions or ignore NaN (-ffinite-math-only is refused, see compile/refused); units of different
# flags share no function; all headers are clean of warnings that we do not use ourselves, and compile
# with libc++.
#
# Uses `headers` of headers.cmake, `compilers` and `flags` of compile_cases.cmake, tern_skipped_test of
# programs.cmake and CLANG_CXX of clang.cmake.

# arithmetic_test(compiler name options...) compiles arithmetic/main.cxx with these options.
function(arithmetic_test compiler name)
  cmake_path(GET compiler FILENAME by)
  set(program "${CMAKE_CURRENT_BINARY_DIR}/arithmetic/${name}_${by}")
  add_test(NAME arithmetic/${name}/${by}
           COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${compiler}" -D "PROGRAM=${program}"
                   -D "SOURCE=${CMAKE_CURRENT_SOURCE_DIR}/arithmetic/main.cxx"
                   -D "FLAGS=-O2;${ARGN};${flags}"
                   -P "${CMAKE_CURRENT_SOURCE_DIR}/arithmetic/check.cmake")
endfunction()
foreach(compiler IN LISTS compilers)
  cmake_path(GET compiler FILENAME by)
  arithmetic_test("${compiler}" unsafe -funsafe-math-optimizations)
  arithmetic_test("${compiler}" fast -ffast-math -fno-finite-math-only)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_test(NAME odr/tags/${by}
             COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${compiler}"
                     -D "INCLUDE=${PROJECT_SOURCE_DIR}/include"
                     -P "${CMAKE_CURRENT_SOURCE_DIR}/odr/tags.cmake")
    add_test(NAME odr/shared/${by}
             COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${compiler}" -D "NM=${CMAKE_NM}"
                     -D "WORK=${CMAKE_CURRENT_BINARY_DIR}/odr/${by}" -D "FLAGS=${flags}"
                     -P "${CMAKE_CURRENT_SOURCE_DIR}/odr/shared.cmake")
  endif()
endforeach()

# All headers but the adapters of libraries that do not keep to these warnings.
set(plain_headers ${headers})
list(FILTER plain_headers EXCLUDE REGEX "adapt/(armadillo|openmp|tbb|torch|xtensor)")
list(TRANSFORM plain_headers REPLACE "(.+)" "#include \"\\1\"\n" OUTPUT_VARIABLE lines)
list(JOIN lines "" lines)
set(all_headers "${CMAKE_CURRENT_BINARY_DIR}/headers/plain.cpp")
file(CONFIGURE OUTPUT "${all_headers}" CONTENT "${lines}" @ONLY)
set(all_includes "-I${PROJECT_SOURCE_DIR}/include")
foreach(target Eigen3::Eigen xsimd nlohmann_json::nlohmann_json PCRE2::8BIT utf8proc MPI::MPI_CXX)
  if(TARGET ${target})
    list(APPEND all_includes -idirafter
         "$<JOIN:$<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>,;-idirafter;>")
  endif()
endforeach()
add_test(NAME headers/strict_warnings
         COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${CMAKE_CXX_COMPILER}" -D "SOURCE=${all_headers}"
                 -D "FLAGS=-Wdouble-promotion;-Wsign-conversion;${all_includes}"
                 -P "${CMAKE_CURRENT_SOURCE_DIR}/compile/check.cmake")
if(NOT CLANG_CXX)
  return()
endif()
execute_process(COMMAND "${CLANG_CXX}" -stdlib=libc++ -std=c++20 -fsyntax-only -include version -x c++
                        /dev/null
                RESULT_VARIABLE status ERROR_QUIET)
if(status EQUAL 0)
  add_test(NAME headers/libcxx
           COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${CLANG_CXX}" -D "SOURCE=${all_headers}"
                   -D "FLAGS=-stdlib=libc++;${all_includes}"
                   -P "${CMAKE_CURRENT_SOURCE_DIR}/compile/check.cmake")
else()
  tern_skipped_test(headers/libcxx "libc++ (package libc++-16-dev) is missing")
endif()
