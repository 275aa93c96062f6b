#include "mcomp/core/executor.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "mcomp/core/context.hpp"

namespace mcomp::inline v0 {

Executor::~Executor() = default;

namespace {

class SerialExecutor final : public Executor {
 public:
  [[nodiscard]] int concurrency() const noexcept override { return 1; }
  void run(std::size_t count, const std::function<void(std::size_t)>& task) override {
    std::exception_ptr first;
    for (std::size_t i = 0; i < count; ++i) {
      try {
        task(i);
      } catch (...) {
        if (!first) first = std::current_exception();
      }
    }
    if (first) std::rethrow_exception(first);
  }
};

/// One call of `run`, shared by the threads that help with it.
struct Job {
  const std::function<void(std::size_t)>* task;
  std::size_t count;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::condition_variable done;
  std::size_t finished = 0;
  std::exception_ptr first;

  void help() {
    std::size_t ran = 0;
    std::exception_ptr caught;
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count; ++ran) {
      try {
        (*task)(i);
      } catch (...) {
        if (!caught) caught = std::current_exception();
      }
    }
    const std::lock_guard lock(mutex);
    finished += ran;
    if (caught && !first) first = caught;
    if (finished == count) done.notify_all();
  }
};

thread_local bool inside_pool_task = false;

} // namespace

Executor& serial_executor() noexcept {
  static SerialExecutor executor;
  return executor;
}

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::shared_ptr<Job>> jobs;
  bool stopping = false;
  std::vector<std::thread> workers;

  void work() {
    inside_pool_task = true;
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || !jobs.empty(); });
        if (jobs.empty()) return;
        job = jobs.front();
        if (job->next.load(std::memory_order_relaxed) >= job->count) {
          jobs.pop_front();
          continue;
        }
      }
      job->help();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([state = state_.get()] { state->work(); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::concurrency() const noexcept {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::run(std::size_t count, const std::function<void(std::size_t)>& task) {
  if (count <= 1 || inside_pool_task || state_->workers.empty()) return serial_executor().run(count, task);
  auto job = std::make_shared<Job>();
  job->task = &task;
  job->count = count;
  {
    const std::lock_guard lock(state_->mutex);
    state_->jobs.push_back(job);
  }
  state_->wake.notify_all();
  inside_pool_task = true;
  job->help();
  inside_pool_task = false;
  std::unique_lock lock(job->mutex);
  job->done.wait(lock, [&] { return job->finished == count; });
  if (job->first) std::rethrow_exception(job->first);
}

struct CancellationToken::Flag {
  std::atomic<bool> set{false};
};

CancellationToken::CancellationToken() : flag_(std::make_shared<Flag>()) {}

void CancellationToken::cancel() const noexcept {
  flag_->set.store(true, std::memory_order_relaxed);
}

bool CancellationToken::cancelled() const noexcept {
  return flag_->set.load(std::memory_order_relaxed);
}

Status Context::check(std::string_view stage) const {
  if (!cancellation.cancelled()) return {};
  return Error(ErrorCode::cancelled, std::string(stage), "the caller's cancellation token is set",
               "start it again to have it finished");
}

} // namespace mcomp::inline v0
