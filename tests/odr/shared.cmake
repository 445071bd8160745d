# `cmake -D COMPILER=g++ -D NM=nm -D WORK=folder -D "FLAGS=-I...;..." -P shared.cmake` compiles losses.inl
# for AVX with and without FMA, and with and without sums that may be reordered. Units of different
# flags must share no function of this library, and none of xsimd that computes with floats: the linker
# would keep one copy for all.
cmake_minimum_required(VERSION 3.25)
file(MAKE_DIRECTORY "${WORK}")

# weak_functions(variable name options...) lists the functions that the linker may replace.
function(weak_functions variable name)
  execute_process(COMMAND "${COMPILER}" -std=c++20 -O0 ${ARGN} ${FLAGS} -c -x c++
                          "${CMAKE_CURRENT_LIST_DIR}/losses.inl" -o "${WORK}/${name}.o"
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${NM}" "${WORK}/${name}.o" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  # xsimd's functions of integers, of whole registers and of constants are the same for all flags here.
  string(REGEX MATCHALL " [WVu] [^\n]*(4tern|5batchI[fd])[^\n]*" weak "${symbols}")
  set(${variable} "${weak}" PARENT_SCOPE)
endfunction()

weak_functions(avx avx -mavx)
weak_functions(fma fma -mavx -mfma)
weak_functions(plain plain -msse2)
set(pairs "avx fma" "avx plain" "fma plain")
if(NOT COMPILER MATCHES "clang")  # clang defines no macro for the flag
  weak_functions(unsafe unsafe -funsafe-math-optimizations)
  list(APPEND pairs "plain unsafe")
endif()
foreach(pair IN LISTS pairs)
  separate_arguments(pair)
  list(GET pair 0 one)
  list(GET pair 1 other)
  list(LENGTH ${one} count)
  if(count EQUAL 0)
    message(FATAL_ERROR "no functions found in ${one}")
  endif()
  foreach(symbol IN LISTS ${one})
    if(symbol IN_LIST ${other})
      message(SEND_ERROR "the units ${one} and ${other} share${symbol}")
    endif()
  endforeach()
endforeach()
