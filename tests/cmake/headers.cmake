# Each header is compiled alone (and included twice) in a translation unit, and all these units are
# linked into one program: a header is self-contained, guarded, and free of definitions that are not
# inline.
#
# Uses `adapted` of programs.cmake. Sets `includes`: one #include line per header.
find_path(ARMADILLO_HEADERS armadillo)
mark_as_advanced(ARMADILLO_HEADERS)
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/include"
     "${PROJECT_SOURCE_DIR}/include/tern/*.hpp")
if(NOT TARGET OpenMP::OpenMP_CXX)
  list(REMOVE_ITEM headers tern/adapt/openmp.hpp)
endif()
if(NOT TARGET TBB::tbb)
  list(REMOVE_ITEM headers tern/adapt/tbb.hpp)
endif()
if(NOT ARMADILLO_HEADERS)
  list(REMOVE_ITEM headers tern/adapt/armadillo.hpp)
endif()
if(NOT TARGET tern_torch)
  list(REMOVE_ITEM headers tern/adapt/torch.hpp)
endif()
set(units "")
foreach(header IN LISTS headers)
  string(REGEX REPLACE "[/.]" "_" unit "${header}")
  set(unit "${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp")
  file(CONFIGURE OUTPUT "${unit}" CONTENT "#include \"${header}\"\n#include \"${header}\"\n" @ONLY)
  list(APPEND units "${unit}")
endforeach()
# One more unit includes all headers: no two of them give one name two meanings.
list(TRANSFORM headers REPLACE "(.+)" "#include \"\\1\"\n" OUTPUT_VARIABLE includes)
list(JOIN includes "" all)
file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/headers/all.cpp" CONTENT "${all}" @ONLY)
list(APPEND units "${CMAKE_CURRENT_BINARY_DIR}/headers/all.cpp")
add_executable(test_headers headers/main.cxx ${units})
target_link_libraries(test_headers PRIVATE tern::train tern_own_build ${adapted}
                                           $<TARGET_NAME_IF_EXISTS:tern_torch>)
target_compile_options(test_headers PRIVATE -O0 -g0)
add_test(NAME headers COMMAND test_headers)
