// What the library asks of the operating system about files. Where a call fails, errno says why.
// Everything that differs between POSIX and Windows stands in the two headers that are included
// below, which define the same functions.
//
//   open_for_reading(path)         opens a file; the descriptor is empty where that fails
//   open_for_update(path)          opens a file for reading and writing, or makes it
//   open_as_only_writer(path)      opens or makes a file and locks it against other writers; where
//                                  it has one already, errno is EWOULDBLOCK
//   size_of(file)                  file_size, or nothing where that fails
//   map_file(file, size)           maps a file that is not empty for reading; null where that fails
//   unmap_file(data, size)         ends a mapping
//   read_at(file, at, to, size)    reads up to `size` bytes, returns how many, or -1
//   write_at(file, at, from, size) writes up to `size` bytes, returns how many, or -1
//   resize_file(file, size)        cuts off the end of a file, or adds zeros; whether that succeeds
//   sync_file(file)                makes the content durable; whether that succeeds
//   sync_directory(path)           makes names in a folder durable; whether that succeeds
//   rename_and_close(file, a, b)   puts the open file a in the place of b; whether that succeeds
//   remove_and_close(file, path)   removes an open file
#pragma once

#include "tern/core/file_calls_posix.hpp"
#include "tern/core/file_calls_windows.hpp"
