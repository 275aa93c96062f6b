// How fast the catalogue is: events appended durably in batches, records put, and a million experiments listed,
// filtered, counted and searched. Prints a table.
//
//     bench_catalog_speed [EXPERIMENTS [FOLDER]]           1,000,000 below the system's folder for temporary files
//     bench_catalog_speed EXPERIMENTS postgresql://...     in new schemas of that database, which stay

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "mcomp/catalog/catalog.hpp"
#include "mcomp/core/random.hpp"

namespace {

using namespace mcomp;
using namespace mcomp::catalog;
namespace fs = std::filesystem;

double seconds_of(const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A folder of files, or a server.
class Place {
 public:
  explicit Place(std::string where) : where_(std::move(where)), server_(where_.starts_with("postgres")) {}
  [[nodiscard]] bool server() const { return server_; }
  [[nodiscard]] Catalog open(const std::string& name, bool full_sync = true) const {
    if (!server_) return Catalog::open(fs::path(where_) / name, {.full_sync = full_sync}).value();
    const PostgresqlOptions options{.schema = fmt::format("bench-{}-{}", ::getpid(), name)};
    return Catalog::open_postgresql(where_, {.postgresql = options}).value();
  }

 private:
  std::string where_;
  bool server_;
};

void appends(const Place& place, std::size_t batch, bool full_sync) {
  Catalog catalog = place.open(fmt::format("events-{}-{}", batch, full_sync), full_sync);
  std::vector<Event> events;
  for (std::size_t i = 0; i < batch; ++i)
    events.push_back({.kind = "rollout-step",
                      .subject = "production",
                      .actor = "controller",
                      .time = 1'800'000'000,
                      .body = fmt::format(R"({{"stage":"canary","share":0.05,"requests":{},"verdict":"pass"}})", i)});
  std::size_t rounds = 0;
  double seconds = 0;
  while (seconds < 2) // the disk's syncs differ too much for a fixed number
    seconds += seconds_of([&] { catalog.append(events).value(); }), ++rounds;
  fmt::print("| append, batches of {}, {} | {:.0f} events/s | {:.2f} ms a batch |\n", batch,
             full_sync ? "each synced" : "not synced", static_cast<double>(rounds * batch) / seconds,
             1000 * seconds / static_cast<double>(rounds));
}

void experiments(const Place& place, std::int64_t count) {
  Catalog catalog = place.open("experiments");
  Random random(1);
  std::vector<RecordDraft> drafts;
  const double put = seconds_of([&] {
    for (std::int64_t i = 0; i < count; ++i) {
      drafts.push_back(
          {.kind = "experiment",
           .id = fmt::format("e{:07}", i),
           .name = fmt::format("resnet20 w{}a8 trial {}", 2 + random.below(7), i),
           .owner = fmt::format("user{}", random.below(50)),
           .status = random.below(10) == 0 ? "won" : "lost",
           .fingerprint = fmt::format("{:016x}", random.next()),
           .author = "search",
           .time = 1'700'000'000 + i,
           .body = fmt::format(R"({{"accuracy":{:.4f},"seconds":{}}})", random.uniform(), random.below(900))});
      if (drafts.size() == 2000 || i + 1 == count) catalog.put(drafts).value(), drafts.clear();
    }
  });
  fmt::print("| put {} experiments, batches of 2000 | {:.0f} records/s | |\n", count, static_cast<double>(count) / put);
  const std::string fingerprint = catalog.find({.kind = "experiment", .limit = 1}).value().at(0).fingerprint;
  const auto timed = [&](const char* what, const RecordQuery& query, bool counts) {
    std::vector<double> times;
    std::int64_t result = 0;
    for (int i = 0; i < 5; ++i)
      times.push_back(seconds_of(
          [&] { result = counts ? catalog.count(query).value() : std::ssize(catalog.find(query).value()); }));
    std::ranges::sort(times);
    fmt::print("| {} | {} {} | {:.1f} ms |\n", what, result, counts ? "counted" : "listed", 1000 * times[2]);
  };
  const std::int64_t middle = 1'700'000'000 + count / 2;
  timed("the newest 100", {.kind = "experiment"}, false);
  timed("100 that won", {.kind = "experiment", .status = "won"}, false);
  timed("100 of one owner", {.kind = "experiment", .owner = "user7"}, false);
  timed("100 of one owner that won, of the older half",
        {.kind = "experiment", .status = "won", .owner = "user7", .until = middle}, false);
  timed("page 100 of those that won", {.kind = "experiment", .status = "won", .offset = 9900}, false);
  timed("the same trial, by fingerprint", {.kind = "experiment", .fingerprint = fingerprint}, false);
  timed("100 with a part of the name", {.kind = "experiment", .text = "w4a8"}, false);
  timed("all", {.kind = "experiment"}, true);
  timed("all that won", {.kind = "experiment", .status = "won"}, true);
  timed("all of one owner", {.kind = "experiment", .owner = "user7"}, true);
  timed("all with a part of the name", {.kind = "experiment", .text = "trial 999"}, true);
  const double verified = seconds_of([&] {
    if (!catalog.verify().value().sound()) std::abort();
  });
  fmt::print("| verify all of it | {} events | {:.1f} s |\n", catalog.size().value(), verified);
}

} // namespace

int main(int argc, char** argv) {
  const std::int64_t count = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  std::string where = argc > 2 ? argv[2] : fs::temp_directory_path().string();
  const bool server = where.starts_with("postgres");
  if (!server) where += "/mcomp-bench-XXXXXX";
  if (count < 1 || (!server && !mkdtemp(where.data())))
    return fmt::print(stderr, "usage: {} [EXPERIMENTS [FOLDER | CONNECTION_STRING]]\n", argv[0]), 2;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  fmt::print("| what | how much | time (median of 5) |\n| --- | --- | --- |\n");
  const Place place(where);
  for (const bool full_sync : {true, false})
    for (const std::size_t batch : {1U, 10U, 100U, 1000U})
      if (full_sync || !server) appends(place, batch, full_sync);
  experiments(place, count);
  if (!server) fs::remove_all(where);
  return 0;
}
