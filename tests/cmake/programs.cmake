# One Catch2 program per folder, linked with what that folder may use. Each source file becomes one
# CTest test (Catch2's -# makes the file name a tag), so that tests run in parallel and are named after
# what they test.
#
# Sets for later files: `adapted` (optional libraries that adapters need). Defines tern_test and
# tern_skipped_test.
tern_require(Catch2)

# This object is also linked into programs for older CPUs, so it does not get the flags of our own
# builds.
add_library(tern_test_main OBJECT main.cpp)
target_link_libraries(tern_test_main PUBLIC tern::tern Catch2::Catch2)
target_compile_options(tern_test_main PRIVATE $<$<CONFIG:Release>:-O1>)

# The targets of folders that need more than tern::tern.
set(uses_json io)
set(uses_io io)
set(uses_gguf io)
set(uses_text text)
set(uses_data train)
set(uses_model train)  # models are compared with what other programs compute from files
set(uses_calibrate train)
set(uses_train train)
set(uses_infer train)
set(uses_checkpoint train)
set(uses_recipe train)
set(uses_metric train)
set(uses_bitdistill train)
set(uses_serve train)

# tern_test(name sources...) adds the program test_<name> and its tests <name>/<file>.
function(tern_test name)
  add_executable(test_${name} ${ARGN})
  list(TRANSFORM uses_${name} PREPEND tern:: OUTPUT_VARIABLE components)
  target_link_libraries(test_${name} PRIVATE tern_test_main tern_own_build tern_instances ${components})
  target_include_directories(test_${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_compile_options(test_${name} PRIVATE $<$<CONFIG:Release>:-O2>)  # compiles faster than -O3
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM LAST_ONLY file)
    # The compiler may have been given relative paths of the sources (by ccache): as it saw them.
    add_test(NAME ${name}/${file} COMMAND test_${name} "-#" "[#${file}]"
             WORKING_DIRECTORY "${PROJECT_BINARY_DIR}")
    # Catch2 v2 ends with status 0 where no test case matches.
    set_tests_properties(${name}/${file} PROPERTIES
                         FAIL_REGULAR_EXPRESSION "No test cases matched|No tests ran" TIMEOUT 600)
  endforeach()
endfunction()

# tern_skipped_test(name reason) adds a test that CTest reports as skipped for that reason.
function(tern_skipped_test name reason)
  add_test(NAME ${name} COMMAND "${CMAKE_COMMAND}" -E echo "skipped: ${reason}")
  set_tests_properties(${name} PROPERTIES SKIP_REGULAR_EXPRESSION "skipped:")
endfunction()

# Adapters are for these libraries; tern itself does not need them.
find_package(OpenMP QUIET COMPONENTS CXX)
find_package(TBB QUIET)
set(adapted $<TARGET_NAME_IF_EXISTS:OpenMP::OpenMP_CXX> $<TARGET_NAME_IF_EXISTS:TBB::tbb>)

file(GLOB folders CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" */*.cpp)
list(TRANSFORM folders REPLACE "/.*" "")
list(REMOVE_DUPLICATES folders)
list(REMOVE_ITEM folders odr fuzz consume compile other_systems)  # fuzz/ and other_systems/ are other builds
if(NOT TARGET bitdistill)
  list(REMOVE_ITEM folders bitdistill serve)
endif()
foreach(folder IN LISTS folders)
  file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "/adapt/torch.cpp$")
  tern_test(${folder} ${sources})
  tern_unite(test_${folder} ${sources})
endforeach()

target_link_libraries(test_linalg PRIVATE tern_small_frames)
target_link_libraries(test_adapt PRIVATE ${adapted})

if(TARGET tern_torch)
  tern_test(torch adapt/torch.cpp)
  target_link_libraries(test_torch PRIVATE tern_torch)
else()
  tern_skipped_test(torch "libtorch (package libtorch-dev) is missing or does not suit this build")
endif()

# The tests of serve/ are linked with the parts of the program that they test.
if(TARGET test_serve)
  set(program "${PROJECT_SOURCE_DIR}/examples/bitdistill")
  target_sources(test_serve PRIVATE "${program}/serve/fields.cpp" "${program}/serve/requests.cpp")
  target_include_directories(test_serve PRIVATE "${program}")
  target_link_libraries(test_serve PRIVATE fmt::fmt-header-only)
endif()

# The tests of bitdistill/ run the trainer program as a child process and preload faults into it.
if(TARGET test_bitdistill)
  add_library(test_faults MODULE bitdistill/faults/faults.cpp)
  target_link_libraries(test_faults PRIVATE tern_own_build)
  add_dependencies(test_bitdistill bitdistill test_faults)
  set(launcher "")  # of ranks; empty where there is none, or the program was built without MPI
  if(TARGET tern_mpi AND MPIEXEC_EXECUTABLE)
    set(launcher "${MPIEXEC_EXECUTABLE}")
  endif()
  target_compile_definitions(test_bitdistill PRIVATE
    "BITDISTILL_PROGRAM=\"$<TARGET_FILE:bitdistill>\""
    "BITDISTILL_FAULTS=\"$<TARGET_FILE:test_faults>\""
    "BITDISTILL_MPIEXEC=\"${launcher}\""
    "BITDISTILL_SLOW_LINK=\"${PROJECT_SOURCE_DIR}/scripts/slow_link.py\"")
endif()
