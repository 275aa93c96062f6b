#include "mcomp/graph/patches.hpp"

#include "core/try.hpp"
#include "graph/im2col.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph {

Result<Tensor> convolution_patches(const Convolution& c, const TensorView& input, std::int64_t group) {
  MCOMP_CHECK(require(input, "input", DType::f32, 4));
  MCOMP_TRY(x, input.values<float>("input"));
  const std::int64_t samples = input.size(0), channels = input.size(1);
  if (c.groups <= 0 || group < 0 || group >= c.groups || c.stride[0] <= 0 || c.stride[1] <= 0)
    return Error(ErrorCode::invalid_argument, "convolution",
                 fmt::format("group {} of {}, stride {} x {}", group, c.groups, c.stride[0], c.stride[1]),
                 "pass a group below the number of groups and a positive stride");
  const std::int64_t height = input.size(2) + 2 * c.padding[0] - c.kernel[0],
                     width = input.size(3) + 2 * c.padding[1] - c.kernel[1];
  if (channels % c.groups != 0 || height < 0 || width < 0)
    return Error(ErrorCode::invalid_shape, "input",
                 fmt::format("shape {} with {} groups and a kernel of {} x {}", input.shape(), c.groups, c.kernel[0],
                             c.kernel[1]),
                 "pass the input of this convolution");
  const detail::ConvolutionSizes sizes{channels / c.groups,     input.size(2), input.size(3), height / c.stride[0] + 1,
                                       width / c.stride[1] + 1, c.kernel,      c.stride,      c.padding};
  const std::int64_t rows = sizes.rows(), columns = sizes.columns();
  MCOMP_TRY(patches, Tensor::uninitialized(DType::f32, {samples * columns, rows}));
  auto* out = static_cast<float*>(patches.data());
  std::vector<float> unrolled(static_cast<std::size_t>(rows * columns));
  for (std::int64_t n = 0; n < samples; ++n, out += rows * columns) {
    detail::im2col(x.data() + (n * channels + group * sizes.in_channels) * input.size(2) * input.size(3), sizes, 0.0f,
                   unrolled.data());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < columns; ++i)
        out[i * rows + r] = unrolled[static_cast<std::size_t>(r * columns + i)];
  }
  return std::move(patches);
}

} // namespace mcomp::inline v0::graph
