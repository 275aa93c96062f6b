#include "mcomp/evaluate/language.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

Tensor logits(std::vector<float> values, Shape shape) {
  return Tensor::from(values, std::move(shape)).value();
}
Tensor tokens(std::vector<std::int32_t> values, Shape shape) {
  return Tensor::from(values, std::move(shape)).value();
}
/// ln of a probability in quarters.
float ln4(int quarters) {
  return std::log(static_cast<float>(quarters) / 4);
}

} // namespace

TEST_CASE("the loss of a distribution of quarters is what a reader computes by hand") {
  // p = (1/4, 3/4), then (1/2, 1/2); tokens 1, 0 come next: -ln(3/4), -ln(1/2). A constant shift changes nothing.
  const Tensor z = logits({ln4(1) + 50, ln4(3) + 50, ln4(2), ln4(2)}, {1, 2, 2});
  NextTokenLoss loss;
  loss.update(z, tokens({0, 1, 0}, {1, 3})).value();
  const auto report = loss.report().value();
  CHECK(report.positions == 2);
  CHECK(report.nll == Approx(-(std::log(0.75) + std::log(0.5)) / 2).epsilon(1e-6));
  CHECK(report.perplexity == Approx(1 / std::sqrt(0.75 * 0.5)).epsilon(1e-6));
  CHECK(report.accuracy == 1.0); // of equal logits the first is the choice
  // Without the token behind the last position, that one predicts nothing.
  NextTokenLoss shorter;
  shorter.update(z, tokens({0, 1}, {1, 2})).value();
  CHECK(shorter.report().value().positions == 1);
  CHECK(shorter.report().value().nll == Approx(-std::log(0.75)).epsilon(1e-5));
}

TEST_CASE("the loss of batches is that of the whole") {
  Random random(5);
  std::vector<float> z(6 * 4 * 9);
  for (float& x : z) x = static_cast<float>(random.normal() * 3);
  std::vector<std::int32_t> ids(6 * 5);
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(9));
  const Tensor all = logits(z, {6, 4, 9}), text = tokens(ids, {6, 5});
  NextTokenLoss whole, parts;
  LogitsDivergence whole_kl, part_kl;
  std::vector<float> other = z;
  for (float& x : other) x = x * 0.9f + 0.3f;
  const Tensor candidate = logits(other, {6, 4, 9});
  whole.update(all, text).value();
  whole_kl.update(all, candidate).value();
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 4}, {4, 6}}) {
    const TensorView rows = all.view().rows(begin, end).value();
    parts.update(rows, text.view().rows(begin, end).value()).value();
    part_kl.update(rows, candidate.view().rows(begin, end).value()).value();
  }
  CHECK(parts.report().value().nll == whole.report().value().nll);
  CHECK(part_kl.report().value().mean_kl == whole_kl.report().value().mean_kl);
  CHECK(part_kl.report().value().largest_kl == whole_kl.report().value().largest_kl);
  CHECK(whole_kl.report().value().mean_kl > 0);
  CHECK(whole_kl.report().value().top1_agreement == 1.0);
}

TEST_CASE("the divergence of distributions of quarters is what a reader computes by hand") {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4): 1/2 ln 2 - 1/4 ln 2. The second row agrees.
  const Tensor p = logits({ln4(2), ln4(1), ln4(1), 1, 2, 3}, {2, 3});
  const Tensor q = logits({ln4(1), ln4(2), ln4(1), 11, 12, 13}, {2, 3});
  LogitsDivergence divergence;
  divergence.update(p, q).value();
  const auto report = divergence.report().value();
  CHECK(report.positions == 2);
  CHECK(report.mean_kl == Approx(std::log(2.0) / 8).epsilon(1e-6));
  CHECK(report.largest_kl == Approx(std::log(2.0) / 4).epsilon(1e-6));
  CHECK(report.top1_agreement == 0.5);
}

TEST_CASE("classes at minus infinity have probability zero") {
  LogitsDivergence divergence;
  divergence.update(logits({0, 0, -inf}, {1, 3}), logits({0, 0, 0}, {1, 3})).value();
  CHECK(divergence.report().value().mean_kl == Approx(std::log(1.5)));
  divergence.update(logits({0, 0, 0}, {1, 3}), logits({0, 0, -inf}, {1, 3})).value();
  CHECK(std::isinf(divergence.report().value().mean_kl));
  NextTokenLoss loss;
  loss.update(logits({0, -inf}, {1, 1, 2}), tokens({0, 1}, {1, 2})).value();
  CHECK(std::isinf(loss.report().value().nll));
}

TEST_CASE("a batch with an error leaves the measures as they were") {
  NextTokenLoss loss;
  LogitsDivergence divergence;
  const Tensor good = logits({1, 2, 3, 4}, {1, 2, 2}), text = tokens({0, 1, 0}, {1, 3});
  CHECK(loss.report().error().code() == ErrorCode::insufficient_data);
  CHECK(divergence.report().error().code() == ErrorCode::insufficient_data);
  loss.update(good, text).value();
  divergence.update(good, good).value();
  const double nll = loss.report().value().nll;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), inf}) {
    const Tensor z = logits({1, 2, bad, 4}, {1, 2, 2});
    for (const Status& status : {loss.update(z, text), divergence.update(z, good), divergence.update(good, z)}) {
      REQUIRE_FALSE(status);
      CHECK(status.error().code() == ErrorCode::invalid_value);
      CHECK(mcomp_test::well_formed(status.error()));
    }
  }
  CHECK(loss.update(logits({-inf, -inf, 0, 0}, {1, 2, 2}), text).error().code() == ErrorCode::invalid_value);
  CHECK(loss.update(good, tokens({0, 1, 2}, {1, 3})).error().code() == ErrorCode::invalid_value);
  CHECK(loss.update(good, tokens({0, 1, -1}, {1, 3})).error().code() == ErrorCode::invalid_value);
  CHECK(loss.update(good, tokens({0, 1, 0, 1}, {1, 4})).error().code() == ErrorCode::invalid_shape);
  CHECK(loss.update(good, tokens({0, 1, 0, 1, 0, 1}, {2, 3})).error().code() == ErrorCode::invalid_shape);
  CHECK(loss.update(good, good).error().code() == ErrorCode::invalid_dtype);
  CHECK(loss.update(logits({1, 2}, {1, 2}), text).error().code() == ErrorCode::invalid_shape);
  CHECK(divergence.update(good, logits({1, 2}, {1, 1, 2})).error().code() == ErrorCode::invalid_shape);
  CHECK(loss.report().value().nll == nll);
  CHECK(loss.report().value().positions == 2);
  CHECK(divergence.report().value().positions == 2);
  CHECK(divergence.report().value().mean_kl == 0);
}
