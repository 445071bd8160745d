# The tests of core/ and of the kernels run under the sanitizers in every build.
#
# Uses tern_test_main of programs.cmake.
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize")  # all tests are under a sanitizer already
  return()
endif()
file(GLOB core_tests CONFIGURE_DEPENDS core/*.cpp)
file(GLOB kernel_tests CONFIGURE_DEPENDS isa/*.cpp quant/*.cpp pack/*.cpp kernel/*.cpp linalg/gemm.cpp)

# tern_sanitized_test(name sanitizers cases sources...) runs those Catch2 cases under the sanitizers.
function(tern_sanitized_test name sanitizers cases)
  add_executable(test_${name} ${ARGN})
  tern_unite(test_${name} ${ARGN})
  target_link_libraries(test_${name} PRIVATE tern_test_main tern_own_build)
  target_include_directories(test_${name} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_compile_options(test_${name} PRIVATE -O1 -g1 -fsanitize=${sanitizers}
                                              -fno-sanitize-recover=all)
  target_link_options(test_${name} PRIVATE -fsanitize=${sanitizers})
  add_test(NAME sanitized/${name} COMMAND test_${name} "${cases}")
endfunction()

tern_sanitized_test(asan_ubsan address,undefined "*" ${core_tests} ${kernel_tests})
# The longest cases are left out: they use one thread only, so this sanitizer has nothing to find there.
set(threaded "")
foreach(case IN ITEMS "*around the line sizes*" "*plain loops*" "extreme *" "*over several chunks*"
                      "*sums each group*" "*wider codes*" "no sum overflows*")
  string(APPEND threaded "~\"${case}\"")
endforeach()
tern_sanitized_test(tsan thread "${threaded}"
                    core/executor.cpp ${kernel_tests})
