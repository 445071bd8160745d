# Builds PROGRAM of the test sources SOURCES and Catch2's MAIN with the command COMPILER (a list) and the
# FLAGS; MAIN also gets the MAIN_FLAGS.
cmake_minimum_required(VERSION 3.25)

cmake_path(GET PROGRAM PARENT_PATH folder)
list(FILTER COMPILER EXCLUDE REGEX "^$")  # there may be no compiler launcher

function(run)
  execute_process(COMMAND ${COMPILER} -std=c++20 ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# As cmake/TernOwnBuild.cmake, but the files of one unit may shadow each other's names, and newer
# releases of clang count more in -Wconversion and -Wpedantic.
set(warnings -Wall -Wextra -Wpedantic -Wconversion -Werror -Wno-restrict
             -Wno-unknown-warning-option -Wno-sign-conversion -Wno-c2y-extensions)
# The tests of the kernels instantiate the same templates, so one unit of all of them compiles faster.
# A unit that includes all headers stands alone.
set(objects "")
foreach(unit IN ITEMS kernels headers)
  set(sources ${SOURCES})
  if(unit STREQUAL "kernels")
    list(FILTER sources EXCLUDE REGEX "/headers/[^/]+$")
  else()
    list(FILTER sources INCLUDE REGEX "/${unit}/[^/]+$")
  endif()
  if(sources)
    list(TRANSFORM sources REPLACE "(.+)" "#include \"\\1\"\n")
    list(JOIN sources "" lines)
    file(CONFIGURE OUTPUT "${folder}/${unit}.cpp" CONTENT "${lines}" @ONLY)
    run(${FLAGS} ${warnings} -c "${folder}/${unit}.cpp" -o "${folder}/${unit}.o")
    list(APPEND objects "${folder}/${unit}.o")
  endif()
endforeach()
run(${FLAGS} ${MAIN_FLAGS} -O0 -c "${MAIN}" -o "${folder}/main.o")
run(${FLAGS} ${objects} "${folder}/main.o" -o "${PROGRAM}" -pthread)
