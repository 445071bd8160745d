# Other people's programs read our files and compute our values. scripts/interop.sh installs them; without
# that, the first Python that CMake finds may have the packages. A test whose package is missing is skipped.
#
# Uses tern_skipped_test of programs.cmake, CLANG_CXX of clang.cmake and `flags` of compile_cases.cmake.
set(python "${PROJECT_SOURCE_DIR}/build/interop/python/bin/python")
if(NOT EXISTS "${python}")
  find_package(Python3 QUIET COMPONENTS Interpreter)
  set(python "${Python3_EXECUTABLE}")
endif()

# python_test(name timeout script arguments...)
function(python_test name timeout script)
  if(NOT python)
    tern_skipped_test(${name} "Python 3 is missing")
    return()
  endif()
  add_test(NAME ${name} COMMAND "${python}" "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${ARGN})
  set_tests_properties(${name} PROPERTIES SKIP_REGULAR_EXPRESSION "skipped:" TIMEOUT ${timeout})
endfunction()

foreach(peer gguf_package:gguf llama_cpp:gguf llama_cpp_models:gguf transformers_gguf:gguf
             bitnet_transformers:bitnet)
  string(REGEX MATCH "(.*):(.*)" peer "${peer}")
  set(peer ${CMAKE_MATCH_1})
  set(program interop_${CMAKE_MATCH_2})
  if(NOT TARGET ${program})
    add_executable(${program} interop/${CMAKE_MATCH_2}.cxx)
    target_link_libraries(${program} PRIVATE tern::train tern_own_build tern_instances)
  endif()
  python_test(interop/${peer} 600 interop/${peer}.py "$<TARGET_FILE:${program}>")
endforeach()

if(TARGET bitdistill)
  python_test(interop/openai_client 120 interop/openai_client.py "$<TARGET_FILE:bitdistill>")
  python_test(interop/tensorboard_reader 60 interop/tensorboard_reader.py "$<TARGET_FILE:bitdistill>")
  python_test(serve/status 60 serve/status.py "$<TARGET_FILE:bitdistill>")
  python_test(serve/load 120 serve/load.py "$<TARGET_FILE:bitdistill>")
endif()

# The committed values are what the oracles compute today.
file(GLOB oracles CONFIGURE_DEPENDS oracle/*.py)
list(FILTER oracles EXCLUDE REGEX "/(check|inputs|llama_cpp|values)\\.py$")
foreach(oracle IN LISTS oracles)
  cmake_path(GET oracle STEM name)
  python_test(oracle/${name} 300 oracle/check.py ${name})
endforeach()

# Inputs and programs that other people have, where they are at hand.
if(TARGET bitdistill)
  python_test(interop/report_page 300 interop/report_page.py "$<TARGET_FILE:bitdistill>")
  python_test(cases/files 300 cases/files.py "$<TARGET_FILE:bitdistill>")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  string(REPLACE ";" "\\;" one_argument "${flags}")
  python_test(cases/programs 1200 cases/programs.py "${CMAKE_CXX_COMPILER}" "${CLANG_CXX}" "${one_argument}")
endif()
