#include "mcomp/quant/codebook.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/stats/distributions.hpp"
#include "quant/importance.hpp"
#include "quant/kmeans.hpp"

namespace mcomp::inline v0::quant {

namespace {

using detail::WeightedPoint;

Status check_weight(const TensorView& weight) {
  if (!is_floating(weight.dtype()))
    return Error(ErrorCode::invalid_dtype, "weight", fmt::format("elements are {}", weight.dtype()),
                 "pass f32, f16, bf16 or f64");
  if (weight.rank() == 0 || weight.elements() == 0)
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} has no rows", weight.shape()),
                 "pass a tensor with elements");
  return require_finite(weight, "weight");
}

/// The code of the nearest value of an ascending table; of two equally near the lower.
std::uint8_t nearest(std::span<const float> table, float x) noexcept {
  const auto above = std::lower_bound(table.begin(), table.end(), x);
  if (above == table.begin()) return 0;
  const auto below = above - 1;
  if (above == table.end()) return static_cast<std::uint8_t>(below - table.begin());
  const double up = static_cast<double>(*above) - static_cast<double>(x);
  const double down = static_cast<double>(x) - static_cast<double>(*below);
  return static_cast<std::uint8_t>((up < down ? above : below) - table.begin());
}

/// Points in ascending order, equal ones made one.
std::vector<WeightedPoint> sorted_points(std::span<const float> w, std::span<const float> importance,
                                         std::int64_t columns) {
  std::vector<WeightedPoint> points;
  points.reserve(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) {
    const float h = importance.empty() ? 1.0f : importance[i % static_cast<std::size_t>(columns)];
    if (h > 0) points.push_back({static_cast<double>(w[i]), static_cast<double>(h)});
  }
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (kept > 0 && points[kept - 1].x == points[i].x)
      points[kept - 1].weight += points[i].weight;
    else
      points[kept++] = points[i];
  points.resize(kept);
  return points;
}

std::vector<WeightedPoint> merged(const std::vector<WeightedPoint>& points, std::size_t limit) {
  if (points.size() <= limit) return points;
  std::vector<WeightedPoint> result;
  for (std::size_t m = 0; m < limit; ++m) {
    const std::size_t begin = points.size() * m / limit, end = points.size() * (m + 1) / limit;
    double weight = 0, first = 0;
    for (std::size_t i = begin; i < end; ++i) weight += points[i].weight, first += points[i].weight * points[i].x;
    result.push_back({first / weight, weight});
  }
  return result;
}

/// Lloyd's iterations: each centre moves to the mean of the points nearest to it, until none does.
void improve(const std::vector<WeightedPoint>& points, std::vector<double>& centres) {
  std::vector<double> weight(points.size() + 1), first(points.size() + 1);
  for (std::size_t i = 0; i < points.size(); ++i) {
    weight[i + 1] = weight[i] + points[i].weight;
    first[i + 1] = first[i] + points[i].weight * points[i].x;
  }
  constexpr int most = 100;
  for (int iteration = 0; iteration < most; ++iteration) {
    bool moved = false;
    std::size_t begin = 0;
    for (std::size_t k = 0; k < centres.size(); ++k) {
      std::size_t end = points.size();
      if (k + 1 < centres.size()) {
        const double border = (centres[k] + centres[k + 1]) / 2;
        const auto above = std::upper_bound(points.begin() + static_cast<std::ptrdiff_t>(begin), points.end(), border,
                                            [](double x, const WeightedPoint& p) { return x < p.x; });
        end = static_cast<std::size_t>(above - points.begin());
      }
      if (end > begin) {
        const double mean = (first[end] - first[begin]) / (weight[end] - weight[begin]);
        moved = moved || mean != centres[k];
        centres[k] = mean;
      }
      begin = end;
    }
    if (!moved) return;
  }
}

void fit_table(std::span<const float> w, std::span<const float> importance, std::int64_t columns,
               std::size_t max_points, std::span<float> table) {
  std::vector<WeightedPoint> points = sorted_points(w, importance, columns);
  if (points.empty()) points = sorted_points(w, {}, columns); // nothing matters: then everything alike
  std::vector<double> centres = detail::optimal_centres(merged(points, max_points), table.size());
  if (points.size() > max_points) improve(points, centres);
  for (std::size_t k = 0; k < table.size(); ++k)
    table[k] = static_cast<float>(centres[std::min(k, centres.size() - 1)]);
  std::sort(table.begin(), table.end());
}

Status check_options(const TensorView& weight, const CodebookOptions& options) {
  if (options.bits < 2 || options.bits > 8)
    return Error(ErrorCode::invalid_argument, "bits", fmt::format("{} is not within 2 .. 8", options.bits),
                 "choose a code of 2 to 8 bits");
  if (options.max_points < std::int64_t{1} << options.bits)
    return Error(ErrorCode::invalid_argument, "max_points",
                 fmt::format("{} points cannot fill a table of {}", options.max_points, 1 << options.bits),
                 "leave it at its default of 2048");
  MCOMP_CHECK(check_weight(weight));
  MCOMP_CHECK(detail::importance_values(options.importance, weight.elements() / weight.size(0)));
  return {};
}

double normal_density(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
}

/// The conditions of Max: a level is the mean of its cell, and a border the middle of two levels. Solved by Newton's
/// method, whose matrix has three diagonals, from the levels that are best for many bits: quantiles of a normal
/// distribution with three times the variance (Panter and Dite 1951).
std::vector<float> lloyd_max_levels(int bits) {
  const std::size_t half = std::size_t{1} << (bits - 1); // positive levels; the others mirror them
  std::vector<double> level(half), below(half), diagonal(half), above(half), lack(half);
  for (std::size_t i = 0; i < half; ++i)
    level[i] =
        std::sqrt(3.0) * stats::normal_quantile(0.5 + 0.5 * (static_cast<double>(i) + 0.5) / static_cast<double>(half));
  constexpr int most = 100;
  for (int iteration = 0; iteration < most; ++iteration) {
    for (std::size_t i = 0; i < half; ++i) {
      const bool last = i + 1 == half;
      const double low = i == 0 ? 0 : (level[i - 1] + level[i]) / 2, high = last ? 0 : (level[i] + level[i + 1]) / 2;
      const double at_low = normal_density(low), at_high = last ? 0 : normal_density(high);
      const double mass = stats::normal_cdf(-low) - (last ? 0 : stats::normal_cdf(-high));
      const double mean = (at_low - at_high) / mass;
      const double by_low = i == 0 ? 0 : at_low * (mean - low) / mass, by_high = at_high * (high - mean) / mass;
      lack[i] = mean - level[i];
      below[i] = -by_low / 2, diagonal[i] = 1 - (by_low + by_high) / 2, above[i] = -by_high / 2;
    }
    for (std::size_t i = 1; i < half; ++i) { // elimination
      const double factor = below[i] / diagonal[i - 1];
      diagonal[i] -= factor * above[i - 1];
      lack[i] -= factor * lack[i - 1];
    }
    double moved = 0;
    for (std::size_t i = half; i > 0; --i) {
      const double step = (lack[i - 1] - (i < half ? above[i - 1] * lack[i] : 0)) / diagonal[i - 1];
      lack[i - 1] = step;
      level[i - 1] += step;
      moved = std::max(moved, std::abs(step));
    }
    if (moved < 1e-13) break;
  }
  std::vector<float> result;
  for (std::size_t i = half; i > 0; --i) result.push_back(static_cast<float>(-level[i - 1]));
  for (const double x : level) result.push_back(static_cast<float>(x));
  return result;
}

/// Whether a table is one that readers know without being told.
bool is_constant(const Tensor& codebook, int bits) {
  if (codebook.rank() != 2 || codebook.size(0) != 1 || codebook.dtype() != DType::f32) return false;
  const auto table = *codebook.values<float>("codebook");
  if (bits == 4 && std::equal(table.begin(), table.end(), nf4_values().begin(), nf4_values().end())) return true;
  const auto levels = normal_levels(bits);
  return levels && std::equal(table.begin(), table.end(), levels->begin(), levels->end());
}

} // namespace

Result<std::vector<float>> normal_levels(int bits) {
  if (bits < 2 || bits > 8)
    return Error(ErrorCode::invalid_argument, "bits", fmt::format("{} is not within 2 .. 8", bits),
                 "choose a code of 2 to 8 bits");
  static const auto tables = [] {
    std::array<std::vector<float>, 9> all;
    for (int b = 2; b <= 8; ++b) all[static_cast<std::size_t>(b)] = lloyd_max_levels(b);
    return all;
  }();
  return tables[static_cast<std::size_t>(bits)];
}

std::int64_t CodebookTensor::stored_bytes() const noexcept {
  return (codes.elements() * bits + 7) / 8 + scales.elements() * bit_width(scale_dtype) / 8 +
         (is_constant(codebook, bits) ? 0 : codebook.bytes());
}

double CodebookTensor::compression() const noexcept {
  const std::int64_t stored = stored_bytes();
  return stored == 0 ? 1.0 : static_cast<double>(codes.elements() * 4) / static_cast<double>(stored);
}

std::string to_string(const CodebookTensor& tensor) {
  return fmt::format("{} codebook of {} bits, {} bytes ({:.2f}x smaller than f32)", tensor.shape(), tensor.bits,
                     tensor.stored_bytes(), tensor.compression());
}

const std::array<float, 16>& nf4_values() noexcept {
  static constexpr std::array<float, 16> values{-1.0f,
                                                -0.69619280099868774f,
                                                -0.52507305145263672f,
                                                -0.39491748809814453f,
                                                -0.28444138169288635f,
                                                -0.18477343022823334f,
                                                -0.091050036251544952f,
                                                0.0f,
                                                0.07958029955625534f,
                                                0.16093020141124725f,
                                                0.24611230194568634f,
                                                0.33791524171829224f,
                                                0.44070982933044434f,
                                                0.56261700391769409f,
                                                0.72295683622360229f,
                                                1.0f};
  return values;
}

Result<CodebookTensor> quantize_nf4(const TensorView& weight, const Nf4Options& options, const Context& context) {
  if (options.group_size < 1)
    return Error(ErrorCode::invalid_argument, "group_size", fmt::format("{} is not positive", options.group_size),
                 "use 64, as QLoRA does");
  MCOMP_CHECK(check_weight(weight));
  MCOMP_TRY(w, to_f32(weight, "weight"));
  const std::span<const float> values = w.mutable_values<float>();
  const std::int64_t rows = weight.size(0), columns = weight.elements() / rows, size = options.group_size;
  const std::int64_t groups = (columns + size - 1) / size;
  CodebookTensor q{4, *Tensor::uninitialized(DType::uint8, weight.shape()),
                   *Tensor::from(std::span<const float>(nf4_values()), Shape{1, 16}),
                   *Tensor::uninitialized(DType::f32, {rows, groups}), size};
  auto* codes = static_cast<std::uint8_t*>(q.codes.data());
  auto scales = q.scales.mutable_values<float>();
  context.executor_or_serial().run(static_cast<std::size_t>(rows), [&](std::size_t row) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::size_t begin = row * static_cast<std::size_t>(columns) + static_cast<std::size_t>(g * size);
      const std::size_t end = begin + static_cast<std::size_t>(std::min(size, columns - g * size));
      float largest = 0;
      for (std::size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(values[i]));
      scales[row * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g)] = largest;
      for (std::size_t i = begin; i < end; ++i)
        codes[i] = nearest(nf4_values(), largest == 0 ? 0 : values[i] / largest);
    }
  });
  return q;
}

Result<CodebookTensor> quantize_codebook(const TensorView& weight, const CodebookOptions& options,
                                         const Context& context) {
  MCOMP_CHECK(check_options(weight, options));
  MCOMP_TRY(w, to_f32(weight, "weight"));
  const std::span<const float> values = w.mutable_values<float>();
  const std::int64_t rows = weight.size(0), columns = weight.elements() / rows;
  const std::int64_t tables = options.per_channel ? rows : 1;
  const std::size_t entries = std::size_t{1} << options.bits, each = values.size() / static_cast<std::size_t>(tables);
  std::span<const float> importance;
  if (options.importance.elements() > 0) importance = *options.importance.values<float>("importance");
  CodebookTensor q{options.bits,
                   *Tensor::uninitialized(DType::uint8, weight.shape()),
                   *Tensor::uninitialized(DType::f32, {tables, static_cast<std::int64_t>(entries)}),
                   {},
                   0};
  auto* codes = static_cast<std::uint8_t*>(q.codes.data());
  auto codebook = q.codebook.mutable_values<float>();
  context.executor_or_serial().run(static_cast<std::size_t>(tables), [&](std::size_t t) {
    const std::span<float> table = codebook.subspan(t * entries, entries);
    fit_table(values.subspan(t * each, each), importance, columns, static_cast<std::size_t>(options.max_points), table);
    for (std::size_t i = t * each; i < (t + 1) * each; ++i) codes[i] = nearest(table, values[i]);
  });
  return q;
}

Result<Tensor> dequantize(const CodebookTensor& q) {
  const std::int64_t rows = q.codes.rank() == 0 ? 0 : q.codes.size(0);
  const std::int64_t columns = rows == 0 ? 0 : q.codes.elements() / rows;
  const std::int64_t groups = q.scales.elements() == 0 ? 0
                              : q.group_size < 1       ? -1
                                                       : (columns + q.group_size - 1) / q.group_size;
  const std::int64_t tables = q.codebook.rank() == 2 ? q.codebook.size(0) : 0;
  if (columns == 0 || q.codes.dtype() != DType::uint8 || q.codebook.dtype() != DType::f32 || q.bits < 1 || q.bits > 8 ||
      (tables != 1 && tables != rows) || q.codebook.size(1) != std::int64_t{1} << q.bits ||
      (groups != 0 && (q.scales.dtype() != DType::f32 || q.scales.shape() != Shape{rows, groups})))
    return Error(ErrorCode::invalid_shape, "codebook tensor",
                 fmt::format("codes {}, table {}, scales {} do not fit {} bits and groups of {}", q.codes, q.codebook,
                             q.scales, q.bits, q.group_size),
                 "pass uint8 codes, an f32 table [1 or rows, 2^bits], and f32 scales [rows, groups] or none");
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, q.shape()));
  const auto* codes = static_cast<const std::uint8_t*>(q.codes.data());
  const auto* codebook = static_cast<const float*>(q.codebook.data());
  const auto* scales = static_cast<const float*>(q.scales.data());
  auto out = result.mutable_values<float>();
  for (std::int64_t i = 0; i < q.codes.elements(); ++i) {
    if (codes[i] >> q.bits != 0)
      return Error(ErrorCode::invalid_value, "codes", fmt::format("code {} at {} is beyond the table", codes[i], i),
                   "pass codes below 2^bits");
    const std::int64_t row = i / columns, table = tables == 1 ? 0 : row;
    const float value = codebook[(table << q.bits) + codes[i]];
    out[static_cast<std::size_t>(i)] = groups == 0 ? value : value * scales[row * groups + i % columns / q.group_size];
  }
  return std::move(result);
}

} // namespace mcomp::inline v0::quant
