// Live samples: who is drawn, who never is, and what becomes of those that are held.

#include <cmath>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "room_golden.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/monitor/live_samples.hpp"

using namespace mcomp;
using namespace mcomp::monitor;

namespace {

LiveSampleOptions small() {
  return {
      .shape = {2}, .edge_cases = {"dark", "blurred"}, .per_slice = 20, .per_edge_case = 5, .retention_seconds = 400};
}

/// Offers request number `id` with its number as content.
SampleFate offer(LiveSamples& samples, int id, std::string_view slice, double now, std::string_view edge = {},
                 bool consent = true) {
  const std::vector<std::uint8_t> pixels{static_cast<std::uint8_t>(id % 256), static_cast<std::uint8_t>(id / 256)};
  const std::string name = "request-" + std::to_string(id), user = "user-" + std::to_string(id % 10);
  return samples
      .offer({.request = name,
              .user = user,
              .slice = slice,
              .edge_case = edge,
              .consent = consent,
              .input = TensorView(pixels.data(), DType::uint8, {2})},
             now)
      .value();
}

std::set<std::string> held(const LiveSamples& samples, double now) {
  const auto set = samples.calibration_set({.count = 10'000}, now).value();
  return {set.requests.begin(), set.requests.end()};
}

} // namespace

TEST_CASE("shards draw the same samples as one, in any order", "[live_samples]") {
  LiveSamples whole = LiveSamples::create(small()).value();
  std::vector<LiveSamples> shards;
  for (int s = 0; s < 3; ++s) shards.push_back(LiveSamples::create(small()).value());
  std::vector<int> ids(900);
  for (int i = 0; i < 900; ++i) ids[static_cast<std::size_t>(i)] = i;
  const auto slice_of = [](int id) { return id % 3 == 0 ? "region=eu" : "region=us"; };
  for (const int id : ids) offer(whole, id, slice_of(id), id < 450 ? 10 : 110);
  Random(1).shuffle(std::span(ids));
  for (const int id : ids) offer(shards[static_cast<std::size_t>(id) % 3], id, slice_of(id), id < 450 ? 10 : 110);
  LiveSamples forward = std::move(shards[0]);
  REQUIRE(forward.merge(shards[1]));
  REQUIRE(forward.merge(shards[2]));
  REQUIRE(shards[2].merge(shards[1]));
  CHECK(held(whole, 110).size() == 80); // 20 of two slices in two periods of a hundred seconds
  CHECK(held(forward, 110) == held(whole, 110));
  CHECK(forward.counts().offered == 900);
  CHECK(forward.counts().held == 80);
  const auto a = whole.calibration_set({.count = 30}, 110).value(),
             b = forward.calibration_set({.count = 30}, 110).value();
  CHECK(a.requests == b.requests);
  CHECK(a.slices == b.slices);
  CHECK_FALSE(forward.merge(forward));
  LiveSampleOptions other = small();
  other.seed = 2;
  CHECK_FALSE(forward.merge(LiveSamples::create(other).value()));
}

TEST_CASE("every request is drawn with the same chance, another seed draws others", "[live_samples]") {
  std::map<std::string, int> drawn;
  constexpr int seeds = 400, requests = 100;
  for (int seed = 1; seed <= seeds; ++seed) {
    LiveSampleOptions options = small();
    options.seed = static_cast<std::uint64_t>(seed);
    LiveSamples samples = LiveSamples::create(options).value();
    for (int id = 0; id < requests; ++id) offer(samples, id, "", 0);
    for (const std::string& request : held(samples, 0)) ++drawn[request];
  }
  // 20 of 100 are drawn: 80 times each on average, chi-squared with 99 degrees of freedom and variance n p (1 - p).
  double chi = 0;
  for (int id = 0; id < requests; ++id) {
    const double gap = drawn["request-" + std::to_string(id)] - 80.0;
    chi += gap * gap / (seeds * 0.2 * 0.8);
  }
  CHECK(chi < 99 + 5 * std::sqrt(2 * 99.0));
  CHECK(chi > 99 - 5 * std::sqrt(2 * 99.0));
}

TEST_CASE("without consent nothing is kept, and redaction comes first", "[live_samples]") {
  int looked = 0;
  LiveSamples samples =
      LiveSamples::create(small(), [&](const TensorView& input, std::string_view request) -> Result<Tensor> {
        ++looked;
        if (request == "request-7") return Error(ErrorCode::invalid_value, "face", "not found", "drop it");
        if (request == "request-8") throw std::runtime_error("broken");
        if (request == "request-9") return Tensor::zeros(DType::f32, {2});
        Tensor redacted = Tensor::copy_of(input).value();
        redacted.mutable_values<std::uint8_t>()[1] = 99;
        return redacted;
      }).value();
  for (int id = 0; id < 6; ++id) CHECK(offer(samples, id, "a", 1, "", false) == SampleFate::without_consent);
  CHECK(looked == 0);
  CHECK_FALSE(samples.calibration_set({}, 1));
  for (const int id : {7, 8, 9}) CHECK(offer(samples, id, "a", 1) == SampleFate::redaction_failed);
  CHECK(offer(samples, 10, "a", 1) == SampleFate::kept);
  CHECK(offer(samples, 10, "a", 1) == SampleFate::passed_over); // again
  const auto set = samples.calibration_set({}, 1).value();
  REQUIRE(set.inputs.shape() == Shape{1, 2});
  CHECK(set.inputs.values<std::uint8_t>("inputs").value()[0] == 10);
  CHECK(set.inputs.values<std::uint8_t>("inputs").value()[1] == 99);
  const LiveSampleCounts counts = samples.counts();
  CHECK(counts.without_consent == 6);
  CHECK(counts.redaction_failed == 3);
  CHECK(counts.held == 1);
  for (int id = 100; id < 1000; ++id) offer(samples, id, "a", 1);
  CHECK(looked < 300); // only what would be kept: about 20 (1 + ln(900 / 20))
}

TEST_CASE("samples go by age, size, request and user", "[live_samples]") {
  LiveSamples samples = LiveSamples::create(small()).value();
  for (int id = 0; id < 40; ++id) offer(samples, id, "a", 10.0 * id);
  CHECK(samples.counts().held == 40);
  CHECK(held(samples, 390).size() == 40);
  CHECK(held(samples, 500).size() == 30); // older than 400 s is in no answer
  CHECK(samples.expire(500) == 10);
  CHECK(samples.forget_request("request-20") == 1);
  CHECK(samples.forget_request("request-20") == 0);
  CHECK(samples.forget_user("user-3") == 3); // 13, 23, 33
  CHECK(samples.counts().forgotten == 4);
  CHECK(held(samples, 500).count("request-23") == 0);
  offer(samples, 50, "a", 10'000);
  CHECK(samples.counts().held == 1);
  CHECK(samples.counts().expired == 10 + 26);

  LiveSampleOptions options = small();
  options.max_bytes = 2 * 12;
  LiveSamples tight = LiveSamples::create(options).value(), reversed = LiveSamples::create(options).value();
  for (int id = 0; id < 200; ++id) {
    offer(tight, id, id % 2 == 0 ? "a" : "b", 1);
    CHECK(tight.counts().bytes <= options.max_bytes);
    offer(reversed, 199 - id, id % 2 == 1 ? "a" : "b", 1);
  }
  CHECK(tight.counts().held == 12);
  CHECK(tight.counts().evicted_by_size > 0);
  CHECK(held(tight, 1) == held(reversed, 1)); // the least hashes, as all inputs have one size
}

TEST_CASE("a calibration set mixes edge cases in at the share that was asked for", "[live_samples]") {
  LiveSamples samples = LiveSamples::create(small()).value();
  for (int id = 0; id < 300; ++id) offer(samples, id, id % 10 == 0 ? "rare" : "common", 5);
  for (int id = 300; id < 320; ++id) offer(samples, id, "common", 5, id % 4 == 0 ? "blurred" : "dark");
  const auto set = samples.calibration_set({.count = 20, .edge_share = 0.2}, 5).value();
  CHECK(set.requests.size() == 20);
  CHECK(set.edge_cases == 4);
  const auto rows = [](const CalibrationSet& s, std::string_view slice) {
    return std::count(s.slices.begin(), s.slices.end(), slice);
  };
  CHECK(rows(set, "edge_case=dark") == 2);
  CHECK(rows(set, "edge_case=blurred") == 2);
  CHECK(rows(set, "rare") == 8);
  CHECK(rows(set, "common") == 8);
  CHECK(std::set<std::string>(set.requests.begin(), set.requests.end()).size() == 20);
  // Rows are the inputs of their requests.
  for (std::size_t i = 0; i < 20; ++i) {
    const auto pixels = set.inputs.values<std::uint8_t>("inputs").value();
    CHECK(set.requests[i] == "request-" + std::to_string(pixels[2 * i] + 256 * pixels[2 * i + 1]));
  }
  const auto traffic = samples.calibration_set({.count = 20, .edge_share = 0, .by_traffic = true}, 5).value();
  CHECK(traffic.edge_cases == 0);
  CHECK(rows(traffic, "rare") == 2); // 30 of 320 requests: 1.9
  CHECK(rows(traffic, "common") == 18);
  const auto all_edges = samples.calibration_set({.count = 30, .edge_share = 1}, 5).value();
  CHECK(all_edges.edge_cases == 10); // as many as there are
  CHECK(all_edges.requests.size() == 30);
  CHECK(samples.calibration_set({.count = 1000}, 5).value().requests.size() == 50);
  CHECK_FALSE(samples.calibration_set({.count = 0}, 5));
  CHECK_FALSE(samples.calibration_set({.edge_share = 2}, 5));
}

TEST_CASE("slices beyond those that have room are one, and threads may share samples", "[live_samples]") {
  LiveSampleOptions options = small();
  options.max_slices = 2;
  LiveSamples samples = LiveSamples::create(options).value();
  for (int id = 0; id < 90; ++id) offer(samples, id, "s" + std::to_string(id % 9), 1);
  const auto set = samples.calibration_set({.count = 100}, 1).value();
  CHECK(std::count(set.slices.begin(), set.slices.end(), "overflow") == 20);

  LiveSamples shared = LiveSamples::create(small()).value(), alone = LiveSamples::create(small()).value();
  std::vector<std::thread> pool;
  for (int t = 0; t < 4; ++t)
    pool.emplace_back([&shared, t] {
      for (int i = 0; i < 200; ++i) offer(shared, 200 * t + i, "a", 1);
    });
  for (std::thread& thread : pool) thread.join();
  for (int id = 0; id < 800; ++id) offer(alone, id, "a", 1);
  CHECK(held(shared, 1) == held(alone, 1));
  CHECK(shared.counts().offered == 800);
}

TEST_CASE("live samples refuse what they cannot serve", "[live_samples]") {
  const auto refused = [](void (*change)(LiveSampleOptions&)) {
    LiveSampleOptions options = small();
    change(options);
    const auto made = LiveSamples::create(options);
    return !made && mcomp_test::well_formed(made.error());
  };
  CHECK(refused([](LiveSampleOptions& o) { o.shape = {0}; }));
  CHECK(refused([](LiveSampleOptions& o) { o.shape = {-1}; }));
  CHECK(refused([](LiveSampleOptions& o) { o.max_bytes = 1; }));
  CHECK(refused([](LiveSampleOptions& o) { o.per_slice = 0; }));
  CHECK(refused([](LiveSampleOptions& o) { o.per_edge_case = 0; }));
  CHECK(refused([](LiveSampleOptions& o) { o.max_slices = 0; }));
  CHECK(refused([](LiveSampleOptions& o) { o.retention_seconds = 0; }));
  CHECK(refused([](LiveSampleOptions& o) { o.periods = 0; }));
  CHECK(refused([](LiveSampleOptions& o) { o.edge_cases = {"a", "a"}; }));
  CHECK(refused([](LiveSampleOptions& o) { o.seed = ~std::uint64_t{0}; }));
  LiveSamples samples = LiveSamples::create(small()).value();
  const std::vector<std::uint8_t> pixels{1, 2};
  const TensorView input(pixels.data(), DType::uint8, {2});
  CHECK_FALSE(samples.offer({.request = "", .consent = true, .input = input}, 0));
  CHECK_FALSE(samples.offer({.request = "a", .consent = true, .input = input}, -1));
  CHECK_FALSE(samples.offer({.request = "a", .edge_case = "loud", .consent = true, .input = input}, 0));
  CHECK_FALSE(
      samples.offer({.request = "a", .consent = true, .input = TensorView(pixels.data(), DType::int8, {2})}, 0));
  CHECK_FALSE(
      samples.offer({.request = "a", .consent = true, .input = TensorView(pixels.data(), DType::uint8, {1})}, 0));
  CHECK(samples.counts().held == 0);
}

TEST_CASE("options and counts of live samples, version 1", "[live_samples]") {
  LiveSampleOptions options = small();
  options.shape = {3, 32, 32};
  CHECK(to_json(options) == mcomp_test::golden("live_sample_options"));
  CHECK(LiveSampleOptions::parse(mcomp_test::golden("live_sample_options")).value() == options);
  const LiveSampleCounts counts{.offered = 10,
                                .kept = 5,
                                .passed_over = 1,
                                .without_consent = 3,
                                .redaction_failed = 1,
                                .displaced = 1,
                                .expired = 2,
                                .evicted_by_size = 0,
                                .forgotten = 1,
                                .held = 1,
                                .bytes = 2};
  CHECK(to_json(counts) == mcomp_test::golden("live_sample_counts"));
  CHECK_FALSE(
      LiveSampleOptions::parse("{\"schema\":\"mcomp-live-sample-options-1\",\"dtype\":\"pixels\",\"shape\":[1]}"));
  CHECK_FALSE(
      LiveSampleOptions::parse("{\"schema\":\"mcomp-live-sample-options-2\",\"dtype\":\"uint8\",\"shape\":[1]}"));
}
