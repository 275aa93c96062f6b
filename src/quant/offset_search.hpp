#pragma once

#include "quant/lane_block.hpp"
#include "quant/lane_search.hpp"

// Sub-blocks with a scale and an offset: Q2_K, Q4_K, Q5_K (offsets -dmin * code, so not above zero) and Q4_1, Q5_1.

namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET {

template <class L, bool Free> class OffsetSearch {
 public:
  /// Least-squares sums of a sub-block with residual r = w - (scale q + offset) and h the importance.
  struct Sums {
    L error, r, rq, q, qq; ///< sum h r^2, h r, h r q, h q, h q^2
  };
  struct Point {
    L scale, offset, error;
  };

  OffsetSearch(const LaneBlock& block, float top_level) : block_(block), top_(L::all(top_level)), zero_(L::all(0.0f)) {
    weight_ = zero_;
    for (std::size_t i = 0; i < block.length; ++i) weight_ = weight_ + L::load(block.h[i]);
    per_weight_ = inverse(weight_);
    const L average = weight_ * L::all(1.0f / static_cast<float>(block.length));
    low_ = high_ = core_low_ = core_high_ = L::load(block.w[0]);
    for (std::size_t i = 0; i < block.length; ++i) {
      const L x = L::load(block.w[i]), h = L::load(block.h[i]) * L::all(3.0f);
      low_ = smaller(low_, x);
      high_ = larger(high_, x);
      core_low_ = smaller(core_low_, where_less(average, h, x, core_low_));
      core_high_ = larger(core_high_, where_less(average, h, x, core_high_));
    }
    if constexpr (!Free) {
      low_ = smaller(low_, zero_);
      core_low_ = smaller(core_low_, zero_);
    }
  }

  Sums sums(const L& scale, const L& offset) const {
    const L per_scale = inverse(scale);
    Sums s{zero_, zero_, zero_, zero_, zero_};
    for (std::size_t i = 0; i < block_.length; ++i) {
      const L x = L::load(block_.w[i]) - offset, h = L::load(block_.h[i]);
      const L q = clamped(rounded(x * per_scale), zero_, top_);
      const L r = x - scale * q, hr = h * r, hq = h * q;
      s.error = s.error + hr * r;
      s.r = s.r + hr;
      s.rq = s.rq + hr * q;
      s.q = s.q + hq;
      s.qq = s.qq + hq * q;
    }
    return s;
  }

  /// Error and sum h r alone.
  void evaluate(const L& scale, const L& offset, L& error, L& residual) const {
    const L per_scale = inverse(scale);
    error = residual = zero_;
    for (std::size_t i = 0; i < block_.length; ++i) {
      const L x = L::load(block_.w[i]) - offset, h = L::load(block_.h[i]);
      const L q = clamped(rounded(x * per_scale), zero_, top_);
      const L r = x - scale * q, hr = h * r;
      error = error + hr * r;
      residual = residual + hr;
    }
  }

  /// Keeps the better of `best` and the least-squares point for the codes nearest at (scale, offset).
  void improve(const L& scale, const L& offset, Point& best) const {
    const Sums s = sums(scale, offset);
    const L determinant = s.qq * weight_ - s.q * s.q;
    const L per = inverse(larger(determinant, L::all(1e-30f)));
    L step = (s.rq * weight_ - s.r * s.q) * per, shift = (s.qq * s.r - s.q * s.rq) * per;
    const L safe = L::all(1e-5f) * s.qq * weight_; // all codes alike: only the offset is determined
    step = where_less(safe, determinant, step, zero_);
    shift = where_less(safe, determinant, shift, s.r * per_weight_);
    if constexpr (!Free) {
      const L above = offset + shift;
      const L clipped_step = (s.rq + offset * s.q) * inverse(s.qq);
      step = where_less(zero_, above, clipped_step, step);
      shift = where_less(zero_, above, zero_ - offset, shift);
    }
    const L gain = (s.r * shift + s.rq * step) * L::all(2.0f) - (s.qq * step + s.q * shift) * step -
                   (s.q * step + weight_ * shift) * shift;
    const L error = s.error - gain;
    best.scale = where_less(error, best.error, scale + step, best.scale);
    best.offset = where_less(error, best.error, offset + shift, best.offset);
    best.error = smaller(error, best.error);
  }

  /// The best unconstrained scale and offset of every lane, from starts in up to three ranges: that of all weights,
  /// that of weights of more than a third of the average importance, from zero; start k moves the ends of a range
  /// inwards by `inner[k]` steps of the codes below and `outer[k]` above. A fourth set of starts are phases.
  Point starts(const LaneArray* inner, const LaneArray* outer, int count, const SearchEffort& effort) const {
    Point best{zero_, zero_, L::all(HUGE_VALF)};
    for (int range = 0; range < effort.ranges; ++range) {
      L from = low_, to = high_;
      if (range == 1) from = core_low_, to = core_high_;
      if (range == 2) from = smaller(low_, zero_);
      const L step = (to - from) * inverse(top_);
      Point found{zero_, zero_, L::all(HUGE_VALF)};
      if (range == 2) fine_starts(from, to, found);
      if (range == 3) phase_starts(found);
      for (int k = 0; range < 3 && k < count; ++k) {
        const L low = from + L::load(inner[k].data()) * step, high = to - L::load(outer[k].data()) * step;
        improve((high - low) * inverse(top_), Free ? low : smaller(low, zero_), found);
      }
      for (int k = 0; k < effort.alternations; ++k) improve(found.scale, found.offset, found);
      if (effort.exchanges > 0) {
        exchange(found, effort.exchanges);
        for (int k = 0; k < 2; ++k) improve(found.scale, found.offset, found);
      }
      best.scale = where_less(found.error, best.error, found.scale, best.scale);
      best.offset = where_less(found.error, best.error, found.offset, best.offset);
      best.error = smaller(found.error, best.error);
    }
    return best;
  }

  /// Of one sub-block in all lanes: a fixed lower end and scales by a twentieth of a step, which visits the codes that
  /// the usual search for these formats chooses from.
  void fine_starts(const L& from, const L& to, Point& best) const {
    alignas(64) LaneArray steps;
    for (int k = 0; k < 3; ++k) {
      for (std::size_t j = 0; j < lane_count; ++j)
        steps[j] = -0.9f + 0.05f * static_cast<float>(static_cast<std::size_t>(k) * lane_count + j);
      improve((to - from) * inverse(top_ + L::load(steps.data())), from, best);
    }
  }

  /// Of one sub-block in all lanes: scales around the one that spans the range, each with 16 phases of the offset in
  /// one step. With scales that leave codes unused the error depends on scale and phase alone, and has many minima.
  void phase_starts(Point& best) const {
    alignas(64) LaneArray phases;
    for (std::size_t j = 0; j < lane_count; ++j) phases[j] = static_cast<float>(j) / 16.0f;
    const L tight = (high_ - low_) * inverse(top_), phase = L::load(phases.data());
    for (int k = 0; k < 24; ++k) {
      const L scale = tight * L::all(0.9f + 0.02f * static_cast<float>(k));
      improve(scale, low_ - phase * scale, best);
    }
  }

  /// Changes single codes by one wherever that lowers the error after both scale and offset are fitted anew, which
  /// leads out of points where nearest codes and least squares agree. With weights centred on their mean the fitted
  /// error is a constant minus u^2 / v, u = sum h w q, v = sum h q^2 - (sum h q)^2 / sum h.
  void exchange(Point& best, int rounds) const {
    alignas(64) float codes[32][lane_count];
    const L one = L::all(1.0f), per_scale = inverse(best.scale);
    L mean = zero_, u = zero_, q1 = zero_, q2 = zero_;
    for (std::size_t i = 0; i < block_.length; ++i) mean = mean + L::load(block_.h[i]) * L::load(block_.w[i]);
    mean = mean * per_weight_;
    for (std::size_t i = 0; i < block_.length; ++i) {
      const L x = L::load(block_.w[i]), q = clamped(rounded((x - best.offset) * per_scale), zero_, top_);
      const L hq = L::load(block_.h[i]) * q;
      q.store(codes[i]);
      u = u + hq * (x - mean);
      q1 = q1 + hq;
      q2 = q2 + hq * q;
    }
    for (int round = 0; round < rounds; ++round)
      for (std::size_t i = 0; i < block_.length; ++i) {
        const L h = L::load(block_.h[i]), hx = h * (L::load(block_.w[i]) - mean), q = L::load(codes[i]);
        L best_u = u, best_v = q2 - q1 * q1 * per_weight_, step = zero_;
        for (const L& delta : {one, zero_ - one}) {
          const L moved = clamped(q + delta, zero_, top_) - q;
          const L u1 = u + hx * moved, q11 = q1 + h * moved, q21 = q2 + h * moved * (q + q + moved);
          const L v1 = q21 - q11 * q11 * per_weight_;
          const L before = best_u * best_u * v1, after = u1 * u1 * best_v;
          best_u = where_less(before, after, u1, best_u);
          best_v = where_less(before, after, v1, best_v);
          step = where_less(before, after, moved, step);
        }
        (q + step).store(codes[i]);
        q2 = q2 + h * step * (q + q + step);
        q1 = q1 + h * step;
        u = best_u;
      }
    const L scale = u * inverse(q2 - q1 * q1 * per_weight_), offset = mean - scale * q1 * per_weight_;
    improve(scale, Free ? offset : smaller(offset, zero_), best);
  }

  const L& weight() const { return weight_; }
  const L& per_weight() const { return per_weight_; }
  const LaneBlock& block() const { return block_; }

 private:
  const LaneBlock& block_;
  L top_, zero_, low_, high_, core_low_, core_high_, weight_, per_weight_;
};

/// Of lanes j and j + 8 of a doubled block the better one, in both.
template <std::size_t N> void join_halves(const LaneBlock& block, float* error, const std::array<float*, N>& others) {
  if (!block.doubled()) return;
  for (std::size_t j = 0; j < 8; ++j) {
    const std::size_t from = error[j + 8] < error[j] ? j + 8 : j, to = from == j ? j + 8 : j;
    error[to] = error[from];
    for (float* values : others) values[to] = values[from];
  }
}

/// Sum over lanes t of curvature (target - d code)^2 for 16 values of d, codes nearest.
template <class L>
void model_costs(std::size_t lanes, const LaneArray& target, const LaneArray& curvature, float top, const float* d,
                 float* costs) {
  const L step = L::load(d), per = inverse(step), zero = L::all(0.0f), highest = L::all(top);
  L cost = zero;
  for (std::size_t j = 0; j < lanes; ++j) {
    const L t = L::all(target[j]);
    const L r = t - step * clamped(rounded(t * per), zero, highest);
    cost = cost + L::all(curvature[j]) * r * r;
  }
  cost.store(costs);
}

inline constexpr int most_models = 512;

/// Super-block scales between `span / most` and `span / fewest`, `count` of them, compared by the model.
template <class L>
std::size_t best_models(const LaneBlock& block, const LaneArray& target, const LaneArray& curvature, float top,
                        float fewest, float most, int count, std::span<float> chosen) {
  float span = 0;
  for (std::size_t j = 0; j < block.sub_blocks; ++j) span = std::max(span, target[j]);
  if (!(span > 0)) {
    chosen[0] = 0;
    return 1;
  }
  alignas(64) float values[most_models], costs[most_models];
  for (int k = 0; k < count; ++k)
    values[k] = span / (fewest + (most - fewest) * static_cast<float>(k) / static_cast<float>(count - 1));
  for (int k = 0; k < count; k += static_cast<int>(lane_count))
    model_costs<L>(block.sub_blocks, target, curvature, top, values + k, costs + k);
  return least(std::span(costs, static_cast<std::size_t>(count)),
               std::span<const float>(values, static_cast<std::size_t>(count)), chosen);
}

/// Super-block scales with the codes of every sub-block.
struct OffsetChoice {
  float d = 0, dmin = 0;
  alignas(64) LaneArray scale_code{}, minimum_code{}, error{};
  double total = HUGE_VAL;
};

template <class L> class SuperSearch {
 public:
  SuperSearch(const OffsetSearch<L, false>& lanes, float top_code)
      : lanes_(lanes), block_(lanes.block()), top_(L::all(top_code)), zero_(L::all(0.0f)) {}

  /// Tries a minimum code and the better one that the residual suggests; keeps what is better in each lane.
  void try_codes(float d, float dmin, const L& code, const L& minimum, OffsetChoice& choice) const {
    const L step = L::all(dmin), per = inverse(step), scale = L::all(d) * code;
    L error, residual;
    lanes_.evaluate(scale, zero_ - step * minimum, error, residual);
    keep(code, minimum, error, choice);
    const L moved = clamped(rounded(minimum - residual * lanes_.per_weight() * per), zero_, top_);
    lanes_.evaluate(scale, zero_ - step * moved, error, residual);
    keep(code, moved, error, choice);
  }

  /// The `reach` + 1 scale codes next to the wished scale, with minima that follow the scale along `tilt`.
  void around(float d, float dmin, const L& scale, const L& offset, const L& tilt, int reach,
              OffsetChoice& choice) const {
    choice.d = d;
    choice.dmin = dmin;
    L::all(HUGE_VALF).store(choice.error.data());
    const L step = L::all(d), per = inverse(L::all(dmin)), wished = scale * inverse(step);
    const L nearest = clamped(rounded(wished), zero_, top_);
    const L towards = where_less(nearest, wished, L::all(1.0f), L::all(-1.0f));
    // Alternately beyond the wished scale and on this side of it: 0, 1, -1, 2 ...
    for (int k = 0; k <= reach; k += block_.doubled() ? 2 : 1) {
      const auto distance = [](int step_of) {
        return static_cast<float>(step_of % 2 == 1 ? (step_of + 1) / 2 : -step_of / 2);
      };
      const L code = nearest + towards * (block_.doubled() ? halves(L::all(distance(k)), L::all(distance(k + 1)))
                                                           : L::all(distance(k)));
      const L stored = clamped(code, zero_, top_), at = offset - tilt * (step * stored - scale);
      try_codes(d, dmin, stored, clamped(rounded((zero_ - at) * per), zero_, top_), choice);
    }
    finish(choice);
  }

  /// The errors of the codes that stand in `choice` with its scales.
  void update(OffsetChoice& choice) const {
    const L code = L::load(choice.scale_code.data()), minimum = L::load(choice.minimum_code.data());
    L::all(HUGE_VALF).store(choice.error.data());
    try_codes(choice.d, choice.dmin, code, minimum, choice);
    finish(choice);
  }

  /// Codes one up and one down, of scales (minima following) and of minima, until no lane improves.
  void descend(OffsetChoice& choice, int rounds) const {
    const L one = L::all(1.0f), per = inverse(L::all(choice.dmin));
    for (int round = 0; round < rounds; ++round) {
      const double before = choice.total;
      const int variants = block_.doubled() ? 1 : 2;
      for (int v = 0; v < variants; ++v) {
        const L direction = block_.doubled() ? halves(one, zero_ - one) : v == 0 ? one : zero_ - one;
        const L code = L::load(choice.scale_code.data()), minimum = L::load(choice.minimum_code.data());
        const L scale = L::all(choice.d) * code, offset = zero_ - L::all(choice.dmin) * minimum;
        const auto s = lanes_.sums(scale, offset);
        const L moved = clamped(code + direction, zero_, top_);
        const L at = offset + (s.r - s.q * L::all(choice.d) * (moved - code)) * lanes_.per_weight();
        try_codes(choice.d, choice.dmin, moved, clamped(rounded((zero_ - at) * per), zero_, top_), choice);
        L error, residual;
        const L beside = clamped(minimum + direction, zero_, top_);
        lanes_.evaluate(scale, zero_ - L::all(choice.dmin) * beside, error, residual);
        keep(code, beside, error, choice);
      }
      finish(choice);
      if (!(choice.total < before)) break;
    }
  }

  /// The closed form for both super-block scales with all codes fixed.
  void least_squares(const OffsetChoice& choice, float& d, float& dmin) const {
    const L code = L::load(choice.scale_code.data()), minimum = L::load(choice.minimum_code.data());
    const auto s = lanes_.sums(L::all(choice.d) * code, zero_ - L::all(choice.dmin) * minimum);
    const double aa = sum(code * code * s.qq), am = -sum(code * minimum * s.q);
    const double mm = sum(minimum * minimum * lanes_.weight());
    const double a = sum(code * s.rq), m = -sum(minimum * s.r), determinant = aa * mm - am * am;
    double step = aa > 0 ? a / aa : 0, shift = 0;
    if (determinant > 1e-6 * aa * mm) {
      step = (a * mm - m * am) / determinant;
      shift = (m * aa - a * am) / determinant;
    }
    d = block_.storable(static_cast<double>(choice.d) + step);
    dmin = block_.storable(std::max(0.0, static_cast<double>(choice.dmin) + shift));
  }

 private:
  void keep(const L& code, const L& minimum, const L& error, OffsetChoice& choice) const {
    const L best = L::load(choice.error.data());
    where_less(error, best, code, L::load(choice.scale_code.data())).store(choice.scale_code.data());
    where_less(error, best, minimum, L::load(choice.minimum_code.data())).store(choice.minimum_code.data());
    smaller(error, best).store(choice.error.data());
  }
  void finish(OffsetChoice& choice) const {
    join_halves<2>(block_, choice.error.data(), {choice.scale_code.data(), choice.minimum_code.data()});
    choice.total = 0;
    for (std::size_t j = 0; j < block_.sub_blocks; ++j) choice.total += static_cast<double>(choice.error[j]);
  }
  static L halves(const L& a, const L& b) {
    alignas(64) float x[lane_count], y[lane_count];
    a.store(x);
    b.store(y);
    for (std::size_t j = 8; j < lane_count; ++j) x[j] = y[j];
    return L::load(x);
  }
  double sum(const L& values) const {
    alignas(64) float x[lane_count];
    values.store(x);
    double total = 0;
    for (std::size_t j = 0; j < block_.sub_blocks; ++j) total += static_cast<double>(x[j]);
    return total;
  }

  const OffsetSearch<L, false>& lanes_;
  const LaneBlock& block_;
  L top_, zero_;
};

} // namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET
