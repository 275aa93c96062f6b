#pragma once

#include "quant/block_bytes.hpp"
#include "quant/offset_search.hpp"
#include "quant/signed_search.hpp"

// The search of lane_search.hpp, compiled once for each instruction set: a source of its own sets the target of all
// functions in here, which are not inlined into one another by force, since that took a compiler minutes.

namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET {

inline constexpr int most_starts = 256;

/// Starts of a scale and offset: how far the ends of the range move inwards, in steps of the codes. Lanes 8-15 of a
/// doubled block take every second start; a lone sub-block takes 16 at a time.
struct OffsetStarts {
  LaneArray inner[most_starts], outer[most_starts];
  int count = 0;
};

template <std::size_t N>
OffsetStarts starts_on_grid(const std::array<float, N>& ends, std::size_t side, std::size_t at_once) {
  OffsetStarts starts;
  const std::size_t all = side * side, lanes = lane_count / at_once;
  starts.count = static_cast<int>((all + at_once - 1) / at_once);
  for (std::size_t k = 0; k < static_cast<std::size_t>(starts.count); ++k)
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
      const std::size_t start = (k * at_once + lane / lanes) % all;
      starts.inner[k][lane] = ends[start / side];
      starts.outer[k][lane] = ends[start % side];
    }
  return starts;
}

/// In the order in which they help: the first few make a coarse grid of their own.
inline constexpr std::array<float, 16> ends{0.0f, 0.4f, 0.8f, -0.3f, 0.2f, 0.6f, 1.1f, 1.5f,
                                            1.0f, 1.8f, 1.3f, -0.6f, 2.2f, 2.8f, 3.5f, 5.0f};

inline const OffsetStarts& offset_starts(std::size_t at_once, int side) {
  static const std::array<std::array<OffsetStarts, 17>, 3> all = [] {
    std::array<std::array<OffsetStarts, 17>, 3> tables;
    for (std::size_t a = 0; a < 3; ++a)
      for (std::size_t n = 1; n < 17; ++n) tables[a][n] = starts_on_grid(ends, n, a == 0 ? 1 : a == 1 ? 2 : 16);
    return tables;
  }();
  return all[at_once == 1 ? 0 : at_once == 2 ? 1 : 2][static_cast<std::size_t>(side)];
}

/// fp16 `steps` above the one nearest to `value` (below, where negative), away from or towards zero alike.
inline half neighbour(double value, int steps) {
  const half nearest = to_finite_half(value);
  const int magnitude = std::clamp((nearest.bits & 0x7fff) + steps, 0, 0x7bff);
  return {static_cast<std::uint16_t>((nearest.bits & 0x8000) | magnitude)};
}

/// Storable scales around one point, eight of them, each with the two storable offsets around its best.
template <class L>
inline void round_affine(const OffsetSearch<L, true>& lanes, float scale, float offset, double& least,
                         BlockGrid& grid) {
  const double unit = lanes.block().unit;
  std::array<half, lane_count> scales, offsets;
  alignas(64) LaneArray values, shifted, error;
  for (std::size_t j = 0; j < lane_count; ++j) {
    scales[j] = neighbour(static_cast<double>(scale) * unit, static_cast<int>(j / 2) - 4);
    values[j] = static_cast<float>(static_cast<double>(to_float(scales[j])) / unit);
  }
  L remaining, residual;
  lanes.evaluate(L::load(values.data()), L::all(offset), remaining, residual);
  (L::all(offset) + residual * lanes.per_weight()).store(shifted.data());
  for (std::size_t j = 0; j < lane_count; ++j) {
    const double wished = static_cast<double>(shifted[j]) * unit;
    const bool below = std::abs(static_cast<double>(to_float(to_finite_half(wished)))) < std::abs(wished);
    offsets[j] = neighbour(wished, j % 2 == 0 ? 0 : below ? 1 : -1);
    shifted[j] = static_cast<float>(static_cast<double>(to_float(offsets[j])) / unit);
  }
  lanes.evaluate(L::load(values.data()), L::load(shifted.data()), remaining, residual);
  remaining.store(error.data());
  for (std::size_t j = 0; j < lane_count; ++j)
    if (static_cast<double>(error[j]) < least) {
      least = static_cast<double>(error[j]);
      grid.super = {scales[j].bits, offsets[j].bits};
    }
}

/// Q4_1, Q5_1: scale and offset are fp16 of their own.
template <class L>
inline void fit_affine_body(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                            const SearchEffort& effort, BlockGrid& grid) {
  const LaneBlock block(w, importance, 32);
  grid = {};
  if (!block.zero) {
    const OffsetSearch<L, true> lanes(block, levels_of(format).back());
    const OffsetStarts& starts = offset_starts(16, effort.starts);
    const auto best = lanes.starts(starts.inner, starts.outer, starts.count, effort);
    alignas(64) LaneArray scale, offset, error;
    best.scale.store(scale.data());
    best.offset.store(offset.data());
    best.error.store(error.data());
    double least = HUGE_VAL;
    for (int k = 0; k < effort.candidates; ++k) {
      const auto at = static_cast<std::size_t>(std::min_element(error.begin(), error.end()) - error.begin());
      round_affine(lanes, scale[at], offset[at], least, grid);
      error[at] = HUGE_VALF;
    }
  }
  expand_scales(format, grid);
}

/// Q2_K, Q4_K, Q5_K.
template <class L>
inline void fit_offsets_body(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                             const SearchEffort& effort, BlockGrid& grid) {
  const LaneBlock block(w, importance, static_cast<std::size_t>(block_layout(format).sub_block_size));
  grid = {};
  if (block.zero) return expand_scales(format, grid);
  const OffsetSearch<L, false> lanes(block, levels_of(format).back());
  const OffsetStarts& starts = offset_starts(block.doubled() ? 2 : 1, effort.starts);
  const auto best = lanes.starts(starts.inner, starts.outer, starts.count, effort);
  alignas(64) LaneArray scale, offset, error, curvature, tilt, weight, minimum;
  best.scale.store(scale.data());
  best.offset.store(offset.data());
  best.error.store(error.data());
  join_halves<2>(block, error.data(), {scale.data(), offset.data()});
  const L scales = larger(L::load(scale.data()), L::all(0.0f)), offsets = L::load(offset.data());
  scales.store(scale.data());
  const auto s = lanes.sums(scales, offsets);
  const L tilts = s.q * lanes.per_weight();
  (s.qq - s.q * tilts).store(curvature.data());
  tilts.store(tilt.data());
  lanes.weight().store(weight.data());

  const auto top = static_cast<float>(scale_codes_of(format).highest);
  const float fewest = top * 0.45f, most = top * 1.06f;
  const SuperSearch<L> super(lanes, top);
  OffsetChoice chosen, trial;
  std::array<float, 8> scales_tried, minima_tried;
  const std::size_t count = best_models<L>(block, scale, curvature, top, fewest, most, effort.models,
                                           std::span(scales_tried).first(static_cast<std::size_t>(effort.candidates)));
  for (std::size_t c = 0; c < count; ++c) {
    const float d = block.storable(static_cast<double>(scales_tried[c]));
    for (std::size_t j = 0; j < block.sub_blocks; ++j) {
      const float code = d > 0 ? std::clamp(std::nearbyint(scale[j] / d), 0.0f, top) : 0.0f;
      minimum[j] = -(offset[j] - tilt[j] * (d * code - scale[j]));
    }
    const std::size_t minima =
        best_models<L>(block, minimum, weight, top, fewest, most, effort.models,
                       std::span(minima_tried).first(static_cast<std::size_t>((effort.candidates + 1) / 2)));
    for (std::size_t m = 0; m < minima; ++m) {
      super.around(d, block.storable(static_cast<double>(minima_tried[m])), scales, offsets, tilts, effort.reach,
                   trial);
      if (trial.total < chosen.total) chosen = trial;
    }
  }
  for (int k = 0; k < effort.refinements; ++k) {
    const double before = chosen.total;
    super.descend(chosen, effort.rounds);
    trial = chosen;
    super.least_squares(chosen, trial.d, trial.dmin);
    super.update(trial);
    if (trial.total < chosen.total) chosen = trial;
    if (!(chosen.total < before)) break;
  }
  grid.super = {block.bits_of(chosen.d), block.bits_of(chosen.dmin)};
  for (std::size_t j = 0; j < block.sub_blocks; ++j) {
    grid.small[2 * j] = static_cast<std::uint8_t>(chosen.scale_code[j]);
    grid.small[2 * j + 1] = static_cast<std::uint8_t>(chosen.minimum_code[j]);
  }
  expand_scales(format, grid);
}

/// Q3_K, Q6_K, IQ4_XS.
template <class L, class Levels>
inline void fit_signed_body(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                            const SearchEffort& effort, BlockGrid& grid) {
  const LaneBlock block(w, importance, static_cast<std::size_t>(block_layout(format).sub_block_size));
  const ScaleCodes codes = scale_codes_of(format);
  grid = {};
  SignedChoice chosen, trial;
  if (!block.zero) {
    const Levels levels(levels_of(format));
    const auto lowest = static_cast<float>(codes.lowest), highest = static_cast<float>(codes.highest);
    const SignedSearch<L, Levels> lanes(block, levels, lowest, highest);
    const float reach = -levels_of(format).front();
    SignedTarget targets[2];
    for (int side = 0; side < 2; ++side) {
      const L sign = L::all(side == 0 ? 1.0f : -1.0f);
      const auto best = lanes.starts(sign, reach * 0.45f, reach * (format == BlockFormat::q6_k ? 1.2f : 2.0f),
                                     effort.starts, effort.alternations);
      best.scale.store(targets[side].scale.data());
      best.error.store(targets[side].error.data());
      lanes.sums(best.scale).qq.store(targets[side].curvature.data());
    }
    float span = 0;
    for (std::size_t j = 0; j < block.sub_blocks; ++j)
      span = std::max(span, std::abs(targets[targets[1].error[j] < targets[0].error[j] ? 1 : 0].scale[j]));
    alignas(64) float values[most_models], costs[most_models];
    const int half_count = effort.models / 2;
    for (int k = 0; k < effort.models; ++k) {
      const float share = static_cast<float>(k % half_count) / static_cast<float>(half_count - 1);
      const float d = span / (-lowest * (0.5f + 0.54f * share));
      values[k] = k < half_count ? d : -d;
    }
    for (int k = 0; k < effort.models; k += static_cast<int>(lane_count))
      signed_costs<L>(block.sub_blocks, targets, lowest, highest, values + k, costs + k);
    std::array<float, 16> tried;
    const std::size_t count = least(std::span(costs, static_cast<std::size_t>(effort.models)),
                                    std::span<const float>(values, static_cast<std::size_t>(effort.models)),
                                    std::span(tried).first(static_cast<std::size_t>(effort.candidates)));
    for (std::size_t c = 0; c < count; ++c) {
      trial.d = block.storable(static_cast<double>(tried[c]));
      lanes.clear(trial);
      for (const SignedTarget& target : targets) lanes.around(L::load(target.scale.data()), effort.reach, trial);
      lanes.finish(trial);
      if (trial.total < chosen.total) chosen = trial;
    }
    for (int k = 0; k < effort.refinements; ++k) {
      const double before = chosen.total;
      lanes.descend(chosen, effort.rounds);
      trial = chosen;
      trial.d = lanes.least_squares(chosen);
      lanes.clear(trial);
      lanes.keep(L::load(chosen.code.data()), trial.d, trial);
      lanes.finish(trial);
      if (trial.total < chosen.total) chosen = trial;
      if (!(chosen.total < before)) break;
    }
    grid.super[0] = block.bits_of(chosen.d);
  }
  for (std::size_t j = 0; j < block.sub_blocks; ++j)
    grid.small[2 * j] = static_cast<std::uint8_t>(static_cast<int>(chosen.code[j]) + codes.bias);
  expand_scales(format, grid);
}

template <class L>
inline void fit_body(BlockFormat format, std::span<const float> w, std::span<const float> importance,
                     const SearchEffort& effort, BlockGrid& grid) {
  switch (format) {
  case BlockFormat::q4_1:
  case BlockFormat::q5_1:
    return fit_affine_body<L>(format, w, importance, effort, grid);
  case BlockFormat::q2_k:
  case BlockFormat::q4_k:
  case BlockFormat::q5_k:
    return fit_offsets_body<L>(format, w, importance, effort, grid);
  case BlockFormat::iq4_xs:
    return fit_signed_body<L, UnevenLevels<L>>(format, w, importance, effort, grid);
  default:
    return fit_signed_body<L, EvenLevels<L>>(format, w, importance, effort, grid);
  }
}

} // namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET
