# `cmake -D ROOT=include/tern -P check.cmake` checks that every #include points down. A folder may
# include itself, the folders of lower floors and version.hpp. adapt/ may include core/ only, and
# only adapt/eigen.hpp, which defines the default owner, may be included by others.
cmake_minimum_required(VERSION 3.25)

# The floor of each folder, and the CMake target that brings it.
set(floors
    "core 1 tern" "isa 1 tern"
    "json 2 io" "metric 2 train" "quant 2 tern" "pack 2 tern" "linalg 2 tern" "text 2 text"
    "kernel 3 tern" "grad 3 tern" "io 3 io"
    "gguf 4 io" "data 4 train" "nn 4 tern"
    "distill 5 tern" "model 5 tern"
    "calibrate 6 train" "train 6 tern" "checkpoint 6 train" "infer 6 tern"
    "recipe 7 train" "mpi 7 mpi")
foreach(line IN LISTS floors)
  string(REGEX MATCH "([a-z]+) ([0-9]) ([a-z]+)" line "${line}")
  set(floor_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
  set(target_${CMAKE_MATCH_1} ${CMAKE_MATCH_3})
endforeach()

# links_<target>: the targets whose folders this target's folders may include. outside_<library>:
# the folders that may include this library. Libraries for command lines and formatting belong to
# programs.
set(links_tern tern)
set(links_io io tern)
set(links_text text io tern)
set(links_train train text io tern)
set(links_mpi mpi tern)
set(outside_Eigen adapt)
set(outside_xsimd core)
set(outside_nlohmann json io text data recipe)
set(outside_zlib io)
set(outside_pcre2 text)
set(outside_utf8proc text)
set(outside_mpi mpi)
set(outside_fmt "")
set(outside_CLI "")

# The only includes between folders of one floor: "<including folder> <included folder>".
set(listed
    "isa core"     # a level that this CPU lacks is an error of core/error.hpp
    "pack quant"   # a quantizer policy rounds the weights before they are packed
    "linalg quant" # a product with codes dequantizes them if the CPU has no better way
    "text json"    # a tokenizer is read from tokenizer.json
    "data io")     # data sets are read through io/text_file.hpp

function(report file line)
  list(JOIN ARGN " " text)
  message(SEND_ERROR "${file}: ${line}\n  ${text}")
endfunction()

file(GLOB_RECURSE headers RELATIVE "${ROOT}" "${ROOT}/*")
list(LENGTH headers count)
if(count EQUAL 0)
  message(FATAL_ERROR "no headers below ${ROOT}")
endif()
foreach(header IN LISTS headers)
  if(NOT header MATCHES "^([a-z0-9_]+)/")
    continue()  # version.hpp and the umbrella
  endif()
  set(from ${CMAKE_MATCH_1})
  if(NOT DEFINED floor_${from} AND NOT from STREQUAL "adapt")
    report(${header} "" "folder ${from}/ has no floor: give it one in tests/floors/check.cmake")
    continue()
  endif()
  file(STRINGS "${ROOT}/${header}" lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS lines)
    if(line MATCHES "\"tern/([a-z0-9_]+)/([^\"]+)\"")
      set(to ${CMAKE_MATCH_1})
      if(to STREQUAL from)
        continue()
      elseif("${from} ${to}" IN_LIST listed)
        # Allowed by name; the targets are still compared below.
      elseif(from STREQUAL "adapt")
        if(NOT to STREQUAL "core")
          report(${header} "${line}" "adapt/ may include core/ only")
        endif()
      elseif(to STREQUAL "adapt")
        if(NOT CMAKE_MATCH_2 STREQUAL "eigen.hpp" OR floor_${from} LESS 2)
          report(${header} "${line}" "only adapt/eigen.hpp, and from floor 2 up")
        endif()
      elseif(NOT DEFINED floor_${to})
        report(${header} "${line}" "there is no folder ${to}/")
      elseif(NOT floor_${to} LESS floor_${from})
        report(${header} "${line}"
               "${from}/ is on floor ${floor_${from}}, ${to}/ on floor ${floor_${to}}: not below")
      endif()
      if(DEFINED target_${from} AND DEFINED target_${to} AND
         NOT target_${to} IN_LIST links_${target_${from}})
        report(${header} "${line}"
               "${from}/ belongs to tern::${target_${from}}, which does not link tern::${target_${to}}")
      endif()
    elseif(line MATCHES "\"tern/version.hpp\"")
      continue()
    elseif(line MATCHES "\"")
      report(${header} "${line}" "write it from the root: \"tern/...\"")
    elseif(line MATCHES "<([A-Za-z0-9]+)")
      set(library ${CMAKE_MATCH_1})
      if(DEFINED outside_${library} AND NOT from IN_LIST outside_${library})
        report(${header} "${line}" "${library} may be included by: ${outside_${library}}")
      endif()
    endif()
  endforeach()
endforeach()
# kernel/, quant/ and pack/ compile without Eigen, so they must not include adapt/eigen.hpp either.
foreach(header IN LISTS headers)
  if(header MATCHES "^(kernel|quant|pack)/")
    file(STRINGS "${ROOT}/${header}" lines REGEX "#[ \t]*include \"tern/(adapt|linalg)/")
    if(lines)
      report(${header} "${lines}" "must compile without Eigen")
    endif()
  endif()
endforeach()
message(STATUS "${count} headers, every arrow points down unless reported above")
