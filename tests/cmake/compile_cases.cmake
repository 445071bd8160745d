# Each file of compile/ must compile, or must be refused with a first line that says why. The newest
# clang is asked, too.
#
# Uses `includes` of headers.cmake and NEWEST_CLANG_CXX of clang.cmake.
list(FILTER includes INCLUDE REGEX "tern/(core|isa|quant|pack|kernel|linalg|grad|nn|distill)/")
list(JOIN includes "" includes)
set(generated "${CMAKE_CURRENT_BINARY_DIR}/compile/without_eigen.cpp")
file(CONFIGURE OUTPUT "${generated}" CONTENT
     "// flags: -fno-rtti\n${includes}#ifdef EIGEN_WORLD_VERSION\n#  error Eigen\n#endif\n" @ONLY)
file(GLOB cases CONFIGURE_DEPENDS compile/*/*.cpp)
set(compilers "${CMAKE_CXX_COMPILER}")
if(NEWEST_CLANG_CXX AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND compilers "${NEWEST_CLANG_CXX}")
endif()
set(flags "-I${PROJECT_SOURCE_DIR}/include")
foreach(library Eigen3::Eigen xsimd)  # -idirafter, because one of these folders may be /usr/include
  list(APPEND flags -idirafter
       "$<JOIN:$<TARGET_PROPERTY:${library},INTERFACE_INCLUDE_DIRECTORIES>,;-idirafter;>")
endforeach()
foreach(case IN LISTS cases generated)
  foreach(compiler IN LISTS compilers)
    cmake_path(GET case STEM name)
    cmake_path(GET compiler FILENAME by)
    add_test(NAME compile/${name}/${by}
             COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${compiler}" -D "SOURCE=${case}"
                     -D "FLAGS=${flags}" -P "${CMAKE_CURRENT_SOURCE_DIR}/compile/check.cmake")
  endforeach()
endforeach()
