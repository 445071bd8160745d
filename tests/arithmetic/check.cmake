# `cmake -D COMPILER=g++ -D SOURCE=main.cxx -D PROGRAM=a.out -D "FLAGS=-O2;..." -P check.cmake` compiles
# a program with these flags and runs it.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET PROGRAM PARENT_PATH folder)
file(MAKE_DIRECTORY "${folder}")
execute_process(COMMAND "${COMPILER}" -std=c++20 ${FLAGS} -x c++ "${SOURCE}" -o "${PROGRAM}"
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${PROGRAM}" COMMAND_ERROR_IS_FATAL ANY)
