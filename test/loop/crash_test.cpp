// The process dies in the middle of a cycle, again and again: nothing that was told is lost, the cycle goes on where it
// was, and nothing that is expensive is done more than twice.

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/faults.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "loop/workshop.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::loop;
using namespace mcomp_test;
using catalog::Catalog;
namespace fs = std::filesystem;

namespace {

/// The first choice of one half of the cycles fails its evaluation; the best of the others goes back from its canary.
void set_fates(FakeWorkshop& workshop) {
  workshop.fates["w8"].lost = 400;
  workshop.fates["w6"].gate = [](const rollout::RolloutState& state) {
    return state.stage == rollout::Stage::canary && state.step == 1 ? rollout::Gate::fail : rollout::Gate::pass;
  };
  workshop.fates["w6"].saving = 500;
}

/// Notes everything that is dear, and all traffic, in a file that outlives it.
class NotingWorkshop : public FakeWorkshop {
 public:
  explicit NotingWorkshop(const fs::path& path)
      : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
    set_fates(*this);
  }
  ~NotingWorkshop() override { ::close(file_); }

  Result<Compressed> compress(const CycleState& cycle, const Candidate& candidate) override {
    note(fmt::format("compress {} {}", cycle.options.id, candidate.id));
    return FakeWorkshop::compress(cycle, candidate);
  }
  Result<Judged> evaluate(const CycleState& cycle, const Candidate& candidate) override {
    note(fmt::format("evaluate {} {}", cycle.options.id, candidate.id));
    return FakeWorkshop::evaluate(cycle, candidate);
  }
  Status set_traffic(const CycleState& cycle, const std::string& artifact, std::uint32_t share,
                     std::uint32_t) override {
    note(fmt::format("traffic {} {} {}", cycle.options.id, artifact, share));
    return {};
  }

 private:
  void note(const std::string& line) const {
    const std::string text = "\n" + line + " .\n"; // one that was killed in its middle is told from a whole one
    if (::write(file_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) ::_exit(3);
  }
  int file_;
};

/// Cycles of one catalogue, one after the other: the first is released, of the second the first choice goes back.
CycleOptions options_of(int number) {
  CycleOptions options = cycle_options(fmt::format("cycle-{}", number));
  options.model = fmt::format("model-{}", number);
  if (number % 2 == 0) options.recipe = recipe_json("w7", "int7");
  return options;
}

/// One step of the newest cycle, or the begin of the next one; how many steps its record has.
Result<std::pair<int, std::int64_t>> one_step(Catalog& catalog, Workshop& workshop, std::optional<Cycle>& cycle,
                                              int number) {
  constexpr std::int64_t step_seconds = hour / 2;
  std::int64_t now = start_time + number * 1000 * hour;
  if (!cycle) {
    auto begun = Cycle::begin(catalog, a_trigger(), options_of(number), workshop, now);
    if (!begun) return begun.error();
    cycle.emplace(std::move(*begun));
  } else {
    now = cycle->state().changed + step_seconds;
    for (int waited = 0; waited < 20; ++waited) {
      const auto step = cycle->step(now);
      if (!step) return step.error();
      if (!step->waiting) break;
      now += step_seconds;
    }
  }
  return std::pair(number, cycle->state().steps);
}

/// The child: goes on with the cycle that is not closed, or with the next, until it is killed.
[[noreturn]] void work(const fs::path& folder, int told) {
  NotingWorkshop workshop(folder / "notes");
  auto catalog = Catalog::open(folder / "team");
  if (!catalog) ::_exit(1);
  const auto records = catalog->find({.kind = "cycle", .limit = 1000});
  if (!records) ::_exit(1);
  int number = static_cast<int>(records->size());
  std::optional<Cycle> cycle;
  for (const auto& record : *records)
    if (record.status != "closed") {
      number = std::stoi(record.id.substr(6));
      auto resumed = Cycle::resume(*catalog, record.id, workshop, record.time + 60);
      if (!resumed) ::_exit(2);
      cycle.emplace(std::move(*resumed));
    }
  for (;;) {
    const auto done = one_step(*catalog, workshop, cycle, number);
    if (!done) ::_exit(4);
    if (::write(told, &*done, sizeof *done) != sizeof *done) ::_exit(5);
    if (cycle->closed()) cycle.reset(), ++number;
  }
}

void kill_cycles(int rounds, std::uint64_t seed) {
  const fs::path folder = temporary_folder();
  {
    Catalog catalog = Catalog::open(folder / "team").value();
    const FakeWorkshop workshop;
    REQUIRE(catalog.govern(workshop.governance(), "ana", start_time));
    for (const char* id : {"w6", "w5"}) {
      catalog::RecipeEntry entry{
          .name = id, .status = "standard", .recipe = recipe_json(id, "int" + std::string(id + 1))};
      entry.families = {"image-classifier"};
      REQUIRE(catalog.put(catalog::draft(entry, {.id = id, .author = "ana", .time = start_time}).value()));
    }
  }
  Random random(seed);
  std::map<int, std::int64_t> steps; ///< told of, by cycle
  int acknowledged = 0;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const auto calls = static_cast<std::int64_t>(random.below(120));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(ends[0]);
      const Fault fault(calls, FaultKind::kill);
      work(folder, ends[1]);
    }
    ::close(ends[1]);
    std::pair<int, std::int64_t> one;
    while (::read(ends[0], &one, sizeof one) == sizeof one) steps[one.first] = one.second, ++acknowledged;
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    INFO("round " << round << ", exit " << (WIFEXITED(status) ? WEXITSTATUS(status) : -1));
    REQUIRE(WIFSIGNALED(status));
    const Catalog catalog = Catalog::open(folder / "team").value();
    for (const auto& [number, told] : steps) {
      const auto record = catalog.get("cycle", fmt::format("cycle-{}", number));
      REQUIRE(record);
      REQUIRE(CycleState::parse(record->body).value().steps >= told);
    }
    if (round % 50 == 49) REQUIRE(catalog.verify().value().sound());
  }
  CHECK(acknowledged > rounds / 4);

  // Each dear step at most twice, and twice only where the process died in it.
  std::map<std::string, int> dear;
  std::ifstream notes(folder / "notes");
  int traffic = 0;
  for (std::string line; std::getline(notes, line);) {
    if (!line.ends_with(" .")) continue;
    if (line.starts_with("compress") || line.starts_with("evaluate")) ++dear[line];
    traffic += line.starts_with("traffic");
  }
  REQUIRE_FALSE(dear.empty());
  int twice = 0;
  for (const auto& [step, times] : dear) {
    INFO(step);
    CHECK(times <= 2);
    twice += times == 2;
  }
  CHECK(traffic > 0);
  const Catalog catalog = Catalog::open(folder / "team").value();
  CHECK(catalog.verify().value().sound());
  std::map<std::string, int> outcomes;
  for (const auto& record : catalog.find({.kind = "cycle", .limit = 1000}).value())
    ++outcomes[CycleState::parse(record.body).value().outcome];
  fmt::print(
      "{} kills, {} steps told of, {} of {} dear steps done twice; {} cycles released, {} rolled back, {} kept\n",
      rounds, acknowledged, twice, dear.size(), outcomes["released"], outcomes["rolled back"], outcomes["kept"]);
  CHECK(outcomes["released"] + outcomes["rolled back"] + outcomes["kept"] > 0);
}

} // namespace

TEST_CASE("a process that is killed in the middle of a cycle goes on where it was", "[loop]") {
  kill_cycles(60, 3);
}

TEST_CASE("2,000 kills in the middle of cycles lose nothing, and repeat nothing dear more than once",
          "[loop][.crash][slow]") {
  kill_cycles(2000, 4);
}

TEST_CASE("every write and sync that fails in a cycle leaves it whole, and the next try goes through", "[loop]") {
  const fs::path folder = temporary_folder();
  FakeWorkshop workshop;
  set_fates(workshop);
  std::optional<Catalog> catalog = Catalog::open(folder / "team").value();
  REQUIRE(catalog->govern(workshop.governance(), "ana", start_time));
  std::optional<Cycle> cycle;
  int failed = 0;
  bool closed = false;
  for (int step = 0; step < 200 && !closed; ++step) {
    // Every call of the step fails once, then it goes through.
    for (std::int64_t at = 0;; ++at) {
      bool happened = false;
      Result<std::pair<int, std::int64_t>> done = std::pair(0, std::int64_t{0});
      {
        const Fault fault(at);
        done = one_step(*catalog, workshop, cycle, 1);
        happened = fault.happened();
      }
      if (done) break;
      REQUIRE(happened);
      ++failed;
      if (!cycle) continue;
      // The object may be gone; its record is not.
      const auto resumed = Cycle::resume(*catalog, "cycle-1", workshop, cycle->state().changed + 60);
      REQUIRE(resumed);
      CHECK(resumed->state().steps >= cycle->state().steps);
      cycle.reset();
      cycle.emplace(Cycle::resume(*catalog, "cycle-1", workshop, start_time + 1000 * hour).value());
    }
    closed = cycle && cycle->closed();
  }
  CHECK(closed);
  CHECK(failed > 20);
  CHECK(catalog->verify().value().sound());
}
