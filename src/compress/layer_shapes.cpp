#include "mcomp/compress/layer_shapes.hpp"

#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress {

namespace {

std::int64_t bytes_of(const quant::Value& value) {
  return value.shape.elements() * (value.codes ? 1 : 4);
}

DType dtype_of(const quant::Value& value) {
  return value.codes ? DType::uint8 : DType::f32;
}

} // namespace

Result<std::vector<cost::LayerShape>> layer_shapes(const quant::Program& program, std::int64_t samples) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  if (samples < 1 || samples > most)
    return Error(ErrorCode::invalid_argument, "samples", fmt::format("{}", samples), "pass 1 to 2^31");
  std::vector<cost::LayerShape> shapes;
  const quant::Value& first = program.values.front();
  shapes.push_back({.kind = cost::LayerKind::movement,
                    .samples = samples,
                    .moved_bytes = samples * (first.shape.elements() * 4 + bytes_of(first))});
  for (const quant::Step& step : program.steps) {
    const quant::Value &in = program.values[step.inputs[0]], &out = program.values[step.output];
    cost::LayerShape shape{.samples = samples};
    const auto* convolution = std::get_if<graph::Convolution>(&step.operation);
    if (convolution || std::holds_alternative<graph::Linear>(step.operation)) {
      shape.kind = convolution ? cost::LayerKind::convolution : cost::LayerKind::linear;
      shape.in_channels = in.shape[0];
      shape.out_channels = out.shape[0];
      if (convolution) {
        shape.height = in.shape[1], shape.width = in.shape[2];
        shape.kernel = convolution->kernel, shape.stride = convolution->stride, shape.padding = convolution->padding;
        shape.groups = convolution->groups;
      }
      shape.weights = step.integer ? DType::int8 : DType::f32;
      shape.input = step.integer ? DType::uint8 : DType::f32; // a step in f32 takes codes as numbers
      shape.output = dtype_of(out);
      shape.residual = step.residual.has_value();
    } else {
      shape.kind = cost::LayerKind::movement;
      std::int64_t moved = bytes_of(out);
      for (const std::size_t input : step.inputs) moved += bytes_of(program.values[input]);
      shape.moved_bytes = samples * moved;
    }
    MCOMP_CHECK(shape.check());
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

} // namespace mcomp::inline v0::compress
