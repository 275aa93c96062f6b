#include "mcomp/quant/observer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::quant {

Observer::~Observer() = default;

namespace {

constexpr std::array<std::pair<ObserverKind, std::string_view>, 5> names{
    {{ObserverKind::min_max, "min_max"},
     {ObserverKind::moving_average, "moving_average"},
     {ObserverKind::percentile, "percentile"},
     {ObserverKind::mean_squared_error, "mean_squared_error"},
     {ObserverKind::kl_entropy, "kl_entropy"}}};

Error nothing_seen() {
  return {ErrorCode::insufficient_data, "observer", "it has seen no values",
          "update it with calibration samples first"};
}

/// The finite values of an update.
Result<std::span<const float>> checked(const TensorView& values) {
  MCOMP_TRY(x, values.values<float>("activations"));
  MCOMP_CHECK(require_finite(values, "activations"));
  return x;
}

Range extremes_of(std::span<const float> x) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  return {*low, *high};
}

class MinMax final : public Observer {
 public:
  Status update(const TensorView& values) override {
    MCOMP_TRY(x, checked(values));
    if (x.empty()) return {};
    const Range r = extremes_of(x);
    range_ = count_ == 0 ? r : Range{std::min(range_.min, r.min), std::max(range_.max, r.max)};
    count_ += static_cast<std::int64_t>(x.size());
    return {};
  }
  Result<Range> range(DType, bool) const override {
    if (count_ == 0) return nothing_seen();
    return range_;
  }
  std::int64_t count() const noexcept override { return count_; }

 private:
  Range range_;
  std::int64_t count_ = 0;
};

class MovingAverage final : public Observer {
 public:
  explicit MovingAverage(double constant) : constant_(constant) {}
  Status update(const TensorView& values) override {
    MCOMP_TRY(x, checked(values));
    if (x.empty()) return {};
    const Range r = extremes_of(x);
    const auto blend = [&](double old, float fresh) { return old + constant_ * (static_cast<double>(fresh) - old); };
    min_ = count_ == 0 ? static_cast<double>(r.min) : blend(min_, r.min);
    max_ = count_ == 0 ? static_cast<double>(r.max) : blend(max_, r.max);
    count_ += static_cast<std::int64_t>(x.size());
    return {};
  }
  Result<Range> range(DType, bool) const override {
    if (count_ == 0) return nothing_seen();
    return Range{static_cast<float>(min_), static_cast<float>(max_)};
  }
  std::int64_t count() const noexcept override { return count_; }

 private:
  double constant_, min_ = 0, max_ = 0;
  std::int64_t count_ = 0;
};

/// Counts over [-2^k, 2^k) in bins of equal width. When a value falls outside, k grows and neighbours merge, which is
/// exact; so the order of updates does not matter once the widest value has been seen.
class Histogram {
 public:
  explicit Histogram(std::int64_t bins) : counts_(static_cast<std::size_t>(bins)) {}

  void add(std::span<const float> x) {
    const Range r = extremes_of(x);
    const float widest = std::max(std::abs(r.min), std::abs(r.max));
    if (widest > 0) {
      int exponent = 0;
      std::frexp(widest, &exponent); // widest < 2^exponent
      grow(std::max(exponent, lowest_exponent));
    }
    const double per_unit = static_cast<double>(counts_.size()) / (2 * limit());
    const auto last = static_cast<std::int64_t>(counts_.size()) - 1;
    for (const float v : x) {
      const auto bin = static_cast<std::int64_t>(std::floor((static_cast<double>(v) + limit()) * per_unit));
      ++counts_[static_cast<std::size_t>(std::clamp<std::int64_t>(bin, 0, last))];
    }
    extremes_ = total_ == 0 ? r : Range{std::min(extremes_.min, r.min), std::max(extremes_.max, r.max)};
    total_ += static_cast<std::int64_t>(x.size());
  }

  [[nodiscard]] std::int64_t total() const noexcept { return total_; }
  [[nodiscard]] const Range& extremes() const noexcept { return extremes_; }
  [[nodiscard]] std::size_t bins() const noexcept { return counts_.size(); }
  [[nodiscard]] double count(std::size_t bin) const { return static_cast<double>(counts_[bin]); }
  [[nodiscard]] double width() const { return 2 * limit() / static_cast<double>(counts_.size()); }
  [[nodiscard]] double left(std::size_t bin) const { return -limit() + static_cast<double>(bin) * width(); }
  [[nodiscard]] double center(std::size_t bin) const { return left(bin) + width() / 2; }

  /// The value below which a share of the counts lies, by linear interpolation inside a bin.
  [[nodiscard]] double quantile(double share) const {
    const double wanted = share * static_cast<double>(total_);
    double below = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      const double here = count(i);
      if (here > 0 && below + here >= wanted) return left(i) + width() * (wanted - below) / here;
      below += here;
    }
    return static_cast<double>(extremes_.max);
  }

 private:
  static constexpr int lowest_exponent = -120;

  [[nodiscard]] double limit() const { return std::ldexp(1.0, exponent_); }
  void grow(int exponent) {
    if (total_ == 0) exponent_ = exponent;
    for (; exponent_ < exponent; ++exponent_) {
      std::vector<std::int64_t> wider(counts_.size());
      const std::size_t quarter = counts_.size() / 4;
      for (std::size_t i = 0; i < counts_.size() / 2; ++i) wider[quarter + i] = counts_[2 * i] + counts_[2 * i + 1];
      counts_ = std::move(wider);
    }
  }

  std::vector<std::int64_t> counts_;
  std::int64_t total_ = 0;
  Range extremes_;
  int exponent_ = lowest_exponent;
};

/// Observers that choose a range from a histogram differ in this function alone.
using Chooser = Range (*)(const Histogram&, const ObserverOptions&, DType, bool symmetric);

Range clipped(const Histogram& h, double low, double high) {
  return {std::max(static_cast<float>(low), h.extremes().min), std::min(static_cast<float>(high), h.extremes().max)};
}

Range by_percentile(const Histogram& h, const ObserverOptions& options, DType, bool) {
  const double outside = (1 - options.percentile) / 2;
  return clipped(h, h.extremes().min < 0 ? h.quantile(outside) : static_cast<double>(h.extremes().min),
                 h.extremes().max > 0 ? h.quantile(1 - outside) : static_cast<double>(h.extremes().max));
}

/// Expected squared error over the histogram when values are rounded to codes of `range`.
double squared_error(const Histogram& h, const Range& range, DType dtype, bool symmetric) {
  const auto parameters = parameters_for(range, dtype, symmetric);
  if (!parameters) return std::numeric_limits<double>::infinity();
  double error = 0;
  // Inside the codes the error of a bin much narrower than a step is uniform; evaluating at the centers captures both.
  for (std::size_t i = 0; i < h.bins(); ++i) {
    if (h.count(i) == 0) continue;
    const auto x = static_cast<float>(h.center(i));
    const double d = static_cast<double>(dequantize_value(quantize_value(x, *parameters), *parameters) - x);
    error += h.count(i) * d * d;
  }
  return error;
}

Range by_squared_error(const Histogram& h, const ObserverOptions&, DType dtype, bool symmetric) {
  // The extremes shrunk by one factor, the best of a hundred; ties keep the wider range.
  Range best = h.extremes();
  double least = squared_error(h, best, dtype, symmetric);
  for (int i = 99; i >= 1; --i) {
    const float factor = static_cast<float>(i) / 100;
    const Range candidate{h.extremes().min * factor, h.extremes().max * factor};
    if (const double error = squared_error(h, candidate, dtype, symmetric); error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

/// Kullback-Leibler divergence between the values inside a threshold (those outside counted at its edge) and the same
/// values merged into as many levels as there are codes; Migacz 2017. Levels share their count among the bins that are
/// not empty.
double divergence(const std::vector<double>& magnitude, std::size_t kept, std::size_t levels) {
  std::vector<double> p(magnitude.begin(), magnitude.begin() + static_cast<std::ptrdiff_t>(kept));
  for (std::size_t i = kept; i < magnitude.size(); ++i) p.back() += magnitude[i];
  std::vector<double> q(kept, 0.0);
  for (std::size_t level = 0; level < levels; ++level) {
    const std::size_t begin = level * kept / levels, end = (level + 1) * kept / levels;
    double sum = 0;
    std::size_t filled = 0;
    for (std::size_t i = begin; i < end; ++i) sum += magnitude[i], filled += magnitude[i] > 0 ? 1 : 0;
    for (std::size_t i = begin; i < end; ++i)
      if (magnitude[i] > 0) q[i] = sum / static_cast<double>(filled);
  }
  double p_sum = 0, q_sum = 0, result = 0;
  for (std::size_t i = 0; i < kept; ++i) p_sum += p[i], q_sum += q[i];
  if (p_sum == 0 || q_sum == 0) return std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < kept; ++i)
    if (p[i] > 0) {
      // A bin that only clipped values fill has q = 0; a small floor keeps the divergence finite and large.
      constexpr double floor = 1e-9;
      result += p[i] / p_sum * std::log((p[i] / p_sum) / std::max(q[i] / q_sum, floor));
    }
  return result;
}

Range by_entropy(const Histogram& h, const ObserverOptions&, DType dtype, bool symmetric) {
  const std::size_t half = h.bins() / 2;
  std::vector<double> magnitude(half);
  for (std::size_t i = 0; i < half; ++i) magnitude[i] = h.count(half + i) + h.count(half - 1 - i);
  while (!magnitude.empty() && magnitude.back() == 0) magnitude.pop_back();
  const auto codes = code_range(dtype, symmetric);
  const bool both_signs = h.extremes().min < 0;
  const std::size_t levels =
      codes ? static_cast<std::size_t>(codes->highest - codes->lowest + 1) / (both_signs ? 2 : 1) : 1;
  if (magnitude.size() <= levels) return h.extremes();
  std::size_t best = magnitude.size();
  double least = std::numeric_limits<double>::infinity();
  const std::size_t step = std::max<std::size_t>(1, half / 256);
  for (std::size_t kept = levels; kept <= magnitude.size(); kept += step)
    if (const double d = divergence(magnitude, kept, levels); d < least) {
      least = d;
      best = kept;
    }
  const double threshold = static_cast<double>(best) * h.width();
  return clipped(h, -threshold, threshold);
}

class HistogramObserver final : public Observer {
 public:
  HistogramObserver(const ObserverOptions& options, Chooser chooser)
      : options_(options), chooser_(chooser), histogram_(options.bins) {}
  Status update(const TensorView& values) override {
    MCOMP_TRY(x, checked(values));
    if (!x.empty()) histogram_.add(x);
    return {};
  }
  Result<Range> range(DType dtype, bool symmetric) const override {
    if (histogram_.total() == 0) return nothing_seen();
    MCOMP_TRY(codes, code_range(dtype, symmetric));
    static_cast<void>(codes);
    return chooser_(histogram_, options_, dtype, symmetric);
  }
  std::int64_t count() const noexcept override { return histogram_.total(); }

 private:
  ObserverOptions options_;
  Chooser chooser_;
  Histogram histogram_;
};

} // namespace

std::string to_string(ObserverKind kind) {
  for (const auto& [value, name] : names)
    if (value == kind) return std::string(name);
  return "unknown observer";
}

Result<ObserverKind> observer_kind_from_string(std::string_view text) {
  std::string known;
  for (const auto& [value, name] : names) {
    if (name == text) return value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  return Error(ErrorCode::not_found, fmt::format("observer '{}'", text), "there is no such observer",
               "use one of " + known);
}

Result<std::unique_ptr<Observer>> make_observer(const ObserverOptions& options) {
  const auto refuse = [](const char* subject, std::string rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, subject, std::move(rule), remedy);
  };
  if (!(options.averaging_constant > 0 && options.averaging_constant <= 1))
    return refuse("averaging_constant", fmt::format("{} is not in (0, 1]", options.averaging_constant), "use 0.01");
  if (!(options.percentile > 0.5 && options.percentile <= 1))
    return refuse("percentile", fmt::format("{} is not in (0.5, 1]", options.percentile), "use 0.9999");
  if (options.bins < 256 || options.bins > 65536 || !std::has_single_bit(static_cast<std::uint64_t>(options.bins)))
    return refuse("bins", fmt::format("{} is not a power of two in 256 .. 65536", options.bins), "use 4096");
  switch (options.kind) {
  case ObserverKind::min_max:
    return std::unique_ptr<Observer>(new MinMax);
  case ObserverKind::moving_average:
    return std::unique_ptr<Observer>(new MovingAverage(options.averaging_constant));
  case ObserverKind::percentile:
    return std::unique_ptr<Observer>(new HistogramObserver(options, by_percentile));
  case ObserverKind::mean_squared_error:
    return std::unique_ptr<Observer>(new HistogramObserver(options, by_squared_error));
  case ObserverKind::kl_entropy:
    return std::unique_ptr<Observer>(new HistogramObserver(options, by_entropy));
  }
  return refuse("kind", "the observer is unknown", "use a named kind");
}

} // namespace mcomp::inline v0::quant
