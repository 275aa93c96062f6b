// What every quantizer keeps, whatever the shape and the numbers: a clear error before any work, or a result of the
// same shape, finite, no larger than the weights are, the same for any number of threads.

#include <functional>
#include <limits>

#include "correlated_layer.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/adaround.hpp"
#include "mcomp/quant/awq.hpp"
#include "mcomp/quant/bias_correction.hpp"
#include "mcomp/quant/channel_scaling.hpp"
#include "mcomp/quant/codebook.hpp"
#include "mcomp/quant/fake_quantize.hpp"
#include "mcomp/quant/gptq.hpp"
#include "mcomp/quant/hqq.hpp"
#include "mcomp/quant/microscaling.hpp"
#include "mcomp/quant/observer.hpp"
#include "mcomp/quant/rotation.hpp"
#include "mcomp/quant/scaled_float.hpp"

using namespace mcomp;
using namespace mcomp::quant;
using mcomp_test::error_code;
using mcomp_test::matrix;
using mcomp_test::Matrix;

namespace {

constexpr float most = std::numeric_limits<float>::max();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct Quantizer {
  std::string name;
  /// The real numbers that a weight becomes.
  std::function<Result<Tensor>(const TensorView& weight, const stats::Gram& gram, const Context& context)> run;
  std::int64_t block = 1;  ///< rows must be whole blocks of it
  bool overflows = false;  ///< may give infinities for weights beyond the format's range: documented
  bool least_error = true; ///< minimizes the error of the weights, which is then never above that of zeros
  bool decoupled = true;   ///< groups of weights are quantized by themselves, whatever is in other rows
};

template <class T> Result<Tensor> real(const Result<T>& q) {
  if (!q) return q.error();
  return dequantize(*q);
}
template <class T> Result<Tensor> real_tensor(const Result<T>& q) {
  if (!q) return q.error();
  return dequantize(q->tensor);
}

std::vector<Scheme> schemes() {
  std::vector<Scheme> all;
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false}) {
      const DType dtype = integer_dtype(bits, symmetric);
      all.push_back({.dtype = dtype, .symmetric = symmetric, .granularity = Granularity::per_tensor});
      all.push_back({.dtype = dtype, .symmetric = symmetric});
      all.push_back({.dtype = dtype, .symmetric = symmetric, .granularity = Granularity::per_group, .group_size = 8});
      all.push_back({.dtype = dtype,
                     .symmetric = symmetric,
                     .granularity = Granularity::per_block,
                     .group_size = 8,
                     .group_rows = 2});
    }
  all.push_back({.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 128, .full_range = true});
  all.push_back({.dtype = DType::uint4, .symmetric = true});
  all.push_back({.dtype = DType::int4, .symmetric = false});
  return all;
}

/// The quantizers into integers under scales.
void add_integers(std::vector<Quantizer>& all) {
  for (const Scheme& scheme : schemes()) {
    const bool shares = scheme.granularity == Granularity::per_tensor || scheme.granularity == Granularity::per_block;
    const auto add = [&](const std::string& name, auto run, bool least_error = true) {
      all.push_back({fmt::format("{} {}", name, scheme), run, 1, false, least_error, !shares});
    };
    add("nearest",
        [=](const TensorView& w, const stats::Gram&, const Context& c) { return real(quantize(w, scheme, c)); });
    add("clipped", [=](const TensorView& w, const stats::Gram&, const Context& c) {
      return real_tensor(quantize_clipped(w, scheme, {}, c));
    });
    add(
        "clipped by importance",
        [=](const TensorView& w, const stats::Gram& g, const Context& c) {
          return real_tensor(quantize_clipped(w, scheme, {.importance = g.diagonal()}, c));
        },
        false);
    for (const int rounds : {0, 2})
      for (const bool act_order : {true, false})
        add(
            fmt::format("gptq of {} rounds{}", rounds, act_order ? ", ordered" : ""),
            [=](const TensorView& w, const stats::Gram& g, const Context& c) {
              return real_tensor(
                  gptq(w, g, {.scheme = scheme, .act_order = act_order, .block = 16, .refine = {.rounds = rounds}}, c));
            },
            false);
    add(
        "refined",
        [=](const TensorView& w, const stats::Gram& g, const Context& c) -> Result<Tensor> {
          const auto start = quantize(w, scheme, c);
          if (!start) return start.error();
          return real_tensor(refine(w, *start, g, {.rounds = 2}, c));
        },
        false);
    add(
        "adaround",
        [=](const TensorView& w, const stats::Gram& g, const Context& c) {
          return real_tensor(adaround(w, g, {.scheme = scheme, .steps = 20}, c));
        },
        false);
    if (shares) continue;
    add("hqq", [=](const TensorView& w, const stats::Gram&, const Context& c) {
      return real_tensor(hqq(w, {.scheme = scheme}, c));
    });
    add(
        "awq",
        [=](const TensorView& w, const stats::Gram& g, const Context& c) -> Result<Tensor> {
          const auto q = awq({w}, g, {.scheme = scheme, .steps = 4, .clip_steps = 4}, c);
          if (!q) return q.error();
          Tensor scaled = dequantize(q->tensors[0]).value();
          const auto s = q->scales.values<float>("scales").value();
          auto values = scaled.mutable_values<float>();
          for (std::size_t i = 0; i < values.size(); ++i) values[i] /= s[i % s.size()];
          return scaled;
        },
        false);
  }
}

void add_formats(std::vector<Quantizer>& all) {
  for (const BlockFormat format : block_formats) {
    const std::int64_t block = block_layout(format).block_size;
    for (const BlockSearch search : {BlockSearch::nearest, BlockSearch::fast, BlockSearch::thorough})
      all.push_back({fmt::format("{} {}", format, search),
                     [=](const TensorView& w, const stats::Gram&, const Context& c) -> Result<Tensor> {
                       const auto q = quantize_blocks(w, format, {.search = search}, c);
                       if (!q) return q.error();
                       return dequantize_blocks(*q, c);
                     },
                     block, search == BlockSearch::nearest, search != BlockSearch::nearest});
    for (const int rounds : {0, 2})
      all.push_back({fmt::format("gptq {} of {} rounds", format, rounds),
                     [=](const TensorView& w, const stats::Gram& g, const Context& c) -> Result<Tensor> {
                       const auto q = gptq(w, g, format, {.refine = {.rounds = rounds}}, c);
                       if (!q) return q.error();
                       return dequantize_blocks(q->tensor, c);
                     },
                     block, false, false});
  }
  for (const Microscaling& format : {microscaling::mxfp4, microscaling::mxfp6_e2m3, microscaling::mxfp6_e3m2,
                                     microscaling::mxfp8_e4m3, microscaling::mxfp8_e5m2, microscaling::nvfp4})
    for (const ScaleRule rule : {ScaleRule::floor, ScaleRule::round, ScaleRule::minimum_error})
      all.push_back({fmt::format("{} rule {}", format, static_cast<int>(rule)),
                     [=](const TensorView& w, const stats::Gram&, const Context& c) {
                       return real(quantize_microscaled(w, {.format = format, .rule = rule}, c));
                     },
                     1, false, true, format.scale == ScaleType::e8m0});
  for (const MiniFloat& element : {e4m3, e5m2})
    for (const Granularity granularity : {Granularity::per_tensor, Granularity::per_channel, Granularity::per_block})
      all.push_back({fmt::format("float {} {}", element.exponent_bits, granularity),
                     [=](const TensorView& w, const stats::Gram&, const Context& c) {
                       const std::int64_t group = granularity == Granularity::per_block ? 8 : 0;
                       return real(quantize_scaled_float(w, {element, granularity, group, group}, c));
                     },
                     1, false, true, granularity == Granularity::per_channel});
  all.push_back({"nf4", [](const TensorView& w, const stats::Gram&, const Context& c) {
                   return real(quantize_nf4(w, {.group_size = 8}, c));
                 }});
  for (const int bits : {2, 4, 8})
    for (const bool per_channel : {true, false})
      all.push_back({fmt::format("codebook {} {}", bits, per_channel),
                     [=](const TensorView& w, const stats::Gram&, const Context& c) {
                       return real(
                           quantize_codebook(w, {.bits = bits, .per_channel = per_channel, .max_points = 256}, c));
                     },
                     1, false, true, per_channel});
}

std::vector<Quantizer> quantizers() {
  std::vector<Quantizer> all;
  add_integers(all);
  add_formats(all);
  return all;
}

/// Weights by name.
std::vector<std::pair<std::string, Tensor>> weights(const Shape& shape) {
  Random random(3);
  std::vector<std::pair<std::string, Tensor>> all;
  const auto add = [&](const char* name, const std::function<float(std::int64_t row, std::int64_t column)>& value) {
    Tensor t = Tensor::zeros(DType::f32, shape).value();
    for (std::int64_t i = 0; i < t.elements(); ++i)
      t.mutable_values<float>()[static_cast<std::size_t>(i)] = value(i / shape[1], i % shape[1]);
    all.emplace_back(name, std::move(t));
  };
  const auto normal = [&] { return static_cast<float>(random.normal()); };
  add("normal", [&](auto, auto) { return normal(); });
  add("zeros", [](auto, auto) { return 0.0f; });
  add("constant rows", [](auto r, auto) { return r % 2 == 0 ? 0.75f : -3.0f; });
  add("a zero row, a normal one", [&](auto r, auto) { return r % 2 == 0 ? 0.0f : normal(); });
  add("positive", [&](auto, auto) { return 5 + std::abs(normal()); });
  add("denormal", [&](auto, auto) { return normal() * 1e-41f; });
  add("the smallest number", [](auto r, auto c) { return (r + c) % 2 == 0 ? 1e-45f : -1e-45f; });
  add("scales below fp16", [&](auto, auto) { return normal() * 1e-9f; });
  add("scales denormal in fp16", [&](auto, auto) { return normal() * 1e-6f; });
  add("beyond fp16", [&](auto, auto) { return normal() * 1e9f; });
  add("whose squares overflow", [&](auto, auto) { return normal() * (most / 1e6f); });
  add("one large among small", [&](auto, auto c) { return c == 0 ? 1e6f : normal() * 1e-6f; });
  add("one denormal among normal", [&](auto, auto c) { return c == 0 ? 1e-44f : normal(); });
  return all;
}

stats::Gram gram_for(const Shape& shape, std::int64_t samples) {
  Random random(4);
  stats::Gram gram(shape[1]);
  if (samples > 0) gram.update(mcomp_test::inputs(random, samples, shape[1])).value();
  return gram;
}

/// What must hold of a result.
void check_result(const Quantizer& quantizer, const Tensor& w, const Tensor& q) {
  REQUIRE(q.shape() == w.shape());
  REQUIRE(q.dtype() == DType::f32);
  const Matrix a = matrix(w), b = matrix(q);
  if (quantizer.overflows && !b.allFinite()) {
    CHECK(a.cwiseAbs().maxCoeff() > 60000);
    return;
  }
  CHECK(b.allFinite());
  const double size = a.cwiseAbs().maxCoeff();
  // Formats whose smallest step is larger than the weights have zeros, no noise; others overshoot by less than a step.
  CHECK(b.cwiseAbs().maxCoeff() <= 2.5 * size + 1e-37);
  if (!quantizer.least_error || size < 1e-36) return;
  const Matrix unit = a / size;
  CHECK((unit - b / size).squaredNorm() <= unit.squaredNorm() * (1 + 1e-5));
}

/// Every quantizer, on every kind of numbers in a shape.
void check_shape(const Shape& shape) {
  ThreadPool pool(3);
  const stats::Gram full = gram_for(shape, 400), singular = gram_for(shape, 3), empty = gram_for(shape, 0);
  const auto inputs = weights(shape);
  for (const Quantizer& quantizer : quantizers()) {
    INFO(quantizer.name << " of " << to_string(shape));
    if (shape[1] % quantizer.block != 0) {
      CHECK(error_code(quantizer.run(inputs[0].second, full, {})) == ErrorCode::invalid_shape);
      continue;
    }
    for (const auto& [name, w] : inputs) {
      INFO(name);
      const auto q = quantizer.run(w, full, {});
      REQUIRE(q);
      check_result(quantizer, w, *q);
      if (name != "normal" && name != "one large among small") continue;
      CHECK(quantizer.run(w, full, {.executor = &pool}).value() == *q);
      for (const stats::Gram* gram : {&singular, &empty}) {
        const auto other = quantizer.run(w, *gram, {});
        REQUIRE(other);
        check_result(quantizer, w, *other);
      }
    }
  }
}

} // namespace

TEST_CASE("quantizers of any shape and any finite numbers") {
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 37}, Shape{5, 1}, Shape{3, 33}}) check_shape(shape);
}

TEST_CASE("quantizers of whole blocks and any finite numbers", "[slow]") {
  for (const Shape& shape : {Shape{2, 64}, Shape{2, 256}}) check_shape(shape);
}

TEST_CASE("quantizers keep zeros, and one row does not change another", "[slow]") {
  const Shape shape{4, 256};
  const stats::Gram gram = gram_for(shape, 400);
  const Tensor zeros = Tensor::zeros(DType::f32, shape).value();
  Random random(5);
  const Tensor w = mcomp_test::normals(random, shape);
  Tensor other = w;
  for (std::size_t i = 0; i < 2 * 256; ++i) other.mutable_values<float>()[i] *= -100;
  for (const Quantizer& quantizer : quantizers()) {
    INFO(quantizer.name);
    CHECK(matrix(quantizer.run(zeros, gram, {}).value()).isZero(0));
    if (!quantizer.decoupled || quantizer.name.starts_with("awq")) continue; // awq scales columns for all rows
    const Matrix a = matrix(quantizer.run(w, gram, {}).value()), b = matrix(quantizer.run(other, gram, {}).value());
    CHECK(a.bottomRows(2) == b.bottomRows(2));
  }
}

TEST_CASE("quantizers refuse what is no weight before any work") {
  const Shape shape{2, 256};
  const stats::Gram gram = gram_for(shape, 400);
  Random random(6);
  const Tensor w = mcomp_test::normals(random, shape);
  for (const Quantizer& quantizer : quantizers()) {
    INFO(quantizer.name);
    for (const float bad :
         {not_a_number, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
      for (const std::size_t at : {std::size_t{0}, std::size_t{511}}) {
        Tensor broken = w;
        broken.mutable_values<float>()[at] = bad;
        CHECK(error_code(quantizer.run(broken, gram, {})) == ErrorCode::invalid_value);
      }
    for (const Shape& none : {Shape{2, 0}, Shape{0, 256}, Shape{0}}) {
      INFO(to_string(none));
      const Tensor t = Tensor::zeros(DType::f32, none).value();
      CHECK(error_code(quantizer.run(t, none.rank() == 2 && none[1] == 0 ? stats::Gram(0) : gram, {})) ==
            ErrorCode::invalid_shape);
    }
    const Tensor integers = Tensor::zeros(DType::int8, shape).value();
    CHECK(error_code(quantizer.run(integers, gram, {})) == ErrorCode::invalid_dtype);
  }
}

TEST_CASE("quantizers take every floating type and strided views, as the same numbers in f32", "[slow]") {
  const Shape shape{2, 256};
  const stats::Gram gram = gram_for(shape, 400);
  Random random(7);
  Tensor wide = mcomp_test::normals(random, {4, 256});
  for (float& x : wide.mutable_values<float>()) x = to_float(to_half(x));
  const Tensor w = Tensor::copy_of(wide.view().rows(0, 2).value()).value();
  // f16 holds the same numbers; every other row of a larger tensor
  std::vector<half> halves;
  for (const float x : w.values<float>("w").value()) halves.push_back(to_half(x));
  const Tensor f16 = Tensor::from(halves, shape).value();
  std::vector<float> spread(4 * 256);
  for (std::size_t i = 0; i < 512; ++i) spread[(i / 256) * 512 + i % 256] = w.values<float>("w").value()[i];
  const TensorView strided(spread.data(), DType::f32, shape, Shape{512, 1});
  for (const Quantizer& quantizer : quantizers()) {
    INFO(quantizer.name);
    const Tensor expected = quantizer.run(w, gram, {}).value();
    CHECK(quantizer.run(f16, gram, {}).value() == expected);
    CHECK(quantizer.run(strided, gram, {}).value() == expected);
  }
}

TEST_CASE("rotations, scalings, bias correction and activations of odd shapes and numbers") {
  Random random(8);
  for (const std::int64_t n : {1, 3, 7, 12, 33, 64}) {
    INFO(n);
    const Tensor w = mcomp_test::normals(random, {5, n});
    const auto rotation = Rotation::random(n, 1).value();
    const Tensor turned = rotation.rotate_columns(w).value();
    CHECK(matrix(turned).rowwise().norm().isApprox(matrix(w).rowwise().norm(), 1e-5));
    CHECK(rotation.rotate_columns(Tensor::zeros(DType::f32, {0, n}).value()).value().elements() == 0);
    const Tensor ones = mcomp_test::tensor(std::vector<float>(static_cast<std::size_t>(n), 1), {n});
    CHECK(scale_columns(w, ones).value() == w);
    const auto scales = smoothing_scales(ones, {w}).value();
    CHECK(matrix(divide_rows(scales, scales).value()).isOnes(0));
  }
  Tensor broken = mcomp_test::tensor({1, not_a_number}, {1, 2});
  const Tensor ones = mcomp_test::tensor({1, 1}, {2});
  CHECK(error_code(scale_columns(broken, ones)) == ErrorCode::invalid_value);
  CHECK(error_code(smoothing_scales(ones, {broken})) == ErrorCode::invalid_value);
  CHECK(error_code(smoothing_scales(mcomp_test::tensor({1, not_a_number}, {2}),
                                    {Tensor(ones).reshaped({1, 2}).value()})) == ErrorCode::invalid_value);
  CHECK(error_code(equalize(Tensor(ones).reshaped({2, 1}).value(), {}, broken)) == ErrorCode::invalid_value);
  CHECK(error_code(correct_bias(broken, broken, gram_for({1, 2}, 9))) == ErrorCode::invalid_value);
  // channels that are denormal or dead get scales that are finite powers of two
  const Tensor tiny = mcomp_test::tensor({1e-44f, 0, 1, most}, {1, 4});
  const auto s = smoothing_scales(mcomp_test::tensor({most, 1, 1e-44f, 1e-44f}, {4}), {tiny}).value();
  const Matrix scaled = matrix(scale_columns(tiny, s).value());
  CHECK(scaled.allFinite());
  CHECK(matrix(s).minCoeff() > 0);

  for (const DType dtype : {DType::uint8, DType::int8, DType::uint4})
    for (const bool symmetric : {true, false})
      for (const Range& range : {Range{0, 0}, Range{-1e-45f, 1e-45f}, Range{-most, most}, Range{3, 5}, Range{-5, -3}}) {
        INFO(to_string(dtype) << " " << range.min << " " << range.max);
        const Parameters p = parameters_for(range, dtype, symmetric).value();
        CHECK(p.scale >= std::numeric_limits<float>::min());
        CHECK(std::isfinite(p.scale));
        const std::vector<float> hard{not_a_number, INFINITY, -INFINITY, most, -most, 1e-45f, 0, range.min, range.max};
        const Tensor x = mcomp_test::tensor(hard, {static_cast<std::int64_t>(hard.size())});
        const Tensor y = fake_quantize(x, p).value();
        CHECK(matrix(y).allFinite());
        CHECK(matrix(y)(0, 0) == 0);
        CHECK(matrix(y)(6, 0) == 0);
      }
  for (const Range& range : {Range{0, INFINITY}, Range{not_a_number, 1}, Range{1, 0}})
    CHECK(error_code(parameters_for(range, DType::uint8, false)) == ErrorCode::invalid_value);

  for (const ObserverKind kind : {ObserverKind::min_max, ObserverKind::moving_average, ObserverKind::percentile,
                                  ObserverKind::mean_squared_error, ObserverKind::kl_entropy})
    for (const auto& values :
         {std::vector<float>{0, 0}, std::vector<float>{1e-45f, -1e-45f}, std::vector<float>{most, -most},
          std::vector<float>{4, 4, 4}, std::vector<float>{1e-30f, 1e30f}}) {
      INFO(to_string(kind) << " of " << values[0]);
      const auto observer = make_observer({.kind = kind}).value();
      observer->update(mcomp_test::tensor(values, {static_cast<std::int64_t>(values.size())})).value();
      const Range range = observer->range(DType::uint8, false).value();
      CHECK(std::isfinite(range.min));
      CHECK(std::isfinite(range.max));
      CHECK(range.min <= range.max);
      CHECK(parameters_for(range, DType::uint8, false));
    }
}
