# BUILD_TESTING=OFF, as packagers pass it, compiles nothing and installs the headers.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}/build" -G "${GENERATOR}"
                        "-DCMAKE_CXX_COMPILER=${COMPILER}" -DBUILD_TESTING=OFF
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(READ "${WORK}/build/CMakeCache.txt" cache)
foreach(option IN ITEMS TERN_BUILD_TESTS TERN_BUILD_EXAMPLES TERN_BUILD_BENCHMARKS)
  if(NOT cache MATCHES "${option}:BOOL=OFF")
    message(FATAL_ERROR "${option} is not OFF")
  endif()
endforeach()
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${WORK}/build" OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${WORK}/build" --prefix "${WORK}/prefix"
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
if(NOT EXISTS "${WORK}/prefix/include/tern/tern.hpp")
  message(FATAL_ERROR "the headers were not installed")
endif()
file(GLOB_RECURSE objects "${WORK}/build/*.o")
if(objects)
  message(FATAL_ERROR "compiled: ${objects}")
endif()
