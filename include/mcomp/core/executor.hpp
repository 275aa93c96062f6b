#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "mcomp/core/export.hpp"

namespace mcomp::inline v0 {

/// Runs independent tasks. Results never depend on which executor is used: work is cut by constants, not by the number
/// of threads. Derive from it to run mcomp's work on an engine's own threads.
class MCOMP_API Executor {
 public:
  virtual ~Executor();
  /// How many tasks may run at once, at least 1.
  [[nodiscard]] virtual int concurrency() const noexcept = 0;
  /// Calls `task(0) .. task(count - 1)`, each once, in any order, and returns when all are done. An exception thrown by
  /// a task is rethrown here after the others have finished.
  virtual void run(std::size_t count, const std::function<void(std::size_t)>& task) = 0;
};

/// Runs every task in the calling thread. The default wherever an executor is optional.
[[nodiscard]] MCOMP_API Executor& serial_executor() noexcept;

/// A fixed pool of threads. `run` may be called from several threads; called from inside one of its own tasks it runs
/// the inner tasks in that thread.
class MCOMP_API ThreadPool final : public Executor {
 public:
  /// @param threads how many tasks run at once, the caller's thread among them; 0 takes the number of processors
  explicit ThreadPool(int threads = 0);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int concurrency() const noexcept override;
  void run(std::size_t count, const std::function<void(std::size_t)>& task) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace mcomp::inline v0
