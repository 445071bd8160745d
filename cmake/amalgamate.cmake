# `cmake -P cmake/amalgamate.cmake OUT` writes the core (tern/tern.hpp and everything that it
# includes) to the file OUT.
cmake_minimum_required(VERSION 3.25)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH root)
set(out "${CMAKE_ARGV3}")
if(NOT out)
  message(FATAL_ERROR "usage: cmake -P cmake/amalgamate.cmake OUT")
endif()

# Appends a header to `code`, once and after the headers that it includes. `outside` collects the
# headers of other libraries. An .inl file is inserted at every place that includes it, since each
# instruction set includes it in its own region and namespace.
function(expand file)
  if(file MATCHES "\\.hpp$")
    if(file IN_LIST seen)
      return()
    endif()
    list(APPEND seen "${file}")
  endif()
  file(READ "${root}/include/${file}" rest)
  string(REPLACE "#pragma once\n" "" rest "${rest}")
  string(REGEX MATCHALL "\n#include <[^>\n]+>" includes "${rest}")
  list(APPEND outside ${includes})
  string(REGEX REPLACE "\n#include <[^>\n]+>" "" rest "${rest}")
  set(body "")
  while(rest MATCHES "#[ ]*include \"(tern/[^\"\n]+)\"[^\n]*\n")
    set(line "${CMAKE_MATCH_0}")
    set(inner "${CMAKE_MATCH_1}")
    string(FIND "${rest}" "${line}" at)
    string(SUBSTRING "${rest}" 0 ${at} before)
    string(LENGTH "${line}" length)
    math(EXPR at "${at} + ${length}")
    string(SUBSTRING "${rest}" ${at} -1 rest)
    set(inlined "")
    expand("${inner}")
    string(APPEND body "${before}${inlined}")
  endwhile()
  string(APPEND body "${rest}")
  if(file MATCHES "\\.hpp$")
    string(APPEND code "\n// ==== ${file}\n\n${body}")
    set(inlined "")
  else()
    set(inlined "${body}")
  endif()
  return(PROPAGATE seen outside code inlined)
endfunction()

foreach(variable seen outside code)
  set(${variable} "")
endforeach()
expand(tern/tern.hpp)
list(REMOVE_DUPLICATES outside)
list(SORT outside)
list(JOIN outside "" outside)
string(REGEX REPLACE "\n\n\n+" "\n\n" code "${code}")
file(READ "${root}/LICENSE" license)
string(STRIP "${license}" license)
string(REPLACE "\n" "\n// " license "// ${license}")
string(REPLACE "// \n" "//\n" license "${license}")
set(text "// tern in one file, made of include/tern/ by cmake/amalgamate.cmake: do not edit.
//
${license}
#pragma once
${outside}
${code}")

file(WRITE "${out}" "${text}")
