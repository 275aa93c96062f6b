#include "mcomp/quant/scaled_float.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "quant/grouping.hpp"
#include "quant/weight_matrix.hpp"

namespace mcomp::inline v0::quant {

namespace {

Scheme scheme_of(const ScaledFloatOptions& options) {
  return {.granularity = options.granularity, .group_size = options.group_size, .group_rows = options.group_rows};
}

} // namespace

std::int64_t ScaledFloatTensor::stored_bytes() const noexcept {
  return (codes.elements() * format.element.bits() + 7) / 8 + scales.bytes();
}

std::string to_string(const ScaledFloatTensor& tensor) {
  return fmt::format("{} {} {}, {} bytes", tensor.shape(), tensor.format.element, tensor.format.granularity,
                     tensor.stored_bytes());
}

Result<ScaledFloatTensor> quantize_scaled_float(const TensorView& weight, const ScaledFloatOptions& options,
                                                const Context& context) {
  MCOMP_CHECK(check(scheme_of(options)));
  MCOMP_TRY(w, detail::weight_matrix(weight));
  const detail::Grouping g(weight.shape(), scheme_of(options));
  ScaledFloatTensor q{options, *Tensor::uninitialized(DType::uint8, weight.shape()),
                      *Tensor::zeros(DType::f32, {g.row_groups, g.groups})};
  auto scales = q.scales.mutable_values<float>();
  auto* codes = static_cast<std::uint8_t*>(q.codes.data());
  context.executor_or_serial().run(scales.size(), [&](std::size_t i) {
    const auto each = [&](auto&& visit) { g.visit(static_cast<std::int64_t>(i), visit); };
    float largest_of_group = 0;
    each([&](std::int64_t at, std::int64_t n) {
      for (std::int64_t k = 0; k < n; ++k) largest_of_group = std::max(largest_of_group, std::fabs(w.data[at + k]));
    });
    const float scale = largest_of_group == 0
                            ? 1.0f
                            : std::max(largest_of_group / largest(options.element), std::numeric_limits<float>::min());
    scales[i] = scale;
    each([&](std::int64_t at, std::int64_t n) {
      for (std::int64_t k = 0; k < n; ++k) codes[at + k] = encode(options.element, w.data[at + k] / scale);
    });
  });
  return q;
}

Result<Tensor> dequantize(const ScaledFloatTensor& q) {
  MCOMP_CHECK(check(scheme_of(q.format)));
  const detail::Grouping g(q.shape(), scheme_of(q.format));
  if (q.codes.dtype() != DType::uint8 || q.codes.elements() == 0 || q.scales.dtype() != DType::f32 ||
      q.scales.shape() != Shape{g.row_groups, g.groups})
    return Error(ErrorCode::invalid_shape, "scaled float tensor",
                 fmt::format("codes {} and scales {} do not fit together", q.codes, q.scales),
                 fmt::format("pass uint8 codes and f32 scales {}", Shape{g.row_groups, g.groups}));
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, q.shape()));
  auto out = result.mutable_values<float>();
  const auto* codes = static_cast<const std::uint8_t*>(q.codes.data());
  const auto* scales = static_cast<const float*>(q.scales.data());
  for (std::int64_t i = 0; i < q.scales.elements(); ++i)
    g.visit(i, [&](std::int64_t at, std::int64_t n) {
      for (std::int64_t k = at; k < at + n; ++k)
        out[static_cast<std::size_t>(k)] = decode(q.format.element, codes[k]) * scales[i];
    });
  return std::move(result);
}

} // namespace mcomp::inline v0::quant
