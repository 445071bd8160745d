# A stranger's project takes the library as one header, as a subdirectory, by FetchContent, installed
# with find_package, and installed with pkg-config.
#
# Uses tern_skipped_test of programs.cmake.

# The core in one file is enough for a stranger's program.
file(GLOB_RECURSE core_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/tern/*")
set(single_header "${CMAKE_CURRENT_BINARY_DIR}/single_include/tern/tern.hpp")
add_custom_command(OUTPUT "${single_header}"
                   COMMAND "${CMAKE_COMMAND}" -P "${PROJECT_SOURCE_DIR}/cmake/amalgamate.cmake"
                           "${single_header}"
                   DEPENDS ${core_headers} "${PROJECT_SOURCE_DIR}/cmake/amalgamate.cmake")
add_executable(test_single_header consume/single_header.cpp "${single_header}")
target_compile_features(test_single_header PRIVATE cxx_std_20)
target_include_directories(test_single_header PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/single_include")
target_link_libraries(test_single_header PRIVATE Eigen3::Eigen xsimd Threads::Threads)
target_compile_options(test_single_header PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                                  -Werror -O0)
add_test(NAME consume/single_header COMMAND test_single_header)

# The packages of the optional parts are hidden from the project that asks for none of these parts.
set(prefix "${CMAKE_CURRENT_BINARY_DIR}/consume/prefix")
add_test(NAME consume/install
         COMMAND "${CMAKE_COMMAND}" --install "${PROJECT_BINARY_DIR}" --prefix "${prefix}")
set_tests_properties(consume/install PROPERTIES FIXTURES_SETUP installed)
set(hidden "")
foreach(package nlohmann_json ZLIB PCRE2 utf8proc fmt CLI11 Catch2 benchmark)
  list(APPEND hidden -DCMAKE_DISABLE_FIND_PACKAGE_${package}=ON)
endforeach()
# consume_test(name source program options...) builds the project in `source` and runs `program`.
function(consume_test name source program)
  add_test(NAME consume/${name}
           COMMAND "${CMAKE_CTEST_COMMAND}"
             --build-and-test "${source}" "${CMAKE_CURRENT_BINARY_DIR}/consume/${name}"
             --build-generator "${CMAKE_GENERATOR}"
             --build-options "-DTERN_SOURCE=${PROJECT_SOURCE_DIR}" -DCMAKE_BUILD_TYPE=Debug
                             "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}" ${ARGN}
             --test-command ${program})
endfunction()
set(stranger "${CMAKE_CURRENT_SOURCE_DIR}/consume")
consume_test(add_subdirectory "${stranger}" program/consumer -DHOW=add_subdirectory ${hidden})
consume_test(fetch_content "${stranger}" program/consumer -DHOW=fetch_content)
foreach(how find_package pkg_config)
  consume_test(${how} "${stranger}" program/consumer -DHOW=${how} "-DCMAKE_PREFIX_PATH=${prefix}")
  set_tests_properties(consume/${how} PROPERTIES FIXTURES_REQUIRED installed)
endforeach()

consume_test(parts "${stranger}" program/parts -DHOW=add_subdirectory -DTERN_COMPONENTS=train
             -DCMAKE_BUILD_TYPE=Release)
add_test(NAME consume/core_only
         COMMAND "${CMAKE_COMMAND}" -D "SOURCE=${PROJECT_SOURCE_DIR}" -D "COMPILER=${CMAKE_CXX_COMPILER}"
                 -D "WORK=${CMAKE_CURRENT_BINARY_DIR}/consume/core_only" -D "GENERATOR=${CMAKE_GENERATOR}"
                 -P "${stranger}/core_only.cmake")

add_test(NAME consume/build_testing_off
         COMMAND "${CMAKE_COMMAND}" -D "SOURCE=${PROJECT_SOURCE_DIR}" -D "COMPILER=${CMAKE_CXX_COMPILER}"
                 -D "WORK=${CMAKE_CURRENT_BINARY_DIR}/consume/build_testing_off"
                 -D "GENERATOR=${CMAKE_GENERATOR}" -P "${stranger}/build_testing_off.cmake")

# A part whose package is missing says what to install.
consume_test(missing_package "${stranger}" program/consumer -DHOW=add_subdirectory -DTERN_COMPONENTS=io
             ${hidden})
set_tests_properties(consume/missing_package PROPERTIES PASS_REGULAR_EXPRESSION
  "tern needs nlohmann_json 3.11 or newer. +Install it .apt:[ \n]+nlohmann-json3-dev;")

# The library also builds with newer releases of its packages than this machine has.
set(newer "${PROJECT_SOURCE_DIR}/build/newer")
if(EXISTS "${newer}/usr")
  consume_test(newer "${stranger}/newer" newer "-DNEWER=${newer}")
else()
  tern_skipped_test(consume/newer
    "newer releases of packages are not in build/newer; scripts/newer_packages.sh gets them")
endif()
