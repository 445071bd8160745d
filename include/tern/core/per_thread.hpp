// One object for each thread, which ends with the thread.
#pragma once

#include "tern/version.hpp"

#if defined(_WIN32)
#  include <memory>
#  include <new>
#endif

namespace tern::inline TERN_ABI {

#if !defined(_WIN32)

/// The T of this thread. It is made at the first call and destroyed when the thread ends.
template <class T>
T& per_thread() {
  thread_local T value;
  return value;
}

#else

namespace detail {

extern "C" {
__declspec(dllimport) unsigned long __stdcall FlsAlloc(void(__stdcall*)(void*));
__declspec(dllimport) void* __stdcall FlsGetValue(unsigned long);
__declspec(dllimport) int __stdcall FlsSetValue(unsigned long, void*);
}

template <class T>
void __stdcall end_of_thread(void* value) {
  delete static_cast<T*>(value);
}

}  // namespace detail

/// The T of this thread. It is made at the first call and destroyed when the thread ends. The
/// thread_local objects of MinGW's g++ cannot be used, since their memory is freed before their
/// destructors are called. Throws std::bad_alloc.
template <class T>
T& per_thread() {
  static const unsigned long slot = detail::FlsAlloc(detail::end_of_thread<T>);
  if (void* const value = detail::FlsGetValue(slot)) return *static_cast<T*>(value);
  auto made = std::make_unique<T>();
  if (detail::FlsSetValue(slot, made.get()) == 0) throw std::bad_alloc();
  return *made.release();
}

#endif

}  // namespace tern::inline TERN_ABI
