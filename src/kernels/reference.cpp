#include "mcomp/kernels/reference.hpp"

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::kernels::reference {

namespace {

Result<Tensor> checked_codes(const TensorView& x, std::size_t rank) {
  if (x.dtype() != DType::uint8 && x.dtype() != DType::int8)
    return Error(ErrorCode::invalid_dtype, "x", fmt::format("elements are {}", x.dtype()), "pass uint8 or int8 codes");
  if (x.rank() != rank)
    return Error(ErrorCode::invalid_shape, "x",
                 fmt::format("shape {} has rank {}, rank {} is needed", x.shape(), x.rank(), rank),
                 "pass channels last");
  return Tensor::copy_of(x);
}

std::int32_t code(const Tensor& t, std::int64_t i) {
  return t.dtype() == DType::int8 ? static_cast<const std::int8_t*>(t.data())[i]
                                  : static_cast<const std::uint8_t*>(t.data())[i];
}

} // namespace

Result<Tensor> convolution(const TensorView& x_view, std::int32_t zero_point, const TensorView& weight,
                           const graph::Convolution& g) {
  MCOMP_TRY(x, checked_codes(x_view, 4));
  MCOMP_CHECK(require(weight, "weight", DType::int8, 4));
  MCOMP_TRY(w, weight.values<std::int8_t>("weight"));
  graph::Network one;
  one.input.shape = {x.size(3), x.size(1), x.size(2)};
  one.output = "layer";
  one.layers.push_back({"layer", g, {std::string(graph::network_input)}});
  std::get<graph::Convolution>(one.layers[0].operation).weight = "weight";
  MCOMP_TRY(shapes, graph::infer_shapes(one));
  const std::int64_t in = x.size(3), height = x.size(1), width = x.size(2), group_in = in / g.groups,
                     group_out = g.out_channels / g.groups;
  if (weight.shape() != Shape{g.out_channels, group_in, g.kernel[0], g.kernel[1]})
    return Error(ErrorCode::invalid_shape, "weight", fmt::format("shape {} does not fit the geometry", weight.shape()),
                 "pass [out, in / groups, kernel height, kernel width]");
  const std::int64_t out_height = shapes.output[0][1], out_width = shapes.output[0][2];
  MCOMP_TRY(result, Tensor::uninitialized(DType::int32, {x.size(0), out_height, out_width, g.out_channels}));
  auto* sum = static_cast<std::int32_t*>(result.data());
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t oy = 0; oy < out_height; ++oy)
      for (std::int64_t ox = 0; ox < out_width; ++ox)
        for (std::int64_t o = 0; o < g.out_channels; ++o, ++sum) {
          *sum = 0;
          for (std::int64_t i = 0; i < group_in; ++i)
            for (std::int64_t ky = 0; ky < g.kernel[0]; ++ky)
              for (std::int64_t kx = 0; kx < g.kernel[1]; ++kx) {
                const std::int64_t y = oy * g.stride[0] + ky - g.padding[0], xx = ox * g.stride[1] + kx - g.padding[1];
                if (y < 0 || y >= height || xx < 0 || xx >= width) continue;
                const std::int64_t channel = o / group_out * group_in + i;
                *sum += (code(x, ((n * height + y) * width + xx) * in + channel) - zero_point) *
                        w[static_cast<std::size_t>(((o * group_in + i) * g.kernel[0] + ky) * g.kernel[1] + kx)];
              }
        }
  return std::move(result);
}

Result<Tensor> linear(const TensorView& x_view, std::int32_t zero_point, const TensorView& weight) {
  MCOMP_TRY(x, checked_codes(x_view, 2));
  MCOMP_CHECK(require(weight, "weight", DType::int8, 2));
  MCOMP_TRY(w, weight.values<std::int8_t>("weight"));
  if (weight.size(1) != x.size(1))
    return Error(ErrorCode::invalid_shape, "weight",
                 fmt::format("shape {} does not take {} features", weight.shape(), x.size(1)), "pass [out, in]");
  const std::int64_t in = x.size(1), out = weight.size(0);
  MCOMP_TRY(result, Tensor::zeros(DType::int32, {x.size(0), out}));
  auto* sum = static_cast<std::int32_t*>(result.data());
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t o = 0; o < out; ++o, ++sum)
      for (std::int64_t i = 0; i < in; ++i)
        *sum += (code(x, n * in + i) - zero_point) * w[static_cast<std::size_t>(o * in + i)];
  return std::move(result);
}

} // namespace mcomp::inline v0::kernels::reference
