#include "mcomp/calibrate/temperature.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "calibrate/labelled_rows.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Mean NLL at s = 1/T, and its derivatives times s, s^2 and s^3: the mean cumulants of t = s z under the softmax.
struct Derivatives {
  double nll = 0, first = 0, second = 0, third = 0;
};

/// The mean NLL of every `stride`-th block of rows.
template <class T> class Objective {
 public:
  Objective(const detail::LabelledRows<T>& data, Executor* executor, std::size_t stride)
      : data_(data), executor_(executor ? *executor : serial_executor()), stride_(stride),
        sums_(((data.rows + detail::rows_per_block - 1) / detail::rows_per_block + stride - 1) / stride) {}

  [[nodiscard]] Derivatives operator()(double s) {
    executor_.run(sums_.size(), [&](std::size_t i) { sums_[i] = block(i, s); });
    Derivatives total;
    for (const Derivatives& sum : sums_) {
      total.nll += sum.nll;
      total.first += sum.first;
      total.second += sum.second;
      total.third += sum.third;
    }
    const double n = static_cast<double>(rows());
    return {total.nll / n, total.first / n, total.second / n, total.third / n};
  }

  /// Which case these rows are, from the slope of NLL at s = 0 and at infinity.
  [[nodiscard]] TemperatureOptimum optimum() const {
    bool flat = true, separable = true;
    double slope_at_zero = 0;
    for_each_row([&](std::size_t i) {
      flat = flat && data_.range[i].minimum == data_.range[i].maximum;
      separable = separable && data_.gap[i] == 0;
      slope_at_zero += data_.range[i].mean_below - data_.gap[i];
    });
    if (flat) return TemperatureOptimum::flat;
    if (separable) return TemperatureOptimum::separable;
    return slope_at_zero < 0 ? TemperatureOptimum::interior : TemperatureOptimum::uninformative;
  }

  [[nodiscard]] std::size_t rows() const {
    std::size_t n = 0;
    for (std::size_t i = 0; i < sums_.size(); ++i) n += last(i) - first(i);
    return n;
  }

 private:
  [[nodiscard]] std::size_t first(std::size_t i) const { return i * stride_ * detail::rows_per_block; }
  [[nodiscard]] std::size_t last(std::size_t i) const {
    return std::min(data_.rows, first(i) + detail::rows_per_block);
  }
  template <class Visit> void for_each_row(const Visit& visit) const {
    for (std::size_t i = 0; i < sums_.size(); ++i)
      for (std::size_t row = first(i); row < last(i); ++row) visit(row);
  }
  [[nodiscard]] Derivatives block(std::size_t index, double s) const {
    const detail::RowKernels<T>& kernels = detail::row_kernels<T>();
    Derivatives sum;
    for (std::size_t i = first(index); i < last(index); ++i) {
      const detail::RowMoments m = kernels.moments(data_.row(i), data_.classes, data_.range[i].maximum, s);
      const double m1 = m.first / m.zeroth, m2 = m.second / m.zeroth, m3 = m.third / m.zeroth;
      const double t_label = s * data_.gap[i];
      sum.nll += std::log(m.zeroth) - t_label;
      sum.first += m1 - t_label;
      sum.second += m2 - m1 * m1;
      sum.third += m3 - 3 * m1 * m2 + 2 * m1 * m1 * m1;
    }
    return sum;
  }

  const detail::LabelledRows<T>& data_;
  Executor& executor_;
  std::size_t stride_;
  std::vector<Derivatives> sums_;
};

struct Minimum {
  double s = 1, nll = 0;
  int evaluations = 0;
};

/// The root of the first derivative, which is negative at 0 and positive at infinity: Halley's method inside a bracket
/// that is cut (on the scale of logarithms) where a step leaves it or does not halve the one before.
template <class Evaluate> Minimum minimize(Evaluate&& evaluate, double s, double tolerance) {
  constexpr int most = 200; // beyond any need: the bracket closes in 10, and 60 halvings end in neighbouring numbers
  double lower = 0, upper = infinity, last_step = infinity, growth = 4;
  Minimum minimum;
  for (int n = 1;; ++n) {
    const Derivatives d = evaluate(s);
    minimum = {s, d.nll, n};
    if (d.first == 0 || n == most) return minimum;
    (d.first < 0 ? lower : upper) = s;
    const double halley = 2 * d.second * d.second - d.first * d.third;
    const double relative_step = halley > 0 ? -2 * d.first * d.second / halley : -d.first / d.second;
    if (std::abs(relative_step) <= tolerance) {
      minimum.s = s * (1 + relative_step);
      return minimum;
    }
    double next = s * (1 + relative_step);
    const bool slow = std::abs(next - s) > 0.5 * last_step;
    if (slow || !(next > lower && next < upper)) {
      const bool bracketed = lower > 0 && upper < infinity;
      next = bracketed ? std::sqrt(lower) * std::sqrt(upper) : d.first < 0 ? s * growth : s / growth;
      if (!bracketed) growth *= growth;
    }
    last_step = std::abs(next - s);
    s = next;
    if (last_step <= tolerance * s) return minimum;
  }
}

/// The infimum of the mean NLL where it lies at a limit of the temperature: each row's label shares its probability
/// with the equally large classes (T = 0) or with all that are possible (T = infinity).
template <class T> double nll_at_limit(const detail::LabelledRows<T>& data, bool at_zero) {
  double sum = 0;
  for (std::size_t i = 0; i < data.rows; ++i) {
    const auto ties = at_zero ? std::count(data.row(i), data.row(i) + data.classes, data.row(i)[data.label[i]])
                              : static_cast<std::ptrdiff_t>(data.range[i].finite);
    sum += std::log(static_cast<double>(ties));
  }
  return sum / static_cast<double>(data.rows);
}

template <class T>
Result<TemperatureScaling> fit(const TensorView& logits, const TensorView& labels, const TemperatureOptions& options) {
  MCOMP_TRY(data, detail::read_labelled_rows<T>(logits, labels, options.executor));
  for (std::size_t i = 0; i < data.rows; ++i)
    if (std::isinf(data.gap[i]))
      return Error(ErrorCode::invalid_value, "logits",
                   fmt::format("the label of row {} has probability zero at every temperature", i),
                   "pass logits, or raise probabilities of zero to the least the model can give before the logarithm");

  Objective<T> objective(data, options.executor, 1);
  const Derivatives at_one = objective(1);
  TemperatureScaling scaling{.temperature = 1,
                             .nll_before = at_one.nll,
                             .nll_after = at_one.nll,
                             .optimum = objective.optimum(),
                             .iterations = 1,
                             .count = static_cast<std::int64_t>(data.rows)};
  switch (scaling.optimum) {
  case TemperatureOptimum::flat:
    return scaling;
  case TemperatureOptimum::separable:
    scaling.temperature = 0;
    scaling.nll_after = nll_at_limit(data, true);
    return scaling;
  case TemperatureOptimum::uninformative:
    scaling.temperature = infinity;
    scaling.nll_after = nll_at_limit(data, false);
    return scaling;
  case TemperatureOptimum::interior:
    break;
  }

  // The start is moved to where softmax is neither saturated nor flat, measured by the mean distance of a logit from
  // the largest of its row.
  double distance = 0;
  for (const detail::RowRange& range : data.range) distance -= range.mean_below / static_cast<double>(data.rows);
  double start = std::clamp(1 / options.initial_temperature, 0.001 / distance, 50 / distance);
  // With many rows a sixteenth of them brings the start within a few per cent, for half the price of one full pass.
  constexpr std::size_t stride = 16;
  if (data.rows >= 4 * stride * detail::rows_per_block)
    if (Objective<T> part(data, options.executor, stride); part.optimum() == TemperatureOptimum::interior)
      start = minimize(part, start, 1e-3).s;
  const Minimum minimum = minimize([&](double s) { return s == 1 ? at_one : objective(s); }, start, 1e-12);
  scaling.temperature = 1 / minimum.s;
  scaling.nll_after = minimum.nll;
  scaling.iterations += minimum.evaluations - (start == 1 ? 1 : 0);
  return scaling;
}

} // namespace

std::string to_string(TemperatureOptimum optimum) {
  switch (optimum) {
  case TemperatureOptimum::interior:
    return "interior";
  case TemperatureOptimum::separable:
    return "separable";
  case TemperatureOptimum::uninformative:
    return "uninformative";
  case TemperatureOptimum::flat:
    return "flat";
  }
  return "unknown";
}

std::string to_string(const TemperatureScaling& scaling) {
  return fmt::format("T {:.4g} ({}): NLL {:.4g} -> {:.4g} on {} rows, {} iterations", scaling.temperature,
                     scaling.optimum, scaling.nll_before, scaling.nll_after, scaling.count, scaling.iterations);
}

Result<TemperatureScaling> fit_temperature(const TensorView& logits, const TensorView& labels,
                                           const TemperatureOptions& options) {
  if (!(options.initial_temperature >= 1e-100 && options.initial_temperature <= 1e100))
    return Error(ErrorCode::invalid_argument, "initial_temperature",
                 fmt::format("it must lie within 1e-100 .. 1e100, it is {}", options.initial_temperature),
                 "leave it at 1");
  MCOMP_CHECK(detail::check_rows(logits, "logits"));
  return logits.dtype() == DType::f32 ? fit<float>(logits, labels, options) : fit<double>(logits, labels, options);
}

} // namespace mcomp::inline v0::calibrate
