#include "mcomp/evaluate/corruption.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

Tensor random_images(std::int64_t count, std::int64_t channels, std::int64_t size, double low = 0, double high = 1) {
  Tensor images = Tensor::zeros(DType::f32, Shape{count, channels, size, size}).value();
  Random random(3);
  for (float& x : images.mutable_values<float>()) x = static_cast<float>(low + (high - low) * random.uniform());
  return images;
}

Tensor constant(float value, std::int64_t count = 40, std::int64_t channels = 3) {
  Tensor images = Tensor::zeros(DType::f32, Shape{count, channels, 32, 32}).value();
  for (float& x : images.mutable_values<float>()) x = value;
  return images;
}

std::pair<double, double> moments(const Tensor& t) {
  const auto values = t.values<float>("t").value();
  double mean = 0, square = 0;
  for (const float x : values) mean += static_cast<double>(x) / static_cast<double>(values.size());
  for (const float x : values) square += (static_cast<double>(x) - mean) * (static_cast<double>(x) - mean);
  return {mean, std::sqrt(square / static_cast<double>(values.size()))};
}

} // namespace

TEST_CASE("corruptions: same seed, same bytes, whatever the threads", "[corruption]") {
  const Tensor images = random_images(5, 3, 16);
  ThreadPool pool(3);
  for (const Corruption corruption : all_corruptions()) {
    CAPTURE(to_string(corruption));
    CHECK(corruption_from_string(to_string(corruption)).value() == corruption);
    double before = 0;
    for (int severity = 1; severity <= 5; ++severity) {
      const Tensor one = corrupt(images, corruption, severity, 11).value();
      CHECK(one == corrupt(images, corruption, severity, 11, &pool).value());
      const auto values = one.values<float>("one").value(), original = images.values<float>("images").value();
      double distance = 0;
      bool inside = true;
      for (std::size_t i = 0; i < values.size(); ++i) {
        inside &= values[i] >= 0 && values[i] <= 1;
        distance += std::abs(static_cast<double>(values[i] - original[i]));
      }
      CHECK(inside);
      // Every severity moves images at least as far as the one before it, but for chance.
      CHECK(distance > 0.97 * before);
      before = distance;
    }
    CHECK(before > 0);
  }
  CHECK(corrupt(images, Corruption::gaussian_noise, 1, 1).value() !=
        corrupt(images, Corruption::gaussian_noise, 1, 2).value());
}

TEST_CASE("corruptions: noise has the stated moments", "[corruption]") {
  const Tensor grey = constant(0.5F);
  const auto [mean, deviation] = moments(corrupt(grey, Corruption::gaussian_noise, 3, 5).value());
  CHECK(mean == Approx(0.5).margin(0.001));
  CHECK(deviation == Approx(0.08).epsilon(0.02));
  for (const int severity : {1, 5}) { // the normal and the exact branch: means of 250 and 25 counts
    const double rate = severity == 1 ? 500 : 50;
    const auto [shot_mean, shot_deviation] = moments(corrupt(grey, Corruption::shot_noise, severity, 5).value());
    CHECK(shot_mean == Approx(0.5).margin(0.002));
    CHECK(shot_deviation == Approx(std::sqrt(0.5 / rate)).epsilon(0.02));
  }
  const Tensor salted = corrupt(grey, Corruption::impulse_noise, 5, 5).value();
  const auto values = salted.values<float>("salted").value();
  const auto changed =
      static_cast<double>(std::count_if(values.begin(), values.end(), [](float x) { return x != 0.5F; }));
  CHECK(changed / static_cast<double>(values.size()) == Approx(0.07).epsilon(0.05));
}

TEST_CASE("corruptions: closed forms", "[corruption]") {
  // One bright pixel becomes the kernel itself.
  Tensor point = Tensor::zeros(DType::f32, Shape{1, 1, 33, 33}).value();
  point.mutable_values<float>()[16 * 33 + 16] = 1;
  const double sigma = 1.0 * 33 / 32;
  const Tensor blurred = corrupt(point, Corruption::gaussian_blur, 5).value();
  double norm = 0;
  for (int k = -5; k <= 5; ++k) norm += std::exp(-0.5 * k * k / (sigma * sigma));
  const auto kernel = blurred.values<float>("blurred").value();
  CHECK(kernel[16 * 33 + 16] == Approx(1 / (norm * norm)).epsilon(1e-5));
  CHECK(kernel[16 * 33 + 18] == Approx(std::exp(-2 / (sigma * sigma)) / (norm * norm)).epsilon(1e-5));
  CHECK(moments(corrupt(constant(0.3F, 1), Corruption::gaussian_blur, 5).value()).second == Approx(0).margin(1e-7));

  Tensor two = Tensor::from(std::vector<float>{0.2F, 0.6F}, Shape{1, 1, 1, 2}).value();
  const Tensor flat = corrupt(two, Corruption::contrast, 2).value();
  CHECK(flat.values<float>("flat").value()[0] == Approx(0.3).epsilon(1e-6));
  CHECK(flat.values<float>("flat").value()[1] == Approx(0.5).epsilon(1e-6));

  Tensor colour = Tensor::from(std::vector<float>{0.2F, 0.4F, 0.1F}, Shape{1, 3, 1, 1}).value();
  const Tensor bright = corrupt(colour, Corruption::brightness, 4).value(); // value .4 -> .6
  CHECK(bright.values<float>("bright").value()[0] == Approx(0.3).epsilon(1e-6));
  CHECK(bright.values<float>("bright").value()[1] == Approx(0.6).epsilon(1e-6));
  CHECK(bright.values<float>("bright").value()[2] == Approx(0.15).epsilon(1e-6));

  const Tensor levels = corrupt(random_images(1, 1, 32), Corruption::quantized_colours, 5).value();
  double off = 0;
  for (const float x : levels.values<float>("levels").value())
    off = std::max(off, std::abs(static_cast<double>(x) * 3 - std::round(static_cast<double>(x) * 3)));
  CHECK(off < 1e-6);

  // 20 pixels become 13 and 20 again: areas are averaged, so the mean of each small pixel's area stays.
  const Tensor images = random_images(1, 1, 20);
  const auto pixels = corrupt(images, Corruption::pixelate, 5).value();
  const auto out = pixels.values<float>("pixels").value(), in = images.values<float>("images").value();
  double first = 0; // small pixel (0, 0) covers 20/13 x 20/13
  const double step = 20.0 / 13, rest = step - 1;
  first = (in[0] + rest * in[1] + rest * in[20] + rest * rest * in[21]) / (step * step);
  CHECK(out[0] == Approx(first).epsilon(1e-5));
}

TEST_CASE("corruptions: bytes as well as fractions, and what is refused", "[corruption]") {
  Tensor bytes = Tensor::zeros(DType::uint8, Shape{2, 3, 8, 8}).value();
  Random random(1);
  for (std::uint8_t& x : bytes.mutable_values<std::uint8_t>()) x = static_cast<std::uint8_t>(random.below(256));
  for (const Corruption corruption : all_corruptions())
    CHECK(corrupt(bytes, corruption, 3).value().dtype() == DType::uint8);
  const Tensor levels = corrupt(bytes, Corruption::quantized_colours, 5).value();
  for (const std::uint8_t x : levels.values<std::uint8_t>("levels").value()) CHECK(x % 85 == 0);

  const auto refused = [](const auto& result, ErrorCode code) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == code);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  Tensor bad = random_images(1, 1, 4);
  bad.mutable_values<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  refused(corrupt(bad, Corruption::contrast, 1), ErrorCode::invalid_value);
  bad.mutable_values<float>()[3] = 2;
  refused(corrupt(bad, Corruption::contrast, 1), ErrorCode::invalid_value);
  refused(corrupt(bytes, Corruption::contrast, 0), ErrorCode::invalid_argument);
  refused(corrupt(bytes, Corruption::contrast, 6), ErrorCode::invalid_argument);
  refused(corrupt(Tensor::zeros(DType::int32, Shape{1, 1, 1, 1}).value(), Corruption::contrast, 1),
          ErrorCode::invalid_dtype);
  refused(corrupt(Tensor::zeros(DType::f32, Shape{1, 1}).value(), Corruption::contrast, 1), ErrorCode::invalid_shape);
  refused(corruption_from_string("rain"), ErrorCode::not_found);
  CHECK(corrupt(Tensor::zeros(DType::f32, Shape{0, 3, 8, 8}).value(), Corruption::contrast, 1).value().elements() == 0);
}

TEST_CASE("robustness: paired loss under every corruption", "[corruption]") {
  // Classes are dark and bright; the candidate's threshold is off, which only corrupted images show.
  const std::int64_t rows = 200;
  Tensor images = Tensor::zeros(DType::f32, Shape{rows, 1, 8, 8}).value();
  Tensor labels = Tensor::zeros(DType::int32, Shape{rows}).value();
  for (std::int64_t i = 0; i < rows; ++i) {
    labels.mutable_values<std::int32_t>()[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % 2);
    for (std::int64_t k = 0; k < 64; ++k)
      images.mutable_values<float>()[static_cast<std::size_t>(i * 64 + k)] = i % 2 == 0 ? 0.3F : 0.6F;
  }
  const auto threshold = [](float limit) {
    return [limit](const TensorView& input) -> Result<Answer> {
      const auto values = input.values<float>("input").value();
      Tensor logits = Tensor::zeros(DType::f32, Shape{input.size(0), 2}).value();
      for (std::int64_t i = 0; i < input.size(0); ++i) {
        float mean = 0;
        for (std::int64_t k = 0; k < 64; ++k) mean += values[static_cast<std::size_t>(i * 64 + k)] / 64;
        logits.mutable_values<float>()[static_cast<std::size_t>(2 * i + 1)] = mean - limit;
      }
      return Answer{.outputs = std::move(logits)};
    };
  };
  const Suite suite = Suite::freeze({.name = "grey", .inputs = std::move(images), .labels = std::move(labels)}).value();
  const Contender baseline{.name = "b", .predict = threshold(0.45F)},
      candidate{.name = "c", .predict = threshold(0.33F)};
  const auto table = robustness(baseline, candidate, suite,
                                {.corruptions = {Corruption::brightness, Corruption::contrast}, .severities = {1, 3}})
                         .value();
  CHECK(table.clean.loss() == 0);
  REQUIRE(table.rows.size() == 4);
  CHECK(table.rows[0].accuracy.loss() == Approx(0.5)); // dark images at .35: wrong for the candidate alone
  CHECK(table.rows[0].loss.contains(0.5));
  CHECK(table.rows[2].accuracy.loss() == 0);
  CHECK(fmt::format("{}", table).find("| brightness | 1 | 100.00 % | 50.00 % | +50.00 |") != std::string::npos);
  CHECK_FALSE(robustness(baseline, candidate, suite, {.severities = {}}));
  CHECK_FALSE(robustness(baseline, candidate, suite, {.severities = {9}}));
}
