#pragma once

// Standard corruptions of images, five severities each, after Hendrycks and Dietterich ("Benchmarking Neural Network
// Robustness to Common Corruptions and Perturbations", ICLR 2019) with the parameters that they publish for images of
// 32 x 32 (CIFAR-10-C): what a compression costs on inputs that are not as clean as the test set. Blur is scaled with
// the width of the image, all else is as there. Quantized colours are an addition: 32, 16, 8, 6 and 4 levels a channel.
//
//     auto noisy = evaluate::corrupt(images, evaluate::Corruption::gaussian_noise, 3, seed).value();
//     auto table = evaluate::robustness(baseline, candidate, suite).value();
//     fmt::print("{}\n", table);

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/evaluate/evaluation.hpp"

namespace mcomp::inline v0::evaluate {

enum class Corruption {
  gaussian_noise,    ///< added, standard deviation .04 .. .10
  shot_noise,        ///< Poisson counts of 500 .. 50 at full brightness
  impulse_noise,     ///< 1 .. 7 % of the numbers become 0 or 1
  gaussian_blur,     ///< standard deviation .4 .. 1 pixel of an image 32 wide
  contrast,          ///< .75 .. .15 of it, around the mean of each channel
  brightness,        ///< value (of hue, saturation, value) raised by .05 .. .3
  pixelate,          ///< through an image of .95 .. .65 the size
  quantized_colours, ///< 32 .. 4 levels a channel
};

[[nodiscard]] MCOMP_API std::string to_string(Corruption corruption);
/// The inverse of `to_string`. Error: not_found, with those there are.
[[nodiscard]] MCOMP_API Result<Corruption> corruption_from_string(std::string_view name);
[[nodiscard]] MCOMP_API const std::vector<Corruption>& all_corruptions();

/// Images [samples, channels, height, width], uint8, or f32 from 0 to 1 (not normalized); the result is of the same
/// type and shape, f32 results within 0 .. 1. The same seed gives the same bytes for each image, wherever it stands
/// among the threads; random streams are by index of the image.
/// Errors: invalid_dtype, invalid_shape; invalid_value for numbers outside 0 .. 1; invalid_argument for a severity
/// outside 1 .. 5.
[[nodiscard]] MCOMP_API Result<Tensor> corrupt(const TensorView& images, Corruption corruption, int severity,
                                               std::uint64_t seed = 0, Executor* executor = nullptr);

/// The suite with corrupted inputs, the same labels and slices; its versions say what was done.
/// Errors: those of `corrupt`, invalid_argument for a suite without inputs.
[[nodiscard]] MCOMP_API Result<Suite> corrupted(const Suite& suite, Corruption corruption, int severity,
                                                std::uint64_t seed = 0, Executor* executor = nullptr);

struct RobustnessOptions {
  std::vector<Corruption> corruptions{}; ///< empty: all
  std::vector<int> severities{1, 2, 3, 4, 5};
  std::uint64_t seed = 0;
  std::int64_t batch = 100;
  double level = 0.95; ///< of the intervals
};

/// Both models under one corruption, on the same images.
struct RobustnessRow {
  Corruption corruption = Corruption::gaussian_noise;
  int severity = 1;
  stats::PairedCounts accuracy{};
  stats::Interval loss{}; ///< Tango's, of accuracy lost by the compression

  friend bool operator==(const RobustnessRow&, const RobustnessRow&) = default;
};

struct Robustness {
  stats::PairedCounts clean{};
  stats::Interval clean_loss{};
  std::vector<RobustnessRow> rows{};

  [[nodiscard]] MCOMP_API double mean_baseline_accuracy() const noexcept;  ///< over rows; NaN without
  [[nodiscard]] MCOMP_API double mean_candidate_accuracy() const noexcept; ///< over rows; NaN without
  friend bool operator==(const Robustness&, const Robustness&) = default;
};

/// A Markdown table.
[[nodiscard]] MCOMP_API std::string to_string(const Robustness& robustness);

/// Runs both models on the suite and on every corruption of it. Contenders take images as the suite holds them.
/// Errors: those of `compare` and `corrupted`; invalid_argument without severities.
[[nodiscard]] MCOMP_API Result<Robustness> robustness(const Contender& baseline, const Contender& candidate,
                                                      const Suite& suite, const RobustnessOptions& options = {},
                                                      const Context& context = {});

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::Corruption> = true;
template <> inline constexpr bool enable_format<evaluate::Robustness> = true;
} // namespace mcomp::inline v0
