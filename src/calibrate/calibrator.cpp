#include "mcomp/calibrate/calibrator.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "calibrate/calibration_head.hpp"
#include "calibrate/calibrator_state.hpp"
#include "calibrate/labelled_rows.hpp"
#include "calibrate/multinomial_fit.hpp"
#include "calibrate/probability_rows.hpp"
#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/calibrate/softmax.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

constexpr Method methods[] = {Method::identity,  Method::temperature, Method::slice_temperature,
                              Method::vector,    Method::matrix,      Method::dirichlet,
                              Method::platt,     Method::beta,        Method::isotonic,
                              Method::histogram, Method::bbq,         Method::scaling_binning,
                              Method::spline,    Method::head};

bool finite(std::span<const double> values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

Error bad_parameters(const std::string& what) {
  return Error(ErrorCode::invalid_value, "calibrator", what, "pass what a fit gave");
}

bool valid(const ProbabilityMap& map) {
  if (!(map.least >= 0 && map.least <= map.most && map.most <= 1)) return false;
  if (map.kind == ProbabilityMap::Kind::logistic)
    return std::isfinite(map.a) && std::isfinite(map.b) && std::isfinite(map.c);
  const bool constant = map.kind == ProbabilityMap::Kind::constant;
  if (map.y.empty() || map.x.size() != map.y.size() + (constant ? 1 : 0)) return false;
  for (std::size_t i = 0; i < map.x.size(); ++i)
    if (!std::isfinite(map.x[i]) || (i > 0 && !(map.x[i] > map.x[i - 1]))) return false;
  return std::all_of(map.y.begin(), map.y.end(), [](double y) { return y >= 0 && y <= 1; });
}

/// Probabilities of one row in place: of calibrated logits by softmax, of maps from the softmax of the logits.
class RowApplication {
 public:
  RowApplication(const Calibrator::State& state, const ApplyOptions& options, std::span<const double> features,
                 std::size_t classes)
      : state_(state), options_(options), features_(features), scratch_(classes) {}

  void apply(std::size_t i, std::span<double> row) {
    std::visit([&](const auto& parameters) { of(parameters, i, row); }, state_.parameters);
  }

 private:
  void softmax(std::span<double> row, double temperature = 1) {
    const double maximum = *std::max_element(row.begin(), row.end());
    detail::exponentials_at(temperature, row.data(), row.size(), maximum, scratch_.data());
    double sum = 0;
    for (const double e : scratch_) sum += e;
    for (std::size_t k = 0; k < row.size(); ++k) row[k] = scratch_[k] / sum;
  }
  void of(std::monostate, std::size_t, std::span<double> row) { softmax(row); }
  void of(double temperature, std::size_t, std::span<double> row) { softmax(row, temperature); }
  void of(const SliceTemperatures& scaling, std::size_t i, std::span<double> row) {
    softmax(row, scaling.of(options_.slices[i]));
  }
  void of(const VectorScaling& scaling, std::size_t, std::span<double> row) {
    for (std::size_t k = 0; k < row.size(); ++k) row[k] = scaling.weights[k] * row[k] + scaling.biases[k];
    softmax(row);
  }
  void of(const MatrixScaling& scaling, std::size_t, std::span<double> row) {
    const std::size_t K = row.size();
    std::vector<double> x(row.begin(), row.end());
    if (scaling.dirichlet) detail::log_softmax_in_place(x, K);
    for (std::size_t k = 0; k < K; ++k) {
      double sum = scaling.biases[k];
      for (std::size_t j = 0; j < K; ++j) sum += scaling.weights[k * K + j] * x[j];
      row[k] = sum;
    }
    softmax(row);
  }
  void of(const CalibrationHead& head, std::size_t i, std::span<double> row) {
    const auto d = static_cast<std::size_t>(head.features);
    std::vector<double> z(row.begin(), row.end()), x = z;
    if (head.on_logits)
      detail::log_softmax_in_place(x, row.size());
    else
      x.assign(features_.begin() + static_cast<std::ptrdiff_t>(i * d),
               features_.begin() + static_cast<std::ptrdiff_t>((i + 1) * d));
    detail::head_logits(head, x, z, row);
    softmax(row);
  }
  void of(const ReducedMaps& reduced, std::size_t, std::span<double> row) {
    softmax(row);
    if (reduced.reduction == Reduction::binary) {
      row[1] = reduced.maps[0](row[1]);
      row[0] = 1 - row[1];
      return;
    }
    if (reduced.reduction == Reduction::one_vs_rest) {
      double sum = 0;
      for (std::size_t k = 0; k < row.size(); ++k) sum += scratch_[k] = reduced.maps[k](row[k]);
      if (sum > 0)
        for (std::size_t k = 0; k < row.size(); ++k) row[k] = scratch_[k] / sum;
      return;
    }
    const auto top = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
    const double c = row[top], calibrated = row.size() == 1 ? 1 : reduced.maps[0](c);
    double others = 0;
    for (std::size_t k = 0; k < row.size(); ++k) others += k == top ? 0 : row[k];
    for (std::size_t k = 0; k < row.size(); ++k)
      row[k] = others > 0 ? row[k] * ((1 - calibrated) / others)
                          : (1 - calibrated) / static_cast<double>(std::max<std::size_t>(row.size() - 1, 1));
    row[top] = calibrated;
  }

  const Calibrator::State& state_;
  const ApplyOptions& options_;
  std::span<const double> features_;
  std::vector<double> scratch_;
};

/// Maps that are fitted by one of the methods of a single score.
Result<MapFit> fit_map(Method method, std::span<const double> scores, std::span<const std::uint8_t> outcomes,
                       const CalibratorOptions& options) {
  switch (method) {
  case Method::platt:
    return fit_platt(scores, outcomes);
  case Method::beta:
    return fit_beta(scores, outcomes, options.beta);
  case Method::isotonic:
    return fit_isotonic(scores, outcomes, {.clip = true});
  case Method::histogram:
    return fit_histogram(scores, outcomes, options.histogram);
  case Method::bbq:
    return fit_bbq(scores, outcomes);
  case Method::scaling_binning:
    return fit_scaling_binning(scores, outcomes, options.bins);
  default:
    return fit_spline(scores, outcomes, options.knots);
  }
}

Result<detail::PlainFit> fit_reduced(Method method, const detail::FiniteRows& data, const CalibratorOptions& options) {
  const std::size_t K = data.classes;
  const bool smooth = method == Method::platt || method == Method::beta;
  const Reduction reduction = options.reduction.value_or(K == 2   ? Reduction::binary
                                                         : smooth ? Reduction::one_vs_rest
                                                                  : Reduction::top_label);
  if (reduction == Reduction::binary && K != 2)
    return Error(ErrorCode::invalid_argument, "reduction", fmt::format("binary, and there are {} classes", K),
                 "take one_vs_rest or top_label");
  std::vector<double> p = data.values;
  for (std::size_t i = 0; i < data.rows; ++i) detail::softmax_in_place(p.data() + i * K, K);
  const std::size_t count = reduction == Reduction::one_vs_rest ? K : 1;
  ReducedMaps reduced{.reduction = reduction, .maps = std::vector<ProbabilityMap>(count)};
  std::vector<std::optional<Error>> errors(count);
  std::vector<FitReport> reports(count);
  (options.executor ? *options.executor : serial_executor()).run(count, [&](std::size_t m) {
    std::vector<double> scores(data.rows);
    std::vector<std::uint8_t> outcomes(data.rows);
    for (std::size_t i = 0; i < data.rows; ++i) {
      const double* const row = p.data() + i * K;
      const std::size_t k = reduction == Reduction::binary ? 1
                            : reduction == Reduction::one_vs_rest
                                ? m
                                : static_cast<std::size_t>(std::max_element(row, row + K) - row);
      scores[i] = std::min(row[k], 1.);
      outcomes[i] = data.label[i] == k;
    }
    auto fit = fit_map(method, scores, outcomes, options);
    if (fit)
      reduced.maps[m] = std::move(fit->map), reports[m] = fit->report;
    else
      errors[m] = count == 1 ? fit.error() : fit.error().within(fmt::format("class {}", m));
  });
  FitReport report{.count = static_cast<std::int64_t>(data.rows), .optimum_reached = true};
  for (std::size_t m = 0; m < count; ++m) {
    if (errors[m]) return *errors[m];
    report.parameters += reports[m].parameters;
    report.iterations = std::max(report.iterations, reports[m].iterations);
    report.gradient_norm = std::max(report.gradient_norm, reports[m].gradient_norm);
    report.optimum_reached = report.optimum_reached && reports[m].optimum_reached;
  }
  MCOMP_TRY(calibrator, Calibrator::of(method, std::move(reduced), static_cast<std::int64_t>(K)));
  return detail::PlainFit{calibrator, report};
}

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

} // namespace

namespace detail {

Result<PlainFit> fit_plain(Method method, const FiniteRows& data, std::span<const std::int32_t> slices,
                           const CalibratorOptions& options) {
  const auto rows = static_cast<std::int64_t>(data.rows), classes = static_cast<std::int64_t>(data.classes);
  std::vector<std::int64_t> label(data.label.begin(), data.label.end());
  const TensorView logits(data.values.data(), DType::f64, {rows, classes});
  const TensorView labels(label.data(), DType::int64, {rows});
  LinearOptions linear = options.linear;
  linear.executor = options.executor;
  switch (method) {
  case Method::identity: {
    const double nll = mean_nll(data.values, data.label, data.classes);
    return PlainFit{{}, {.count = rows, .nll_before = nll, .nll_after = nll, .optimum_reached = true}};
  }
  case Method::temperature: {
    MCOMP_TRY(fit, fit_temperature(logits, labels, {.executor = options.executor}));
    if (!fit.interior() && fit.optimum != TemperatureOptimum::flat)
      return Error(ErrorCode::insufficient_data, "logits",
                   fmt::format("the likelihood of a temperature has no optimum inside: it is {}", fit.optimum),
                   "fit on more rows, or on rows the model was not trained on");
    MCOMP_TRY(calibrator, Calibrator::of(fit));
    return PlainFit{calibrator,
                    {.count = rows,
                     .parameters = 1,
                     .nll_before = fit.nll_before,
                     .nll_after = fit.nll_after,
                     .iterations = fit.iterations,
                     .optimum_reached = true}};
  }
  case Method::slice_temperature: {
    if (slices.empty())
      return Error(ErrorCode::invalid_argument, "slices", "slice_temperature needs the slice of every row",
                   "pass them in the options");
    MCOMP_TRY(fit, fit_slice_temperatures(logits, labels, slices, options.executor));
    const FitReport report = fit.report;
    MCOMP_TRY(calibrator, Calibrator::of(std::move(fit)));
    return PlainFit{calibrator, report};
  }
  case Method::vector: {
    MCOMP_TRY(fit, fit_vector(logits, labels, linear));
    const FitReport report = fit.report;
    MCOMP_TRY(calibrator, Calibrator::of(std::move(fit)));
    return PlainFit{calibrator, report};
  }
  case Method::matrix:
  case Method::dirichlet: {
    MCOMP_TRY(fit,
              method == Method::matrix ? fit_matrix(logits, labels, linear) : fit_dirichlet(logits, labels, linear));
    const FitReport report = fit.report;
    MCOMP_TRY(calibrator, Calibrator::of(std::move(fit)));
    return PlainFit{calibrator, report};
  }
  case Method::head: {
    HeadOptions head = options.head;
    head.executor = options.executor;
    MCOMP_TRY(fit, fit_head(logits, labels, head));
    const FitReport report = fit.report;
    MCOMP_TRY(calibrator, Calibrator::of(std::move(fit)));
    return PlainFit{calibrator, report};
  }
  default:
    break;
  }
  MCOMP_TRY(fit, fit_reduced(method, data, options));
  MCOMP_TRY(after, proper_scores(fit.calibrator, data, slices, options.executor));
  fit.report.nll_before = mean_nll(data.values, data.label, data.classes);
  fit.report.nll_after = mean_of(after.nll);
  return std::move(fit);
}

Result<ProperScores> proper_scores(const Calibrator& calibrator, const FiniteRows& data,
                                   std::span<const std::int32_t> slices, Executor* executor) {
  const TensorView logits(data.values.data(), DType::f64,
                          {static_cast<std::int64_t>(data.rows), static_cast<std::int64_t>(data.classes)});
  MCOMP_TRY(calibrated, calibrator.probabilities(logits, {.slices = slices, .executor = executor}));
  MCOMP_TRY(p, calibrated.values<double>("probabilities"));
  ProperScores scores{std::vector<double>(data.rows), std::vector<double>(data.rows)};
  for (std::size_t i = 0; i < data.rows; ++i) {
    const auto row = p.subspan(i * data.classes, data.classes);
    scores.nll[i] = -std::log(row[data.label[i]]);
    double squares = 0;
    for (const double q : row) squares += q * q;
    scores.brier[i] = squares - 2 * row[data.label[i]] + 1;
  }
  return scores;
}

std::vector<std::size_t> rows_where(std::span<const int> part, int fold, int other, bool inside) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < part.size(); ++i)
    if ((part[i] == fold || part[i] == other) == inside) rows.push_back(i);
  return rows;
}

std::vector<std::int32_t> slices_of(std::span<const std::int32_t> slices, std::span<const std::size_t> rows) {
  std::vector<std::int32_t> result;
  if (slices.empty()) return result;
  for (const std::size_t i : rows) result.push_back(slices[i]);
  return result;
}

} // namespace detail

std::string to_string(Method method) {
  switch (method) {
  case Method::identity:
    return "identity";
  case Method::temperature:
    return "temperature";
  case Method::slice_temperature:
    return "slice_temperature";
  case Method::vector:
    return "vector";
  case Method::matrix:
    return "matrix";
  case Method::dirichlet:
    return "dirichlet";
  case Method::platt:
    return "platt";
  case Method::beta:
    return "beta";
  case Method::isotonic:
    return "isotonic";
  case Method::histogram:
    return "histogram";
  case Method::bbq:
    return "bbq";
  case Method::scaling_binning:
    return "scaling_binning";
  case Method::spline:
    return "spline";
  case Method::head:
    return "head";
  }
  return "unknown";
}

std::span<const Method> all_methods() noexcept {
  return methods;
}

Result<Method> method_from_string(std::string_view name) {
  std::vector<std::string> known;
  for (const Method method : methods) {
    known.push_back(to_string(method));
    if (known.back() == name) return method;
  }
  return Error(ErrorCode::invalid_argument, "method", fmt::format("there is no calibrator \"{}\"", name),
               mcomp::detail::did_you_mean(name, known));
}

std::string to_string(Reduction reduction) {
  switch (reduction) {
  case Reduction::binary:
    return "binary";
  case Reduction::one_vs_rest:
    return "one_vs_rest";
  case Reduction::top_label:
    return "top_label";
  }
  return "unknown";
}

Calibrator::Calibrator() : state_(std::make_shared<State>()) {}
Calibrator::Calibrator(std::shared_ptr<const State> state) : state_(std::move(state)) {}

Method Calibrator::method() const noexcept {
  return state_->method;
}
std::int64_t Calibrator::classes() const noexcept {
  return state_->classes;
}

Result<Calibrator> Calibrator::of(const TemperatureScaling& scaling) {
  if (!(scaling.temperature > 0 && std::isfinite(scaling.temperature)))
    return bad_parameters(fmt::format("the temperature is {}, and must be positive and finite", scaling.temperature));
  return Calibrator(std::make_shared<State>(State{Method::temperature, 0, scaling.temperature}));
}

Result<Calibrator> Calibrator::of(SliceTemperatures scaling) {
  bool good = scaling.temperature > 0 && std::isfinite(scaling.temperature) && scaling.tau >= 0;
  for (std::size_t g = 0; g < scaling.slices.size(); ++g)
    good = good && scaling.slices[g].temperature > 0 && std::isfinite(scaling.slices[g].temperature) &&
           (g == 0 || scaling.slices[g].slice > scaling.slices[g - 1].slice);
  if (!good) return bad_parameters("temperatures must be positive and finite, and slices stand in rising order");
  return Calibrator(std::make_shared<State>(State{Method::slice_temperature, 0, std::move(scaling)}));
}

Result<Calibrator> Calibrator::of(VectorScaling scaling) {
  if (scaling.weights.empty() || scaling.weights.size() != scaling.biases.size() || !finite(scaling.weights) ||
      !finite(scaling.biases))
    return bad_parameters("weights and biases must be finite and equally many");
  const auto classes = static_cast<std::int64_t>(scaling.weights.size());
  return Calibrator(std::make_shared<State>(State{Method::vector, classes, std::move(scaling)}));
}

Result<Calibrator> Calibrator::of(MatrixScaling scaling) {
  const std::size_t K = scaling.biases.size();
  if (K == 0 || scaling.classes != static_cast<std::int64_t>(K) || scaling.weights.size() != K * K ||
      !finite(scaling.weights) || !finite(scaling.biases))
    return bad_parameters("weights must be finite [classes, classes] and biases [classes]");
  const Method method = scaling.dirichlet ? Method::dirichlet : Method::matrix;
  return Calibrator(std::make_shared<State>(State{method, scaling.classes, std::move(scaling)}));
}

Result<Calibrator> Calibrator::of(CalibrationHead head) {
  const auto d = static_cast<std::size_t>(std::max<std::int64_t>(head.features, 0));
  const auto m = static_cast<std::size_t>(std::max<std::int64_t>(head.hidden, 0));
  const auto K = static_cast<std::size_t>(std::max<std::int64_t>(head.classes, 0));
  bool good = d > 0 && K > 0 && head.hidden >= 0 && head.mean.size() == d && head.scale.size() == d &&
              head.hidden_biases.size() == m && head.hidden_weights.size() == m * d && head.biases.size() == K &&
              head.weights.size() == K * (m > 0 ? m : d) && std::isfinite(head.base) && (!head.on_logits || d == K);
  for (const auto* values :
       {&head.mean, &head.scale, &head.hidden_weights, &head.hidden_biases, &head.weights, &head.biases})
    good = good && finite(*values);
  if (!good) return bad_parameters("the head's weights must be finite and have its shapes");
  const std::int64_t classes = head.classes;
  return Calibrator(std::make_shared<State>(State{Method::head, classes, std::move(head)}));
}

Result<Calibrator> Calibrator::of(Method method, ReducedMaps maps, std::int64_t classes) {
  if (method < Method::platt || method > Method::spline)
    return bad_parameters(fmt::format("{} is not made of functions of one probability", method));
  const bool right = maps.reduction == Reduction::binary        ? classes == 2 && maps.maps.size() == 1
                     : maps.reduction == Reduction::one_vs_rest ? static_cast<std::int64_t>(maps.maps.size()) == classes
                                                                : maps.maps.size() == 1;
  if (!right || classes < 0 || !std::all_of(maps.maps.begin(), maps.maps.end(), valid))
    return bad_parameters("the functions must be as many as their reduction says, with rising x, and y within [0, 1]");
  return Calibrator(std::make_shared<State>(State{method, classes, std::move(maps)}));
}

Result<Tensor> Calibrator::probabilities(const TensorView& logits, const ApplyOptions& options) const {
  if (logits.rank() == 2 && logits.size(0) == 0 && is_floating(logits.dtype()))
    return Tensor::zeros(DType::f64, logits.shape());
  MCOMP_CHECK(detail::check_rows(logits, "logits"));
  if (state_->classes != 0 && logits.size(1) != state_->classes)
    return Error(ErrorCode::invalid_shape, "logits",
                 fmt::format("{} classes, and the calibrator was fitted on {}", logits.size(1), state_->classes),
                 "pass outputs of the same model");
  if (state_->method == Method::slice_temperature && static_cast<std::int64_t>(options.slices.size()) != logits.size(0))
    return Error(ErrorCode::invalid_argument, "slices",
                 fmt::format("{} numbers for {} rows", options.slices.size(), logits.size(0)),
                 "pass the slice of every row");
  const auto rows = static_cast<std::size_t>(logits.size(0)), classes = static_cast<std::size_t>(logits.size(1));
  std::vector<double> features;
  if (const auto* head = std::get_if<CalibrationHead>(&state_->parameters); head && !head->on_logits) {
    if (options.features.rank() != 2 || options.features.size(0) != logits.size(0) ||
        options.features.size(1) != head->features)
      return Error(ErrorCode::invalid_argument, "features",
                   fmt::format("[{}, {}] is needed, it is {}", rows, head->features, options.features.shape()),
                   "pass the features that the head was fitted on, of the same rows");
    MCOMP_TRY(read, detail::read_finite(options.features, "features"));
    features = std::move(read);
  }
  MCOMP_TRY(result, Tensor::uninitialized(DType::f64, logits.shape()));
  double* const out = result.mutable_values<double>().data();
  const bool linear = state_->method == Method::vector || state_->method == Method::matrix ||
                      state_->method == Method::dirichlet || state_->method == Method::head;
  const auto run = [&](auto values) -> Status {
    using T = std::remove_cv_t<typename decltype(values)::element_type>;
    std::atomic<std::size_t> first_invalid{rows};
    detail::for_each_row_block(options.executor, rows, [&](std::size_t, std::size_t first, std::size_t last) {
      RowApplication application(*state_, options, features, classes);
      for (std::size_t i = first; i < last; ++i) {
        const T* const row = values.data() + i * classes;
        const detail::RowRange range = detail::row_kernels<T>().range(row, classes);
        if (!range.valid || (linear && range.finite < classes)) {
          std::size_t known = first_invalid;
          while (i < known && !first_invalid.compare_exchange_weak(known, i)) {
          }
          return;
        }
        std::copy_n(row, classes, out + i * classes);
        application.apply(i, {out + i * classes, classes});
      }
    });
    if (first_invalid < rows) return detail::invalid_row("logits", first_invalid);
    return {};
  };
  if (logits.dtype() == DType::f32) {
    MCOMP_TRY(values, logits.values<float>("logits"));
    MCOMP_CHECK(run(values));
  } else {
    MCOMP_TRY(values, logits.values<double>("logits"));
    MCOMP_CHECK(run(values));
  }
  return std::move(result);
}

std::string to_string(const Calibrator& calibrator) {
  const auto& state = *calibrator.state_;
  if (const auto* temperature = std::get_if<double>(&state.parameters))
    return fmt::format("temperature {:.4g}", *temperature);
  if (const auto* slices = std::get_if<SliceTemperatures>(&state.parameters))
    return fmt::format("temperature {:.4g}, and of {} slices (tau {:.3g})", slices->temperature, slices->slices.size(),
                       slices->tau);
  if (const auto* maps = std::get_if<ReducedMaps>(&state.parameters))
    return fmt::format("{} ({}) of {} classes: {}", state.method, maps->reduction, state.classes,
                       maps->maps.size() == 1 ? to_string(maps->maps[0]) : fmt::format("{} maps", maps->maps.size()));
  if (state.method == Method::identity) return "identity";
  return fmt::format("{} of {} classes", state.method, state.classes);
}

Result<Tensor> log_probabilities(const TensorView& probabilities) {
  MCOMP_TRY(p, detail::read_probability_rows(probabilities));
  for (double& value : p) value = std::log(std::max(value, static_cast<double>(std::numeric_limits<float>::min())));
  return Tensor::from(p, probabilities.shape());
}

std::string to_string(const FittedCalibrator& fitted) {
  std::string text = fitted.guard.rejected ? to_string(fitted.method) : to_string(fitted.calibrator);
  if (!fitted.guard.checked)
    return text + fmt::format("; NLL {:.4f} -> {:.4f} on the {} rows of the fit", fitted.report.nll_before,
                              fitted.report.nll_after, fitted.report.count);
  text += fmt::format("; held-out NLL {:.4f} -> {:.4f} on {} rows", fitted.guard.nll_before, fitted.guard.nll_after,
                      fitted.guard.count);
  if (fitted.guard.folds > 0) text += fmt::format(" ({}-fold cross-validation)", fitted.guard.folds);
  return text + (fitted.guard.rejected ? ": rejected, probabilities stay as they are" : ": accepted");
}

Result<FittedCalibrator> fit_calibrator(Method method, const TensorView& logits, const TensorView& labels,
                                        const CalibratorOptions& options) {
  MCOMP_TRY(data, detail::read_finite_rows(logits, labels));
  if (!options.slices.empty() && options.slices.size() != data.rows)
    return Error(ErrorCode::invalid_shape, "slices",
                 fmt::format("{} numbers for {} rows", options.slices.size(), data.rows), "pass one for each row");
  if (options.folds != 0 && (options.folds < 2 || static_cast<std::size_t>(options.folds) > data.rows))
    return Error(ErrorCode::invalid_argument, "folds", fmt::format("{} folds of {} rows", options.folds, data.rows),
                 "take 5, or 0 for no cross-validation");
  if (options.folds != 0 && options.held_out)
    return Error(ErrorCode::invalid_argument, "folds", "both folds and held-out rows are given", "pass one of them");
  FittedCalibrator result{.method = method};
  MCOMP_TRY(fit, detail::fit_plain(method, data, options.slices, options));
  result.calibrator = fit.calibrator;
  result.report = fit.report;
  if (options.held_out) {
    MCOMP_TRY(held_out, detail::read_finite_rows(options.held_out->logits, options.held_out->labels));
    MCOMP_TRY(before, detail::proper_scores({}, held_out, {}, options.executor));
    MCOMP_TRY(after, detail::proper_scores(result.calibrator, held_out, options.held_out->slices, options.executor));
    result.guard = {.checked = true,
                    .count = static_cast<std::int64_t>(held_out.rows),
                    .nll_before = mean_of(before.nll),
                    .nll_after = mean_of(after.nll)};
  } else if (options.folds > 0) {
    const std::vector<int> part = detail::stratified_parts(data.label, data.classes, options.folds, options.seed);
    std::vector<double> before, after;
    for (int fold = 0; fold < options.folds; ++fold) {
      const auto inside = detail::rows_where(part, fold, fold, false),
                 outside = detail::rows_where(part, fold, fold, true);
      if (outside.empty()) continue;
      MCOMP_TRY(part_fit, detail::fit_plain(method, detail::subset(data, inside),
                                            detail::slices_of(options.slices, inside), options));
      const detail::FiniteRows held_out = detail::subset(data, outside);
      const std::vector<std::int32_t> slices = detail::slices_of(options.slices, outside);
      MCOMP_TRY(raw, detail::proper_scores({}, held_out, {}, options.executor));
      MCOMP_TRY(calibrated, detail::proper_scores(part_fit.calibrator, held_out, slices, options.executor));
      before.insert(before.end(), raw.nll.begin(), raw.nll.end());
      after.insert(after.end(), calibrated.nll.begin(), calibrated.nll.end());
    }
    result.guard = {.checked = true,
                    .count = static_cast<std::int64_t>(before.size()),
                    .folds = options.folds,
                    .nll_before = mean_of(before),
                    .nll_after = mean_of(after)};
  }
  // NaN and infinity are worse than anything.
  if (result.guard.checked && !(result.guard.nll_after <= result.guard.nll_before)) {
    result.guard.rejected = true;
    result.calibrator = Calibrator();
  }
  return result;
}

} // namespace mcomp::inline v0::calibrate
