#include "mcomp/core/executor.hpp"

#include <atomic>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "mcomp/core/context.hpp"

using namespace mcomp;

TEST_CASE("every executor runs each task once") {
  ThreadPool pool(3), alone(1);
  for (Executor* executor : std::initializer_list<Executor*>{&serial_executor(), &pool, &alone}) {
    for (const std::size_t count : {0U, 1U, 2U, 1000U}) {
      std::vector<std::atomic<int>> runs(count);
      executor->run(count, [&](std::size_t i) { ++runs[i]; });
      for (const auto& n : runs) CHECK(n == 1);
    }
  }
}

TEST_CASE("a pool survives nested and concurrent use") {
  ThreadPool pool(2);
  std::atomic<int> inner{0};
  pool.run(4, [&](std::size_t) { pool.run(5, [&](std::size_t) { ++inner; }); });
  CHECK(inner == 20);
  std::atomic<int> shared{0};
  ThreadPool callers(2);
  callers.run(2, [&](std::size_t) {
    for (int round = 0; round < 50; ++round) pool.run(3, [&](std::size_t) { ++shared; });
  });
  CHECK(shared == 300);
}

TEST_CASE("an exception of a task reaches the caller after the others have run") {
  ThreadPool pool(2);
  for (Executor* executor : std::initializer_list<Executor*>{&serial_executor(), &pool}) {
    std::atomic<int> ran{0};
    CHECK_THROWS_AS(executor->run(10,
                                  [&](std::size_t i) {
                                    if (i == 3) throw std::runtime_error("task 3");
                                    ++ran;
                                  }),
                    std::runtime_error);
    CHECK(ran == 9);
    executor->run(2, [&](std::size_t) { ++ran; });
    CHECK(ran == 11);
  }
}

TEST_CASE("a context reports progress and notices cancellation") {
  std::vector<std::int64_t> seen;
  Context context;
  context.progress = [&](const ProgressEvent& event) { seen.push_back(event.done); };
  context.report("stage", 1, 2);
  CHECK(seen == std::vector<std::int64_t>{1});
  CHECK(context.check("stage"));
  context.cancellation.cancel();
  REQUIRE_FALSE(context.check("stage"));
  CHECK(context.check("stage").error().code() == ErrorCode::cancelled);
}
