# Installs the core alone, as the recipes of packaging/ do. find_package must find it, and must say
# what is missing to a project that needs more components.
cmake_minimum_required(VERSION 3.25)

# execute(text command...) runs the command and stores its output in `text`, its status in `failed`.
function(execute text)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE out ERROR_VARIABLE out RESULT_VARIABLE status)
  set(${text} "${out}" PARENT_SCOPE)
  set(failed ${status} PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK}")
set(off -DTERN_BUILD_TESTS=OFF -DTERN_BUILD_EXAMPLES=OFF -DTERN_BUILD_BENCHMARKS=OFF)
set(compiler "-DCMAKE_CXX_COMPILER=${COMPILER}" -G "${GENERATOR}")
execute(text "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${WORK}/build" ${off} ${compiler} -DTERN_COMPONENTS=)
if(NOT failed)
  execute(text "${CMAKE_COMMAND}" --install "${WORK}/build" --prefix "${WORK}/prefix")
endif()
if(failed)
  message(FATAL_ERROR "${text}")
endif()

file(WRITE "${WORK}/core/CMakeLists.txt" "
cmake_minimum_required(VERSION 3.25)
project(core LANGUAGES CXX)
find_package(tern REQUIRED COMPONENTS \${PARTS})
add_library(core INTERFACE)
target_link_libraries(core INTERFACE tern::tern)
")
set(configure "${CMAKE_COMMAND}" -S "${WORK}/core" ${compiler} "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
execute(text ${configure} -B "${WORK}/core/build")
if(failed)
  message(FATAL_ERROR "${text}")
endif()
execute(text ${configure} -B "${WORK}/more/build" -DPARTS=io)
if(NOT failed OR NOT text MATCHES "installed without its component 'io'")
  message(FATAL_ERROR "expected a message about 'io':\n${text}")
endif()
