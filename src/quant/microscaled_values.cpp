#include "quant/microscaled_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mcomp::inline v0::quant::detail {

namespace {

/// All numbers of an element, ascending, zero once.
std::vector<float> numbers_of(const MiniFloat& element) {
  std::vector<float> numbers;
  for (int code = 0; code < 1 << element.bits(); ++code) {
    const float x = decode(element, static_cast<std::uint8_t>(code));
    if (std::isfinite(x) && !(x == 0 && std::signbit(x))) numbers.push_back(x);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

} // namespace

MicroscaledValues::MicroscaledValues(const Microscaling& format, float global_scale)
    : format_(format), global_scale_(global_scale), levels_(numbers_of(format.element)), nearest_(levels_) {}

BlockGrid MicroscaledValues::grid(int code) const noexcept {
  BlockGrid result;
  result.offset.fill(-0.0f);
  result.super[0] = static_cast<std::uint16_t>(code);
  result.scale[0] = scale_value(format_, static_cast<std::uint8_t>(code), global_scale_);
  return result;
}

void MicroscaledValues::fit(std::span<const float> w, std::span<const float> importance, BlockGrid& result) const {
  if (std::all_of(importance.begin(), importance.end(), [](float h) { return h == 0; })) importance = {};
  float largest = 0;
  for (const float x : w) largest = std::max(largest, std::abs(x));
  const int first = scale_code(format_, ScaleRule::minimum_error, largest, global_scale_);
  result = grid(first);
  const ScaleWindow window = scale_window(format_.scale);
  double least = std::numeric_limits<double>::infinity();
  for (int code = std::max(0, first - window.below); code <= std::min(highest_scale(format_), first + window.above);
       ++code) {
    const BlockGrid candidate = grid(code);
    const float scale = candidate.scale[0], inverse = scale == 0 ? 0 : 1 / scale;
    double error = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double d = static_cast<double>(w[i] - scale * levels_[nearest_(w[i] * inverse)]);
      error += (importance.empty() ? 1 : static_cast<double>(importance[i])) * d * d;
    }
    if (error < least) least = error, result = candidate;
  }
}

void MicroscaledValues::round_scales(std::span<const float>, BlockGrid& result) const {
  const float wish = std::isfinite(result.scale[0]) ? std::abs(result.scale[0]) : 0;
  int code = 1;
  if (format_.scale == ScaleType::e4m3_global) {
    code = encode(e4m3, wish * global_scale_);
  } else {
    code = encode_e8m0_floor(wish);
    // Of the powers of two around it the one that is nearer as a ratio.
    if (wish > scale_value(format_, static_cast<std::uint8_t>(code), 1) * 1.41421356f) ++code;
  }
  result = grid(std::clamp(code, 1, highest_scale(format_)));
}

MicroscaledTensor MicroscaledValues::to_microscaled(const BlockCodes& codes, const Shape& shape) const {
  MicroscaledTensor q{format_, *Tensor::uninitialized(DType::uint8, shape),
                      *Tensor::uninitialized(DType::uint8, {codes.rows, codes.blocks()}), global_scale_};
  std::vector<std::uint8_t> element;
  for (const float level : levels_) element.push_back(encode(format_.element, level));
  auto* out = static_cast<std::uint8_t*>(q.codes.data());
  for (std::size_t i = 0; i < codes.codes.size(); ++i) out[i] = element[codes.codes[i]];
  auto* scales = static_cast<std::uint8_t*>(q.scales.data());
  for (std::size_t i = 0; i < codes.grids.size(); ++i) scales[i] = static_cast<std::uint8_t>(codes.grids[i].super[0]);
  return q;
}

} // namespace mcomp::inline v0::quant::detail
