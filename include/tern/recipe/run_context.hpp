// What the stages of a run share. Several ranks share the steps of stages and the examples of an
// evaluation; rank 0 alone does everything else.
#pragma once

#include <string>

#include "tern/core/executor.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/together.hpp"
#include "tern/recipe/run_directory.hpp"
#include "tern/recipe/run_observer.hpp"
#include "tern/recipe/task_data.hpp"

namespace tern::inline TERN_ABI {

/// What the stages of a run share.
struct run_context {
  const task_data& data;     ///< data of the task, the same on every rank
  run_directory* directory;  ///< null on other ranks than rank 0
  run_observer& observer;    ///< sees the run on rank 0
  executor_ref ex;           ///< executes ops
  reducer& ranks;            ///< the ranks that share the steps

  /// Calls f() on every rank. Every rank throws where f() does on one.
  template <class F>
  void everyone(F&& f) const {
    std::string stop;
    together(ranks, [&] {
      try {
        f();
      } catch (const interrupted& e) {
        stop = e.what();
      }
    });
    for (const std::string& text : gather_texts(ranks, {&stop, 1}))
      if (!text.empty()) throw interrupted(text);
  }
  /// Calls f() on rank 0 while the others wait. Every rank throws where f() does.
  template <class F>
  void lead(F&& f) const {
    everyone([&] {
      if (ranks.rank() == 0) f();
    });
  }
};

}  // namespace tern::inline TERN_ABI
