# Includes point down, and each folder includes only what its CMake target links. The check itself is
# tested on the headers of floors/bad, which break its rules; reports come in the order of their paths.
add_test(NAME floors COMMAND "${CMAKE_COMMAND}" -D "ROOT=${PROJECT_SOURCE_DIR}/include/tern"
                             -P "${CMAKE_CURRENT_SOURCE_DIR}/floors/check.cmake")
add_test(NAME floors/reports COMMAND "${CMAKE_COMMAND}"
                                     -D "ROOT=${CMAKE_CURRENT_SOURCE_DIR}/floors/bad"
                                     -P "${CMAKE_CURRENT_SOURCE_DIR}/floors/check.cmake")
string(JOIN ".*" reports
  "adapt/ may include core/ only"
  "folder attic/ has no floor"
  "Eigen may be included by"
  "grad/ on floor 3: not below"
  "nn/ on floor 4: not below"
  "nn/ belongs to tern::tern, which does not link tern::io"
  "write it from the root"
  "kernel/through_eigen.hpp.*must compile without Eigen")
set_tests_properties(floors/reports PROPERTIES PASS_REGULAR_EXPRESSION "${reports}")
