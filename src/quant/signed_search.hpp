#pragma once

#include "quant/lane_block.hpp"
#include "quant/lane_search.hpp"

// Sub-blocks with one scale that is a signed code times the block's scale: Q3_K, Q6_K, IQ4_XS. Levels reach one further
// to one side, so that a scale and its negative are two different choices.

namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET {

/// Consecutive whole levels.
template <class L> struct EvenLevels {
  L low, high;
  explicit EvenLevels(std::span<const float> levels) : low(L::all(levels.front())), high(L::all(levels.back())) {}
  L operator()(const L& x) const { return clamped(rounded(x), low, high); }
};

/// Sixteen levels at unequal steps: the first, and a step more for every middle that is passed.
template <class L> struct UnevenLevels {
  std::array<float, 16> levels;
  explicit UnevenLevels(std::span<const float> all) { std::copy(all.begin(), all.end(), levels.begin()); }
  L operator()(const L& x) const {
    const L zero = L::all(0.0f);
    L level = L::all(levels[0]);
    for (std::size_t k = 1; k < 16; ++k) {
      const L middle = L::all((levels[k - 1] + levels[k]) / 2);
      level = level + where_less(middle, x, L::all(levels[k] - levels[k - 1]), zero);
    }
    return level;
  }
};

struct SignedChoice {
  float d = 0;
  alignas(64) LaneArray code{}, error{};
  double total = HUGE_VAL;
};

template <class L, class Levels> class SignedSearch {
 public:
  struct Sums {
    L error, rq, qq; ///< sum h r^2, h r q, h q^2 with r = w - scale q
  };
  struct Point {
    L scale, error;
  };

  SignedSearch(const LaneBlock& block, const Levels& levels, float lowest, float highest)
      : block_(block), levels_(levels), low_(L::all(lowest)), high_(L::all(highest)), zero_(L::all(0.0f)) {
    largest_ = zero_;
    for (std::size_t i = 0; i < block.length; ++i) {
      const L x = L::load(block.w[i]);
      largest_ = larger(largest_, larger(x, zero_ - x));
    }
  }

  Sums sums(const L& scale) const {
    const L per_scale = inverse(scale);
    Sums s{zero_, zero_, zero_};
    for (std::size_t i = 0; i < block_.length; ++i) {
      const L x = L::load(block_.w[i]), h = L::load(block_.h[i]);
      const L q = levels_(x * per_scale);
      const L r = x - scale * q, hq = h * q;
      s.error = s.error + h * r * r;
      s.rq = s.rq + hq * r;
      s.qq = s.qq + hq * q;
    }
    return s;
  }

  L evaluate(const L& scale) const {
    const L per_scale = inverse(scale);
    L error = zero_;
    for (std::size_t i = 0; i < block_.length; ++i) {
      const L x = L::load(block_.w[i]);
      const L r = x - scale * levels_(x * per_scale);
      error = error + L::load(block_.h[i]) * r * r;
    }
    return error;
  }

  void improve(const L& scale, Point& best) const {
    const Sums s = sums(scale);
    const L step = s.rq * inverse(s.qq), error = s.error - s.rq * step;
    best.scale = where_less(error, best.error, scale + step, best.scale);
    best.error = smaller(error, best.error);
  }

  /// Starts put the largest weight at `reach[k]` of the levels' units; `sign` is 1 or -1 in each lane.
  Point starts(const L& sign, float nearest, float farthest, int count, int alternations) const {
    Point best{zero_, L::all(HUGE_VALF)};
    for (int k = 0; k < count; ++k) {
      const float reach = nearest + (farthest - nearest) * static_cast<float>(k) / static_cast<float>(count - 1);
      improve(sign * largest_ * L::all(1.0f / reach), best);
    }
    for (int k = 0; k < alternations; ++k) improve(best.scale, best);
    return best;
  }

  void keep(const L& code, float d, SignedChoice& choice) const {
    const L error = evaluate(L::all(d) * code), best = L::load(choice.error.data());
    where_less(error, best, code, L::load(choice.code.data())).store(choice.code.data());
    smaller(error, best).store(choice.error.data());
  }

  /// The codes on either side of a wished scale.
  void around(const L& scale, int reach, SignedChoice& choice) const {
    const L wished = scale * inverse(L::all(choice.d)), one = L::all(1.0f);
    const L nearest = clamped(rounded(wished), low_, high_);
    keep(nearest, choice.d, choice);
    for (int k = 1; k < reach; ++k) {
      keep(clamped(nearest + L::all(static_cast<float>(k)), low_, high_), choice.d, choice);
      keep(clamped(nearest - L::all(static_cast<float>(k)), low_, high_), choice.d, choice);
    }
    if (reach > 1) return;
    keep(clamped(nearest + where_less(nearest, wished, one, zero_ - one), low_, high_), choice.d, choice);
  }

  void descend(SignedChoice& choice, int rounds) const {
    const L one = L::all(1.0f);
    for (int round = 0; round < rounds; ++round) {
      const double before = choice.total;
      const L code = L::load(choice.code.data());
      keep(clamped(code + one, low_, high_), choice.d, choice);
      keep(clamped(code - one, low_, high_), choice.d, choice);
      finish(choice);
      if (!(choice.total < before)) break;
    }
  }

  float least_squares(const SignedChoice& choice) const {
    const L code = L::load(choice.code.data());
    const Sums s = sums(L::all(choice.d) * code);
    alignas(64) float numerator[lane_count], denominator[lane_count];
    (code * s.rq).store(numerator);
    (code * code * s.qq).store(denominator);
    double a = 0, aa = 0;
    for (std::size_t j = 0; j < block_.sub_blocks; ++j) {
      a += static_cast<double>(numerator[j]);
      aa += static_cast<double>(denominator[j]);
    }
    return block_.storable(static_cast<double>(choice.d) + (aa > 0 ? a / aa : 0));
  }

  void clear(SignedChoice& choice) const { L::all(HUGE_VALF).store(choice.error.data()); }
  void finish(SignedChoice& choice) const {
    choice.total = 0;
    for (std::size_t j = 0; j < block_.sub_blocks; ++j) choice.total += static_cast<double>(choice.error[j]);
  }

 private:
  const LaneBlock& block_;
  const Levels& levels_;
  L low_, high_, zero_, largest_;
};

/// The two ends of a sub-block's scale, with the model of the error around each: error + curvature (scale - s)^2.
struct SignedTarget {
  alignas(64) LaneArray scale, error, curvature;
};

template <class L>
void signed_costs(std::size_t lanes, const SignedTarget (&targets)[2], float lowest, float highest, const float* d,
                  float* costs) {
  const L step = L::load(d), per = inverse(step), low = L::all(lowest), high = L::all(highest);
  L cost = L::all(0.0f);
  for (std::size_t j = 0; j < lanes; ++j) {
    L of_sign[2];
    for (int side = 0; side < 2; ++side) {
      const L t = L::all(targets[side].scale[j]);
      const L r = t - step * clamped(rounded(t * per), low, high);
      of_sign[side] = L::all(targets[side].error[j]) + L::all(targets[side].curvature[j]) * r * r;
    }
    cost = cost + smaller(of_sign[0], of_sign[1]);
  }
  cost.store(costs);
}

} // namespace mcomp::inline v0::quant::detail::inline MCOMP_LANES_TARGET
