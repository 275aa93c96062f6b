#include "layer_maker.hpp"

#include "mcomp/core/cpu.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/kernels/synthetic_layer.hpp"

namespace example {

using mcomp::cost::LayerKind;
using mcomp::cost::LayerShape;

mcomp::cost::LayerMaker kernel_layers(int threads) {
  return [threads](const LayerShape& s) {
    return mcomp::kernels::synthetic_layer({.convolution = s.kind == LayerKind::convolution,
                                            .integer = s.weights == mcomp::DType::int8,
                                            .in_channels = s.in_channels,
                                            .out_channels = s.out_channels,
                                            .samples = s.samples,
                                            .height = s.height,
                                            .width = s.width,
                                            .kernel = s.kernel,
                                            .stride = s.stride,
                                            .padding = s.padding,
                                            .groups = s.groups,
                                            .output = s.output,
                                            .residual = s.residual,
                                            .threads = threads});
  };
}

mcomp::cost::DeviceIdentity this_device(int threads) {
  const auto capabilities = mcomp::kernels::capabilities();
  return {.name = mcomp::cpu_features().name,
          .instruction_set = capabilities.instruction_set,
          .engine = fmt::format("oneDNN {}", capabilities.onednn_version),
          .threads = threads};
}

} // namespace example
