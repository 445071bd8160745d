# Other people's programs read our files and compute our values, on machines where they are installed.
# Python3_EXECUTABLE says which Python has their packages.
#
# Uses tern_skipped_test of programs.cmake.
find_package(Python3 QUIET COMPONENTS Interpreter)
foreach(peer gguf_package:gguf llama_cpp:gguf llama_cpp_models:gguf transformers_gguf:gguf
             bitnet_transformers:bitnet)
  string(REGEX MATCH "(.*):(.*)" peer "${peer}")
  set(peer ${CMAKE_MATCH_1})
  set(program interop_${CMAKE_MATCH_2})
  if(NOT TARGET ${program})
    add_executable(${program} interop/${CMAKE_MATCH_2}.cxx)
    target_link_libraries(${program} PRIVATE tern::train tern_own_build tern_instances)
  endif()
  if(NOT Python3_Interpreter_FOUND)
    tern_skipped_test(interop/${peer} "Python 3 is missing")
    continue()
  endif()
  add_test(NAME interop/${peer} COMMAND "${Python3_EXECUTABLE}"
           "${CMAKE_CURRENT_SOURCE_DIR}/interop/${peer}.py" "$<TARGET_FILE:${program}>")
  set_tests_properties(interop/${peer} PROPERTIES SKIP_REGULAR_EXPRESSION "skipped:" TIMEOUT 600)
endforeach()

# Inputs that other people have, where they are at hand.
if(Python3_Interpreter_FOUND AND TARGET bitdistill)
  add_test(NAME cases/files COMMAND "${Python3_EXECUTABLE}"
           "${CMAKE_CURRENT_SOURCE_DIR}/cases/files.py" "$<TARGET_FILE:bitdistill>")
  set_tests_properties(cases/files PROPERTIES SKIP_REGULAR_EXPRESSION "skipped:" TIMEOUT 300)
endif()
