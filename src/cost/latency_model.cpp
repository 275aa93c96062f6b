#include "mcomp/cost/latency_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include <Eigen/Cholesky>

#include "core/json.hpp"
#include "cost/gaussian_process.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

using Family = std::tuple<LayerKind, DType, DType>;

Family family_of(const LayerShape& shape) {
  return {shape.kind, shape.weights, shape.input};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double log_of(std::int64_t value) {
  return std::log(static_cast<double>(std::max<std::int64_t>(value, 1)));
}

/// How much of the work fills up blocks of `block` channels: 0 where they divide.
double filling(std::int64_t count, std::int64_t block) {
  return log_of((count + block - 1) / block * block) - log_of(count);
}

/// Logarithm of the share of kernel taps that fall inside the image, along one axis.
double inside(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  // Positions of each tap that are inside: o with 0 <= o stride + k - padding < in.
  double taps = 0;
  constexpr std::int64_t most = 1 << 16; // of a kernel; beyond it padding does not matter
  for (std::int64_t k = 0; k < std::min(kernel, most); ++k) {
    const std::int64_t first = std::max<std::int64_t>(0, (padding - k + stride - 1) / stride);
    const std::int64_t last = padding - k + in - 1 < 0 ? -1 : std::min(out - 1, (padding - k + in - 1) / stride);
    taps += static_cast<double>(std::max<std::int64_t>(0, last - first + 1));
  }
  return std::log(std::max(taps, 1.0) / (static_cast<double>(out) * static_cast<double>(std::min(kernel, most))));
}

constexpr Eigen::Index feature_count = 23;

/// Movements are loops of their own kinds; a copy of as many bytes tells their time within about this factor.
constexpr double movement_factor = 2;

/// The properties that decide how well a layer uses the machine; logarithms, since times are.
Eigen::VectorXd features_of(const LayerShape& s) {
  const std::int64_t oh = s.out_height(), ow = s.out_width(), per_group = s.in_channels / s.groups;
  const std::int64_t rows = s.samples * oh * ow, depth = per_group * s.kernel[0] * s.kernel[1];
  Eigen::VectorXd f(feature_count);
  f << log_of(rows), log_of(depth), log_of(s.out_channels), log_of(s.multiply_adds()), log_of(s.weight_bytes()),
      log_of(s.input_bytes()), log_of(s.output_bytes()), filling(s.out_channels, 16), filling(s.out_channels, 32),
      filling(s.out_channels, 64), filling(per_group, 4), filling(per_group, 16), filling(per_group, 64),
      log_of(per_group), log_of(ow), log_of(s.samples * oh), log_of(s.kernel[0] * s.kernel[1]),
      s.kernel[0] * s.kernel[1] == 1 ? 1.0 : 0.0, log_of(s.stride[0] * s.stride[1]), log_of(s.groups),
      inside(s.height, oh, s.kernel[0], s.stride[0], s.padding[0]) +
          inside(s.width, ow, s.kernel[1], s.stride[1], s.padding[1]),
      static_cast<double>(bit_width(s.output)) / 32, s.residual ? 1.0 : 0.0;
  return f;
}

/// launch, multiply-adds and bytes of a call, of which the roofline is a sum with coefficients >= 0.
Eigen::Vector3d work_of(const LayerShape& s) {
  return {1.0, static_cast<double>(s.multiply_adds()),
          static_cast<double>(s.weight_bytes() + s.input_bytes() + s.output_bytes())};
}

/// Coefficients >= 0 with the least squared relative error: the best of all subsets, of which there are seven.
Eigen::Vector3d fit_roofline(const std::vector<MeasuredLayer>& layers) {
  Eigen::MatrixXd a(static_cast<Eigen::Index>(layers.size()), 3);
  for (std::size_t i = 0; i < layers.size(); ++i)
    a.row(static_cast<Eigen::Index>(i)) = work_of(layers[i].shape).transpose() / layers[i].seconds;
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(a.rows());
  Eigen::Vector3d best = Eigen::Vector3d::Zero();
  double least = std::numeric_limits<double>::infinity();
  for (unsigned subset = 1; subset < 8; ++subset) {
    std::vector<Eigen::Index> used;
    for (Eigen::Index j = 0; j < 3; ++j)
      if ((subset >> j & 1U) != 0) used.push_back(j);
    Eigen::MatrixXd part(a.rows(), static_cast<Eigen::Index>(used.size()));
    Eigen::VectorXd scale(part.cols()); // columns are seconds, multiply-adds and bytes: far apart
    for (Eigen::Index j = 0; j < part.cols(); ++j) {
      scale[j] = a.col(used[static_cast<std::size_t>(j)]).norm();
      part.col(j) = a.col(used[static_cast<std::size_t>(j)]) / scale[j];
    }
    const Eigen::VectorXd found = (part.transpose() * part).ldlt().solve(part.transpose() * ones);
    const double error = (part * found - ones).squaredNorm();
    if (!found.allFinite() || (found.array() < 0).any() || error >= least) continue;
    least = error;
    best.setZero();
    for (Eigen::Index j = 0; j < part.cols(); ++j) best[used[static_cast<std::size_t>(j)]] = found[j] / scale[j];
  }
  return best;
}

/// A monotone function: the best falling fit (pool adjacent violators; Ayer et al. 1955), straight between the centres
/// of its steps and constant beyond them.
class Falling {
 public:
  explicit Falling(std::vector<std::pair<double, double>> points) {
    std::sort(points.begin(), points.end());
    struct Block {
      double x, y, weight;
    };
    std::vector<Block> blocks;
    for (const auto& [x, y] : points) {
      blocks.push_back({x, y, 1});
      while (blocks.size() > 1 && blocks.back().y >= blocks[blocks.size() - 2].y) {
        const Block last = blocks.back();
        blocks.pop_back();
        Block& b = blocks.back();
        const double weight = b.weight + last.weight;
        b.x = (b.x * b.weight + last.x * last.weight) / weight;
        b.y = (b.y * b.weight + last.y * last.weight) / weight;
        b.weight = weight;
      }
    }
    for (const Block& b : blocks) knots_.emplace_back(b.x, b.y);
  }

  [[nodiscard]] double operator()(double x) const {
    const auto above =
        std::upper_bound(knots_.begin(), knots_.end(), x, [](double v, const auto& k) { return v < k.first; });
    if (above == knots_.begin()) return knots_.front().second;
    if (above == knots_.end()) return knots_.back().second;
    const auto below = above - 1;
    const double share = (x - below->first) / (above->first - below->first);
    return below->second + share * (above->second - below->second);
  }

 private:
  std::vector<std::pair<double, double>> knots_;
};

/// Bytes per second of a copy of so many bytes, between the measured sizes.
double copy_speed(const std::vector<CopySpeed>& copies, double bytes) {
  const auto above = std::upper_bound(copies.begin(), copies.end(), bytes,
                                      [](double v, const CopySpeed& c) { return v < static_cast<double>(c.bytes); });
  if (above == copies.begin()) return copies.front().bytes_per_second;
  if (above == copies.end()) return copies.back().bytes_per_second;
  const auto below = above - 1;
  const double share = std::log(bytes / static_cast<double>(below->bytes)) /
                       std::log(static_cast<double>(above->bytes) / static_cast<double>(below->bytes));
  return below->bytes_per_second + share * (above->bytes_per_second - below->bytes_per_second);
}

class MeasuredFamily {
 public:
  MeasuredFamily(const std::vector<MeasuredLayer>& layers, double level)
      : roofline_(fit_roofline(layers)), efficiency_(efficiency(layers, roofline_)) {
    const auto n = static_cast<Eigen::Index>(layers.size());
    Eigen::MatrixXd x(n, feature_count);
    Eigen::VectorXd y(n);
    for (Eigen::Index i = 0; i < n; ++i) {
      const MeasuredLayer& layer = layers[static_cast<std::size_t>(i)];
      x.row(i) = features_of(layer.shape).transpose();
      y[i] = std::log(layer.seconds) - base(layer.shape);
    }
    mean_ = x.colwise().mean();
    scale_ = ((x.rowwise() - mean_.transpose()).cwiseAbs2().colwise().mean()).cwiseSqrt();
    for (double& s : scale_) s = s > 1e-9 ? s : 1; // a property that is always the same
    x = (x.rowwise() - mean_.transpose()) * scale_.cwiseInverse().asDiagonal();
    // Half of the layers, at most so many, choose the length scales; the other half tells how good they are.
    constexpr Eigen::Index most = 256;
    process_.emplace(std::move(x), y, std::min(most, (n + 1) / 2), Random(1));

    std::vector<double> errors, roofline_errors, scores;
    double near = 0;
    for (const Eigen::Index i : process_->rows_apart()) {
      const auto& p = process_->leave_one_out()[static_cast<std::size_t>(i)];
      errors.push_back(std::abs(std::expm1(p.mean - y[i])));
      roofline_errors.push_back(std::abs(std::expm1(-y[i])));
      scores.push_back(std::abs(p.mean - y[i]) / p.deviation);
      near += errors.back() <= 0.2 ? 1 : 0;
    }
    fit.layers = n;
    fit.median_error = median(errors);
    fit.within_a_fifth = near / static_cast<double>(errors.size());
    fit.roofline_error = median(roofline_errors);
    fit.launch_seconds = roofline_[0];
    fit.multiply_adds_per_second = 1 / roofline_[1];
    fit.bytes_per_second = 1 / roofline_[2];
    // As in split conformal prediction: the ceil((m + 1) level)-th of m scores covers a new layer of the same kind.
    std::sort(scores.begin(), scores.end());
    const auto rank = static_cast<std::size_t>(std::ceil(static_cast<double>(scores.size() + 1) * level));
    factor_ = scores[std::min(rank, scores.size()) - 1];
  }

  [[nodiscard]] LayerLatency predict(const LayerShape& shape, double level) const {
    const Eigen::VectorXd x = (features_of(shape) - mean_).cwiseQuotient(scale_);
    const auto p = process_->predict(x);
    const double center = base(shape) + p.mean, half = factor_ * p.deviation;
    return {std::exp(center), {std::exp(center - half), std::exp(center + half), level}};
  }

  FamilyFit fit;

 private:
  static Falling efficiency(const std::vector<MeasuredLayer>& layers, const Eigen::Vector3d& roofline) {
    std::vector<std::pair<double, double>> points;
    for (const MeasuredLayer& layer : layers)
      points.emplace_back(log_of(layer.shape.multiply_adds()),
                          std::log(layer.seconds / roofline.dot(work_of(layer.shape))));
    return Falling(std::move(points));
  }
  /// Logarithm of the roofline with the efficiency of its size.
  [[nodiscard]] double base(const LayerShape& shape) const {
    return std::log(roofline_.dot(work_of(shape))) + efficiency_(log_of(shape.multiply_adds()));
  }

  Eigen::Vector3d roofline_;
  Falling efficiency_;
  Eigen::VectorXd mean_, scale_;
  std::optional<detail::GaussianProcess> process_;
  double factor_ = 1;
};

/// The roofline of a data sheet.
Result<LayerLatency> declared(const DeclaredDevice& device, const LayerShape& shape, double level,
                              const std::string& name) {
  const double bytes = static_cast<double>(shape.weight_bytes() + shape.input_bytes() + shape.output_bytes());
  double work = 0;
  if (shape.kind != LayerKind::movement) {
    const auto peak = std::find_if(device.peaks.begin(), device.peaks.end(),
                                   [&](const DeclaredPeak& p) { return p.weights == shape.weights; });
    if (peak == device.peaks.end())
      return Error(ErrorCode::unsupported, fmt::format("device '{}'", name),
                   fmt::format("it declares no peak for {} weights", shape.weights), "declare it, or measure layers");
    work = static_cast<double>(shape.multiply_adds()) / peak->multiply_adds_per_second;
  }
  const double best = std::max(work, bytes / device.bytes_per_second);
  const auto at = [&](double efficiency) { return device.launch_seconds + best / efficiency; };
  return LayerLatency{at(std::sqrt(device.efficiency_lower * device.efficiency_upper)),
                      {at(device.efficiency_upper), at(device.efficiency_lower), level}};
}

} // namespace

struct LatencyModel::State {
  DeviceProfile profile; ///< without its measured layers
  std::string fingerprint;
  double level = 0.95;
  std::optional<double> grams_per_kwh;
  std::map<Family, MeasuredFamily> measured;
  std::vector<FamilyFit> fits;
};

Result<LatencyModel> LatencyModel::fit(const DeviceProfile& profile, const LatencyOptions& options) {
  MCOMP_CHECK(profile.check());
  if (!(options.level > 0 && options.level < 1))
    return Error(ErrorCode::invalid_argument, "level", fmt::format("{} is not within (0, 1)", options.level),
                 "pass for example 0.95");
  if (options.grams_per_kwh && !(*options.grams_per_kwh >= 0 && std::isfinite(*options.grams_per_kwh)))
    return Error(ErrorCode::invalid_argument, "grams_per_kwh",
                 fmt::format("{} is not finite and >= 0", *options.grams_per_kwh),
                 "leave it out where it is not known");
  std::map<Family, std::vector<MeasuredLayer>> families;
  for (const MeasuredLayer& layer : profile.layers) families[family_of(layer.shape)].push_back(layer);
  constexpr std::size_t fewest = 10;
  auto state = std::make_shared<State>();
  for (const auto& [family, layers] : families) {
    const auto& [kind, weights, input] = family;
    if (layers.size() < fewest)
      return Error(ErrorCode::insufficient_data, fmt::format("device profile '{}'", profile.device.name),
                   fmt::format("{} layers of {}, {} weights, {} input were measured, {} are needed", layers.size(),
                               kind, weights, input, fewest),
                   "measure more of them, or none");
    constexpr std::size_t most = 4000; // matrices of its square: 128 MB each
    if (layers.size() > most)
      return Error(ErrorCode::unsupported, fmt::format("device profile '{}'", profile.device.name),
                   fmt::format("{} layers of {}, {} weights, {} input are more than {}", layers.size(), kind, weights,
                               input, most),
                   "keep a random part of them: 800 are enough");
    MeasuredFamily fitted(layers, options.level);
    fitted.fit.family = {.kind = kind, .weights = weights, .input = input, .outputs = {}};
    for (const MeasuredLayer& layer : layers) {
      auto& outputs = fitted.fit.family.outputs;
      if (std::find(outputs.begin(), outputs.end(), layer.shape.output) == outputs.end())
        outputs.push_back(layer.shape.output);
      fitted.fit.family.residuals = fitted.fit.family.residuals || layer.shape.residual;
    }
    state->fits.push_back(fitted.fit);
    state->measured.emplace(family, std::move(fitted));
  }
  state->fingerprint = profile.fingerprint();
  state->profile = profile;
  state->profile.layers.clear();
  state->level = options.level;
  state->grams_per_kwh = options.grams_per_kwh;
  return LatencyModel(std::move(state));
}

const DeviceIdentity& LatencyModel::device() const noexcept {
  return state_->profile.device;
}
const std::string& LatencyModel::profile_fingerprint() const noexcept {
  return state_->fingerprint;
}
const std::vector<FamilyFit>& LatencyModel::families() const noexcept {
  return state_->fits;
}

Result<LayerLatency> LatencyModel::predict(const LayerShape& shape) const {
  MCOMP_CHECK(shape.check());
  const DeviceProfile& profile = state_->profile;
  if (shape.kind == LayerKind::movement && !profile.copies.empty()) {
    const auto bytes = static_cast<double>(shape.moved_bytes);
    const double seconds = bytes / copy_speed(profile.copies, std::max(bytes, 1.0));
    return LayerLatency{seconds, {seconds / movement_factor, seconds * movement_factor, state_->level}};
  }
  if (const auto found = state_->measured.find(family_of(shape)); found != state_->measured.end())
    return found->second.predict(shape, state_->level);
  if (profile.declared) return declared(*profile.declared, shape, state_->level, profile.device.name);
  return Error(ErrorCode::unsupported, to_string(shape),
               fmt::format("the profile of '{}' has no layer of {}, {} weights, {} input", profile.device.name,
                           shape.kind, shape.weights, shape.input),
               "measure this family, or declare the device");
}

Result<NetworkLatency> LatencyModel::predict(std::span<const LayerShape> layers, std::int64_t samples) const {
  if (layers.empty())
    return Error(ErrorCode::invalid_argument, "layers", "there are none", "pass the layers of a network");
  const std::int64_t part = layers.front().samples;
  NetworkLatency result{.device = state_->profile.device.name, .samples = samples == 0 ? part : samples};
  if (samples < 0) return Error(ErrorCode::invalid_argument, "samples", fmt::format("{}", samples), "pass at least 1");
  result.interval.level = state_->level;
  for (const LayerShape& shape : layers) {
    if (shape.samples != part)
      return Error(ErrorCode::invalid_argument, "layers",
                   fmt::format("one has {} samples, the first has {}", shape.samples, part),
                   "pass the shapes of one call of the network");
    MCOMP_TRY(latency, predict(shape));
    result.seconds += latency.seconds;
    result.interval.lower += latency.interval.lower;
    result.interval.upper += latency.interval.upper;
    result.weight_bytes += shape.weight_bytes();
    result.activation_bytes = std::max(result.activation_bytes, shape.input_bytes() + shape.output_bytes());
    result.layers.push_back(latency);
  }
  if (!(result.seconds > 0 && std::isfinite(result.interval.upper)))
    return Error(ErrorCode::invalid_argument, "layers", fmt::format("they take {} seconds", result.seconds),
                 "pass layers that work or move bytes, on a device whose peaks are those of its data sheet");
  const double parts = static_cast<double>(result.samples) / static_cast<double>(part);
  result.seconds *= parts;
  result.interval.lower *= parts;
  result.interval.upper *= parts;
  result.samples_per_second = static_cast<double>(result.samples) / result.seconds;
  if (state_->profile.watts) result.joules_per_sample = *state_->profile.watts / result.samples_per_second;
  constexpr double joules_per_kwh = 3.6e6;
  if (result.joules_per_sample && state_->grams_per_kwh)
    result.grams_per_sample = *result.joules_per_sample / joules_per_kwh * *state_->grams_per_kwh;
  return result;
}

Result<std::vector<NetworkLatency>> side_by_side(std::span<const LatencyModel> devices,
                                                 std::span<const LayerShape> layers, std::int64_t samples) {
  std::vector<NetworkLatency> result;
  for (const LatencyModel& model : devices) {
    auto latency = model.predict(layers, samples);
    if (!latency) return latency.error().within(fmt::format("device '{}'", model.device().name));
    result.push_back(std::move(*latency));
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const NetworkLatency& a, const NetworkLatency& b) { return a.seconds < b.seconds; });
  return result;
}

std::string to_string(const FamilyFit& fit) {
  return fmt::format("{}, {} weights, {} input: {} layers, median error {:.1f}%, {:.1f}% within 20% (roofline alone "
                     "{:.1f}%)",
                     fit.family.kind, fit.family.weights, fit.family.input, fit.layers, 100 * fit.median_error,
                     100 * fit.within_a_fifth, 100 * fit.roofline_error);
}

std::string to_string(const NetworkLatency& latency) {
  std::string text = fmt::format(
      "{}: {} samples in {:.3g} ms [{:.3g}, {:.3g}], {:.4g} per second, {:.4g} KiB of weights, "
      "{:.4g} KiB of activations",
      latency.device, latency.samples, 1e3 * latency.seconds, 1e3 * latency.interval.lower,
      1e3 * latency.interval.upper, latency.samples_per_second, static_cast<double>(latency.weight_bytes) / 1024,
      static_cast<double>(latency.activation_bytes) / 1024);
  if (latency.joules_per_sample) text += fmt::format(", {:.3g} J per sample", *latency.joules_per_sample);
  if (latency.grams_per_sample) text += fmt::format(", {:.3g} g CO2e per sample", *latency.grams_per_sample);
  return text;
}

std::string to_json(const NetworkLatency& latency) {
  using mcomp::detail::Json;
  Json layers = Json::array();
  for (const LayerLatency& layer : latency.layers)
    layers.push_back({{"seconds", layer.seconds}, {"lower", layer.interval.lower}, {"upper", layer.interval.upper}});
  Json root = {{"device", latency.device},
               {"samples", latency.samples},
               {"seconds", latency.seconds},
               {"lower", latency.interval.lower},
               {"upper", latency.interval.upper},
               {"level", latency.interval.level},
               {"samples_per_second", latency.samples_per_second},
               {"weight_bytes", latency.weight_bytes},
               {"activation_bytes", latency.activation_bytes}};
  if (latency.joules_per_sample) root["joules_per_sample"] = *latency.joules_per_sample;
  if (latency.grams_per_sample) root["grams_per_sample"] = *latency.grams_per_sample;
  root["layers"] = std::move(layers);
  return root.dump(2, ' ', false, Json::error_handler_t::replace);
}

} // namespace mcomp::inline v0::cost
