#pragma once

#include <vector>

#include "mcomp/quant/microscaling.hpp"
#include "quant/block_codec.hpp"
#include "quant/block_codes.hpp"

namespace mcomp::inline v0::quant::detail {

/// The scale of a tensor whose largest magnitude gets the largest element under the largest scale.
[[nodiscard]] float global_scale_for(const Microscaling& format, float largest_of_tensor) noexcept;
/// The scale code that a group's largest magnitude asks for.
[[nodiscard]] std::uint8_t scale_code(const Microscaling& format, ScaleRule rule, float largest_of_group,
                                      float global) noexcept;
/// The highest scale code under which every element is finite.
[[nodiscard]] int highest_scale(const Microscaling& format) noexcept;
/// How far from the rule's code `ScaleRule::minimum_error` looks: smaller scales clip the largest weights.
struct ScaleWindow {
  int below, above;
};
[[nodiscard]] constexpr ScaleWindow scale_window(ScaleType type) noexcept {
  return type == ScaleType::e8m0 ? ScaleWindow{1, 1} : ScaleWindow{6, 3};
}

/// The errors of `quantize_microscaled`.
[[nodiscard]] Status check_microscaling(const TensorView& weight, const MicroscalingOptions& options);

/// Elements of a small floating-point format under one scale for each group. A grid keeps the scale's code in
/// `super[0]`.
class MicroscaledValues final : public BlockValues {
 public:
  MicroscaledValues(const Microscaling& format, float global_scale);

  [[nodiscard]] std::size_t block_size() const noexcept override {
    return static_cast<std::size_t>(format_.group_size);
  }
  [[nodiscard]] std::size_t sub_block_size() const noexcept override { return block_size(); }
  [[nodiscard]] std::span<const float> levels() const noexcept override { return levels_; }
  [[nodiscard]] bool has_offset() const noexcept override { return false; }
  /// Takes any number of weights.
  void fit(std::span<const float> w, std::span<const float> importance, BlockGrid& grid) const override;
  void round_scales(std::span<const float> weight, BlockGrid& grid) const override;

  /// Codes and scales as a tensor.
  [[nodiscard]] MicroscaledTensor to_microscaled(const BlockCodes& codes, const Shape& shape) const;

 private:
  [[nodiscard]] BlockGrid grid(int code) const noexcept;

  Microscaling format_;
  float global_scale_;
  std::vector<float> levels_;
  NearestLevel nearest_;
};

} // namespace mcomp::inline v0::quant::detail
