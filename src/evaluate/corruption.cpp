#include "mcomp/evaluate/corruption.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

struct Parameters {
  Corruption corruption;
  const char* name;
  std::array<double, 5> severity;
};

constexpr Parameters table[] = {{Corruption::gaussian_noise, "gaussian_noise", {.04, .06, .08, .09, .10}},
                                {Corruption::shot_noise, "shot_noise", {500, 250, 100, 75, 50}},
                                {Corruption::impulse_noise, "impulse_noise", {.01, .02, .03, .05, .07}},
                                {Corruption::gaussian_blur, "gaussian_blur", {.4, .6, .7, .8, 1}},
                                {Corruption::contrast, "contrast", {.75, .5, .4, .3, .15}},
                                {Corruption::brightness, "brightness", {.05, .1, .15, .2, .3}},
                                {Corruption::pixelate, "pixelate", {.95, .9, .85, .75, .65}},
                                {Corruption::quantized_colours, "quantized_colours", {32, 16, 8, 6, 4}}};

const Parameters* find(Corruption corruption) {
  const auto found =
      std::find_if(std::begin(table), std::end(table), [&](const auto& p) { return p.corruption == corruption; });
  return found == std::end(table) ? nullptr : found;
}

/// One image of numbers from 0 to 1.
struct Image {
  std::span<double> values;
  std::size_t channels, height, width;

  [[nodiscard]] std::size_t plane() const { return height * width; }
};

/// Poisson by multiplication of uniforms (Knuth); above a mean of 50 the rounded normal, off by less than the noise
/// that it stands for.
double poisson(Random& random, double mean) {
  if (mean > 50) return std::max(0.0, std::round(mean + std::sqrt(mean) * random.normal()));
  const double limit = std::exp(-mean);
  double count = 0;
  for (double product = random.uniform(); product > limit; product *= random.uniform()) ++count;
  return count;
}

void blur(Image image, double sigma) {
  const auto radius = static_cast<std::ptrdiff_t>(std::ceil(4 * sigma));
  std::vector<double> kernel(static_cast<std::size_t>(2 * radius + 1));
  double sum = 0;
  for (std::ptrdiff_t k = -radius; k <= radius; ++k)
    sum += kernel[static_cast<std::size_t>(k + radius)] = std::exp(-0.5 * static_cast<double>(k * k) / (sigma * sigma));
  for (double& k : kernel) k /= sum;
  const auto h = static_cast<std::ptrdiff_t>(image.height), w = static_cast<std::ptrdiff_t>(image.width);
  std::vector<double> rows(image.plane());
  // Beyond the edge its last pixel goes on.
  for (std::size_t c = 0; c < image.channels; ++c) {
    double* plane = image.values.data() + c * image.plane();
    for (std::ptrdiff_t y = 0; y < h; ++y)
      for (std::ptrdiff_t x = 0; x < w; ++x) {
        double value = 0;
        for (std::ptrdiff_t k = -radius; k <= radius; ++k)
          value +=
              kernel[static_cast<std::size_t>(k + radius)] * plane[y * w + std::clamp<std::ptrdiff_t>(x + k, 0, w - 1)];
        rows[static_cast<std::size_t>(y * w + x)] = value;
      }
    for (std::ptrdiff_t y = 0; y < h; ++y)
      for (std::ptrdiff_t x = 0; x < w; ++x) {
        double value = 0;
        for (std::ptrdiff_t k = -radius; k <= radius; ++k)
          value += kernel[static_cast<std::size_t>(k + radius)] *
                   rows[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(y + k, 0, h - 1) * w + x)];
        plane[y * w + x] = value;
      }
  }
}

/// Averages the areas that a smaller image's pixels cover, along one axis: out[i] = mean of in over [i, i + 1) * n / m.
std::vector<double> average_areas(std::span<const double> in, std::size_t lines, std::size_t n, std::size_t m,
                                  std::size_t line_stride, std::size_t stride) {
  std::vector<double> out(lines * m);
  const double step = static_cast<double>(n) / static_cast<double>(m);
  for (std::size_t line = 0; line < lines; ++line)
    for (std::size_t i = 0; i < m; ++i) {
      const double begin = static_cast<double>(i) * step, end = begin + step;
      double sum = 0;
      for (auto k = static_cast<std::size_t>(begin); k < n && static_cast<double>(k) < end; ++k) {
        const double covered = std::min(end, static_cast<double>(k) + 1) - std::max(begin, static_cast<double>(k));
        sum += covered * in[line * line_stride + k * stride];
      }
      out[line * m + i] = sum / step;
    }
  return out;
}

void pixelate(Image image, double scale) {
  const auto smaller = [&](std::size_t size) {
    return std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(size) * scale));
  };
  const std::size_t h = smaller(image.height), w = smaller(image.width);
  for (std::size_t c = 0; c < image.channels; ++c) {
    const auto plane = image.values.subspan(c * image.plane(), image.plane());
    const auto narrow = average_areas(plane, image.height, image.width, w, image.width, 1); // [height, w]
    const auto small = average_areas(narrow, w, image.height, h, 1, w);                     // [w, h]
    for (std::size_t y = 0; y < image.height; ++y)
      for (std::size_t x = 0; x < image.width; ++x) {
        // The small pixel under the centre of the large one.
        const std::size_t sx = (2 * x + 1) * w / (2 * image.width), sy = (2 * y + 1) * h / (2 * image.height);
        plane[y * image.width + x] = small[sx * h + sy];
      }
  }
}

void brighten(Image image, double amount) {
  for (std::size_t i = 0; i < image.plane(); ++i) {
    double value = 0;
    for (std::size_t c = 0; c < image.channels; ++c) value = std::max(value, image.values[c * image.plane() + i]);
    const double raised = std::min(1.0, value + amount);
    // Hue and saturation stay where channels keep their ratios; black becomes grey.
    for (std::size_t c = 0; c < image.channels; ++c) {
      double& x = image.values[c * image.plane() + i];
      x = value == 0 ? raised : x * raised / value;
    }
  }
}

void apply(Image image, Corruption corruption, double p, Random& random) {
  switch (corruption) {
  case Corruption::gaussian_noise:
    for (double& x : image.values) x += p * random.normal();
    break;
  case Corruption::shot_noise:
    for (double& x : image.values) x = poisson(random, x * p) / p;
    break;
  case Corruption::impulse_noise:
    for (double& x : image.values)
      if (random.uniform() < p) x = random.uniform() < 0.5 ? 0 : 1;
    break;
  case Corruption::gaussian_blur:
    blur(image, p * static_cast<double>(image.width) / 32);
    break;
  case Corruption::contrast:
    for (std::size_t c = 0; c < image.channels; ++c) {
      const auto plane = image.values.subspan(c * image.plane(), image.plane());
      double mean = 0;
      for (const double x : plane) mean += x / static_cast<double>(plane.size());
      for (double& x : plane) x = (x - mean) * p + mean;
    }
    break;
  case Corruption::brightness:
    brighten(image, p);
    break;
  case Corruption::pixelate:
    pixelate(image, p);
    break;
  case Corruption::quantized_colours:
    for (double& x : image.values) x = std::round(x * (p - 1)) / (p - 1);
    break;
  }
  for (double& x : image.values) x = std::clamp(x, 0.0, 1.0);
}

/// Runs `corrupt` of element type T, whose largest value is `scale`.
template <class T>
Status corrupt_as(Tensor& images, double scale, const Parameters& parameters, int severity, std::uint64_t seed,
                  Executor* executor) {
  const auto values = images.mutable_values<T>();
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(static_cast<double>(values[i]) >= 0 && static_cast<double>(values[i]) <= scale))
      return Error(ErrorCode::invalid_value, "images", fmt::format("number {} is {}, outside 0 .. 1", i, values[i]),
                   "pass images before normalization, or uint8");
  const auto size = [&](std::size_t axis) { return static_cast<std::size_t>(images.size(axis)); };
  const std::size_t elements = size(1) * size(2) * size(3);
  if (elements == 0) return {};
  // Streams of different corruptions and severities have nothing in common.
  std::uint64_t mixed = seed ^ (0x9e3779b97f4a7c15U * (static_cast<std::uint64_t>(parameters.corruption) * 8 +
                                                       static_cast<std::uint64_t>(severity)));
  const std::uint64_t stream = splitmix64(mixed);
  (executor ? *executor : serial_executor()).run(size(0), [&](std::size_t n) {
    Random random(stream, n);
    std::vector<double> image(elements);
    for (std::size_t i = 0; i < elements; ++i) image[i] = static_cast<double>(values[n * elements + i]) / scale;
    apply({image, size(1), size(2), size(3)}, parameters.corruption,
          parameters.severity[static_cast<std::size_t>(severity - 1)], random);
    for (std::size_t i = 0; i < elements; ++i)
      values[n * elements + i] = static_cast<T>(std::is_integral_v<T> ? std::floor(image[i] * scale + 0.5) : image[i]);
  });
  return {};
}

} // namespace

std::string to_string(Corruption corruption) {
  const Parameters* parameters = find(corruption);
  return parameters ? parameters->name : "unknown";
}

const std::vector<Corruption>& all_corruptions() {
  static const std::vector<Corruption> all = [] {
    std::vector<Corruption> list;
    for (const Parameters& p : table) list.push_back(p.corruption);
    return list;
  }();
  return all;
}

Result<Corruption> corruption_from_string(std::string_view name) {
  std::string known;
  for (const Parameters& p : table) {
    if (name == p.name) return p.corruption;
    known += (known.empty() ? "" : ", ") + std::string(p.name);
  }
  return Error(ErrorCode::not_found, fmt::format("corruption '{}'", name), "there is none of this name",
               "use one of " + known);
}

Result<Tensor> corrupt(const TensorView& images, Corruption corruption, int severity, std::uint64_t seed,
                       Executor* executor) {
  const Parameters* parameters = find(corruption);
  if (!parameters)
    return Error(ErrorCode::invalid_argument, "corruption", "it is none of the enumeration",
                 "use one of all_corruptions()");
  if (severity < 1 || severity > 5)
    return Error(ErrorCode::invalid_argument, "severity", fmt::format("it is {}", severity), "use 1 .. 5");
  if (images.dtype() != DType::uint8 && images.dtype() != DType::f32)
    return Error(ErrorCode::invalid_dtype, "images", fmt::format("{}: uint8 or f32 is needed", images), "convert them");
  if (images.rank() != 4)
    return Error(ErrorCode::invalid_shape, "images",
                 fmt::format("{}: [samples, channels, height, width] is needed", images), "give them four axes");
  MCOMP_TRY(copy, Tensor::copy_of(images));
  MCOMP_CHECK(copy.dtype() == DType::uint8 ? corrupt_as<std::uint8_t>(copy, 255, *parameters, severity, seed, executor)
                                           : corrupt_as<float>(copy, 1, *parameters, severity, seed, executor));
  return std::move(copy);
}

Result<Suite> corrupted(const Suite& suite, Corruption corruption, int severity, std::uint64_t seed,
                        Executor* executor) {
  if (!suite.has_inputs())
    return Error(ErrorCode::invalid_argument, "suite", "it has labels and no inputs", "freeze it with images");
  MCOMP_TRY(images, corrupt(suite.inputs(), corruption, severity, seed, executor));
  SuiteParts parts{.name = fmt::format("{}, {} {}", suite.name(), corruption, severity),
                   .version = suite.version(),
                   .inputs = std::move(images),
                   .labels = suite.labels(),
                   .slicings = suite.slicings(),
                   .versions = suite.versions()};
  parts.versions["corruption"] = fmt::format("{} {} seed {}", corruption, severity, seed);
  return Suite::freeze(std::move(parts));
}

double Robustness::mean_baseline_accuracy() const noexcept {
  double sum = rows.empty() ? std::numeric_limits<double>::quiet_NaN() : 0;
  for (const RobustnessRow& row : rows) sum += row.accuracy.baseline_accuracy() / static_cast<double>(rows.size());
  return sum;
}

double Robustness::mean_candidate_accuracy() const noexcept {
  double sum = rows.empty() ? std::numeric_limits<double>::quiet_NaN() : 0;
  for (const RobustnessRow& row : rows) sum += row.accuracy.candidate_accuracy() / static_cast<double>(rows.size());
  return sum;
}

std::string to_string(const Robustness& r) {
  std::string text = "| corruption | severity | baseline | candidate | loss, points | interval |\n"
                     "| --- | --- | --- | --- | --- | --- |\n";
  const auto line = [&](const std::string& name, const std::string& severity, const stats::PairedCounts& counts,
                        const stats::Interval& loss) {
    text += fmt::format("| {} | {} | {:.2f} % | {:.2f} % | {:+.2f} | [{:+.2f}, {:+.2f}] |\n", name, severity,
                        100 * counts.baseline_accuracy(), 100 * counts.candidate_accuracy(), 100 * counts.loss(),
                        100 * loss.lower, 100 * loss.upper);
  };
  line("none", "", r.clean, r.clean_loss);
  for (const RobustnessRow& row : r.rows)
    line(to_string(row.corruption), fmt::format("{}", row.severity), row.accuracy, row.loss);
  if (!r.rows.empty())
    text += fmt::format("| mean | | {:.2f} % | {:.2f} % | {:+.2f} | |\n", 100 * r.mean_baseline_accuracy(),
                        100 * r.mean_candidate_accuracy(),
                        100 * (r.mean_baseline_accuracy() - r.mean_candidate_accuracy()));
  return text;
}

Result<Robustness> robustness(const Contender& baseline, const Contender& candidate, const Suite& suite,
                              const RobustnessOptions& options, const Context& context) {
  const std::vector<Corruption>& corruptions = options.corruptions.empty() ? all_corruptions() : options.corruptions;
  if (options.severities.empty())
    return Error(ErrorCode::invalid_argument, "severities", "there are none", "use 1 .. 5");
  for (const int severity : options.severities)
    if (severity < 1 || severity > 5)
      return Error(ErrorCode::invalid_argument, "severities", fmt::format("one is {}", severity), "use 1 .. 5");
  if (!(options.level > 0 && options.level < 1))
    return Error(ErrorCode::invalid_argument, "level", fmt::format("it is {}", options.level), "use one within (0, 1)");
  const auto total = static_cast<std::int64_t>(corruptions.size() * options.severities.size());
  Context quiet{.executor = context.executor, .cancellation = context.cancellation};
  const auto counts_on = [&](const Suite& part) -> Result<stats::PairedCounts> {
    const CompareOptions compare_options{.batch = options.batch, .warm_up = 0, .exemplars = 0, .resamples = 0};
    MCOMP_TRY(evaluation, compare(baseline, candidate, part, {.min_samples = 1}, compare_options, quiet));
    return *evaluation.evidence.accuracy;
  };
  Robustness result;
  context.report("corruptions", 0, total);
  MCOMP_TRY(clean, counts_on(suite));
  MCOMP_TRY(clean_loss, stats::tango_interval(clean, options.level));
  result.clean = clean;
  result.clean_loss = clean_loss;
  for (const Corruption corruption : corruptions)
    for (const int severity : options.severities) {
      MCOMP_CHECK(context.check("corruptions"));
      MCOMP_TRY(part, corrupted(suite, corruption, severity, options.seed, context.executor));
      MCOMP_TRY(counts, counts_on(part));
      MCOMP_TRY(loss, stats::tango_interval(counts, options.level));
      result.rows.push_back({corruption, severity, counts, loss});
      context.report("corruptions", static_cast<std::int64_t>(result.rows.size()), total);
    }
  return result;
}

} // namespace mcomp::inline v0::evaluate
