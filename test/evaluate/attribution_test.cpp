#include "mcomp/evaluate/attribution.hpp"

#include <algorithm>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

/// 100 rows. Layer "a" costs rows 0..9, "b" rows 5..29 and "c" nothing; "d" repairs rows 0..2 of what "a" breaks.
Result<RowScores> scored(const std::vector<std::string>& compressed) {
  const auto has = [&](const char* name) {
    return std::find(compressed.begin(), compressed.end(), name) != compressed.end();
  };
  RowScores scores;
  for (int i = 0; i < 100; ++i) {
    const bool wrong = (has("a") && i < 10 && !(has("d") && i < 3)) || (has("b") && i >= 5 && i < 30);
    scores.correct.push_back(!wrong);
    scores.loss.push_back(wrong ? 1 : 0);
  }
  return scores;
}

} // namespace

TEST_CASE("attribution: what a layer costs alone and wins when put back", "[attribution]") {
  const auto found = attribute_layers({"a", "b", "c", "d"}, scored).value();
  CHECK(found.total.accuracy == stats::PairedCounts{73, 27, 0, 0}); // rows 3..29
  REQUIRE(found.layers.size() == 4);
  CHECK(found.layers[0].layer == "b");
  CHECK(found.layers[0].put_back.accuracy.only_candidate_right == 20); // 10..29; 5..9 stay wrong by "a"
  CHECK(found.layers[0].put_back.loss_increase == Approx(-0.20));
  CHECK(found.layers[0].alone->accuracy.only_baseline_right == 25);
  CHECK(found.layers[1].layer == "a");
  CHECK(found.layers[1].put_back.accuracy.only_candidate_right == 2); // 3 and 4
  CHECK(found.layers[1].alone->accuracy.only_baseline_right == 10);
  CHECK(found.layers[2].layer == "c");
  CHECK(found.layers[3].layer == "d"); // putting it back costs what it had repaired
  CHECK(found.layers[3].put_back.accuracy.only_baseline_right == 3);
  CHECK(found.layers[0].put_back.accuracy_loss.contains(-0.2));
  CHECK(fmt::format("{}", found).find("| b | +20.00 [") != std::string::npos);

  // On the first ten rows "a" is the guilty one.
  const auto slice = attribute_layers({"a", "b", "c"}, scored, {.rows = {0, 1, 2, 3, 4, 5, 6}, .alone = false}).value();
  CHECK(slice.layers[0].layer == "a");
  CHECK_FALSE(slice.layers[0].alone);
  CHECK(slice.total.accuracy.pairs() == 7);
}

TEST_CASE("attribution: steps of a recipe, gain and loss of each", "[attribution]") {
  const auto measure = [](std::size_t done) -> Result<StepMeasurement> {
    const std::vector<std::string> layers[] = {{}, {"a"}, {"a", "b"}, {"a", "b", "d"}};
    StepMeasurement m{.scores = scored(layers[done]).value()};
    const std::int64_t bytes[] = {1000, 500, 250, 250};
    m.bytes = bytes[done];
    if (done < 2) m.latency_seconds = done == 0 ? 0.4 : 0.1;
    return m;
  };
  const auto steps = attribute_steps({"first", "second", "third"}, measure).value();
  REQUIRE(steps.size() == 3);
  CHECK(steps[0].change.accuracy.only_baseline_right == 10);
  CHECK(steps[0].bytes_ratio.value() == 0.5);
  CHECK(steps[0].speedup.value() == Approx(4));
  CHECK_FALSE(steps[1].speedup);
  CHECK(steps[1].change.accuracy.only_baseline_right == 20);
  CHECK(steps[2].change.accuracy.only_candidate_right == 3);
  CHECK(steps[2].so_far.accuracy.only_baseline_right == 27);
  CHECK(to_string(steps).find("| third | +3.00") != std::string::npos);
}

TEST_CASE("attribution: what is refused", "[attribution]") {
  const auto refused = [](const auto& result, ErrorCode code) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  refused(attribute_layers({}, scored), ErrorCode::invalid_argument);
  refused(attribute_layers({"a", "a"}, scored), ErrorCode::invalid_argument);
  refused(attribute_layers({"a"}, VariantScorer{}), ErrorCode::invalid_argument);
  refused(attribute_layers({"a"}, scored, {.rows = {100}}), ErrorCode::invalid_argument);
  refused(attribute_layers({"a"}, [](const auto&) -> Result<RowScores> { return RowScores{}; }),
          ErrorCode::insufficient_data);
  const auto growing = [n = 0](const auto&) mutable -> Result<RowScores> {
    RowScores s;
    s.correct.assign(static_cast<std::size_t>(++n), 1);
    s.loss.assign(static_cast<std::size_t>(n), 0);
    return s;
  };
  refused(attribute_layers({"a"}, growing), ErrorCode::invalid_shape);
  refused(attribute_steps({}, {}), ErrorCode::invalid_argument);
  Context context;
  context.cancellation.cancel();
  refused(attribute_layers({"a"}, scored, {}, context), ErrorCode::cancelled);
}
