# Finds third-party packages, for the build and for the installed package. The first choice is a
# target that the parent project already has, then an installed package, then (TERN_FETCH=ON) a
# pinned download.

# TERN_DEPENDENCY_<name>: target, lowest version, names of the packages in apt, vcpkg and Conan
set(TERN_DEPENDENCY_Eigen3 Eigen3::Eigen 3.4 libeigen3-dev eigen3 eigen)
set(TERN_DEPENDENCY_xsimd xsimd 8.1 "libxsimd-dev xtl-dev" xsimd xsimd)
set(TERN_DEPENDENCY_Threads Threads::Threads 0 libc6-dev pthreads -)
set(TERN_DEPENDENCY_nlohmann_json nlohmann_json::nlohmann_json 3.11 nlohmann-json3-dev nlohmann-json
    nlohmann_json)
set(TERN_DEPENDENCY_ZLIB ZLIB::ZLIB 1.2 zlib1g-dev zlib zlib)
set(TERN_DEPENDENCY_PCRE2 PCRE2::8BIT 10.40 libpcre2-dev pcre2 pcre2)
set(TERN_DEPENDENCY_utf8proc utf8proc 2.7 libutf8proc-dev utf8proc utf8proc)
set(TERN_DEPENDENCY_MPI MPI::MPI_CXX 3.0 libopenmpi-dev openmpi openmpi)
set(TERN_DEPENDENCY_Catch2 Catch2::Catch2 2.13 catch2 catch2 catch2)
set(TERN_DEPENDENCY_fmt fmt::fmt 9.1 libfmt-dev fmt fmt)
set(TERN_DEPENDENCY_CLI11 CLI11::CLI11 2.1 libcli11-dev cli11 cli11)
set(TERN_DEPENDENCY_benchmark benchmark::benchmark 1.7 libbenchmark-dev benchmark benchmark)

# TERN_FETCH_<name>: address and SHA-256 of a header-only package that can be downloaded
set(TERN_FETCH_Eigen3
    https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.bz2
    b4c198460eba6f28d34894e3a5710998818515104d6e74e5cc331ce31e46e626)
set(TERN_FETCH_xsimd
    https://github.com/xtensor-stack/xsimd/archive/8.1.0.tar.gz
    d52551360d37709675237d2a0418e28f70995b5b7cdad7c674626bcfbbf48328)
set(TERN_FETCH_nlohmann_json
    https://github.com/nlohmann/json/archive/v3.11.2.tar.gz
    d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273)

# Many systems have PCRE2 and utf8proc without a CMake package. Then header and library are enough.
function(tern_find_plain target header library version_regex out_version)
  find_path(TERN_${library}_INCLUDE_DIR ${header})
  find_library(TERN_${library}_LIBRARY ${library})
  mark_as_advanced(TERN_${library}_INCLUDE_DIR TERN_${library}_LIBRARY)
  if(TERN_${library}_INCLUDE_DIR AND TERN_${library}_LIBRARY)
    add_library(${target} UNKNOWN IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES
      IMPORTED_LOCATION "${TERN_${library}_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${TERN_${library}_INCLUDE_DIR}")
    file(STRINGS "${TERN_${library}_INCLUDE_DIR}/${header}" lines REGEX "${version_regex}")
    string(REGEX MATCHALL "[ \t][0-9]+" numbers "${lines}")
    list(TRANSFORM numbers STRIP)
    list(JOIN numbers "." version)
    set(${out_version} "${version}" PARENT_SCOPE)
  endif()
endfunction()

# Makes the target of one package exist. Sets out_problem to "", or to a message that says what to
# install.
function(tern_find name out_problem)
  list(POP_FRONT TERN_DEPENDENCY_${name} target minimum apt vcpkg conan)
  set(${out_problem} "" PARENT_SCOPE)
  if(TARGET ${target})
    return()
  endif()
  set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # for projects that link tern in another directory
  set(version "")
  if(name MATCHES "^(Threads|ZLIB)$")  # CMake itself has the find module
    find_package(${name} QUIET)
    set(version "${ZLIB_VERSION_STRING}")
  elseif(name STREQUAL "MPI")
    set(MPI_CXX_SKIP_MPICXX ON)
    if(NOT CMAKE_CROSSCOMPILING)  # the compiler wrappers of this machine are for its own processor
      find_package(MPI QUIET COMPONENTS CXX)
    endif()
    set(version "${MPI_CXX_VERSION}")
  else()
    if(name STREQUAL "xsimd")
      find_package(xtl QUIET CONFIG)  # Debian's xsimd links it without looking for it
    endif()
    # No version is given, since "3.4" would refuse Eigen 5 and "3.4...5" refuses Eigen 3.4.
    find_package(${name} QUIET CONFIG)
    set(version "${${name}_VERSION}")
    if(NOT TARGET ${target} AND name STREQUAL "PCRE2")
      tern_find_plain(${target} pcre2.h pcre2-8 "define PCRE2_(MAJOR|MINOR) " version)
    elseif(NOT TARGET ${target} AND name STREQUAL "utf8proc")
      tern_find_plain(${target} utf8proc.h utf8proc "define UTF8PROC_VERSION_(MAJOR|MINOR) " version)
    endif()
  endif()
  if(TARGET ${target})
    if(version AND version VERSION_LESS minimum)
      set(${out_problem} "tern needs ${name} ${minimum} or newer, found ${version}." PARENT_SCOPE)
    endif()
    return()
  endif()
  if(TERN_FETCH AND DEFINED TERN_FETCH_${name})
    list(POP_FRONT TERN_FETCH_${name} url hash)
    set(BUILD_TESTING OFF)
    include(FetchContent)
    FetchContent_Declare(${name} URL ${url} URL_HASH SHA256=${hash} SYSTEM)
    FetchContent_MakeAvailable(${name})
    return()
  endif()
  set(hint "")
  if(DEFINED TERN_FETCH_${name})
    set(hint ", or configure with -DTERN_FETCH=ON to download it")
  endif()
  set(${out_problem}
      "tern needs ${name} ${minimum} or newer. Install it (apt: ${apt}; vcpkg: ${vcpkg}; Conan: ${conan})${hint}."
      PARENT_SCOPE)
endfunction()

# tern_require(name...) makes the targets of all these packages exist, or ends the configuration.
function(tern_require)
  foreach(name IN LISTS ARGN)
    tern_find(${name} problem)
    if(problem)
      message(FATAL_ERROR "${problem}")
    endif()
  endforeach()
endfunction()
