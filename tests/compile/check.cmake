# `cmake -D COMPILER=g++ -D SOURCE=case.cpp -D "FLAGS=-I...;..." -P check.cmake` checks that SOURCE compiles
# with the flags of a stranger's project. If it contains `// refused: REGEX`, it must not compile, and the
# first error must match. A line `// flags: FLAGS` in it adds flags.
cmake_minimum_required(VERSION 3.25)

file(STRINGS "${SOURCE}" refused REGEX "^// refused: ")
file(STRINGS "${SOURCE}" flags REGEX "^// flags: ")
string(REPLACE "// flags: " "" flags "${flags}")
separate_arguments(flags UNIX_COMMAND "${flags}")
execute_process(COMMAND "${COMPILER}" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow
                        -Wconversion -Werror ${FLAGS} ${flags} "${SOURCE}"
                RESULT_VARIABLE status ERROR_VARIABLE errors)
if(NOT refused)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "must compile:\n${errors}")
  endif()
  return()
endif()
string(REPLACE "// refused: " "" refused "${refused}")
string(REGEX MATCH "[^\n]* error: [^\n]*" first "${errors}")
if(status EQUAL 0)
  message(FATAL_ERROR "must not compile: ${refused}")
elseif(NOT first MATCHES "${refused}")
  message(FATAL_ERROR "expected: ${refused}\nbut the first line is: ${first}\n${errors}")
endif()
message(STATUS "${first}")
