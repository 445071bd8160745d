# Each header is compiled after no other headers than those that it includes (and is included twice),
# and all translation units are linked into one program: a header is self-contained, guarded, and free
# of definitions that are not inline.
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
# Half of the headers share a unit with another one, because parsing them is what costs time: a header
# may follow one that it includes itself, for it then sees no more than what it includes. So each unit
# is a chain, in which each header includes the one before it, and each header is in one chain.
set(followed "")
foreach(header IN LISTS headers)
  set(path "${PROJECT_SOURCE_DIR}/include/${header}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${path}")
  # Conditional includes are indented, so they do not match.
  file(STRINGS "${path}" lines REGEX "^(#include \"tern/|namespace )")
  foreach(line IN LISTS lines)
    if(line MATCHES "^namespace")  # what stands behind this line does not see later includes
      break()
    endif()
    string(REGEX REPLACE ".*\"(.+)\".*" "\\1" included "${line}")
    if(included IN_LIST headers AND NOT included IN_LIST followed)
      set("before_${header}" "${included}")
      list(APPEND followed "${included}")
      break()
    endif()
  endforeach()
endforeach()
set(units "")
foreach(last IN LISTS headers)
  if(last IN_LIST followed)
    continue()
  endif()
  set(chain "")
  set(header "${last}")
  while(header)
    string(PREPEND chain "#include \"${header}\"\n")
    set(header "${before_${header}}")
  endwhile()
  string(REGEX REPLACE "[/.]" "_" unit "${last}")
  set(unit "${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.cpp")
  file(CONFIGURE OUTPUT "${unit}" CONTENT "${chain}${chain}" @ONLY)
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
