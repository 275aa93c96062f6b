#include <cstdio>
#include <vector>

#include "mcomp/core/version.hpp"
#include "mcomp/kernels/layers.hpp"
#include "mcomp/quant/quantize.hpp"

// A layer is quantized and executed: the headers, both libraries and what they link to are there.
int main() {
  using namespace mcomp;
  const Tensor weight = Tensor::from(std::vector<float>{1, 2, 3, -4, 5, 6}, Shape{2, 3}).value();
  const Tensor x = Tensor::from(std::vector<float>{1, 1, 1}, Shape{1, 3}).value();
  const quant::QuantizedTensor small = quant::quantize(weight, {.dtype = DType::int8}).value();
  const auto input = quant::parameters_for({0, 1}, DType::uint8, false).value();
  const auto capabilities = kernels::capabilities();
  std::printf("mcomp %s, %s\n", MCOMP_VERSION_STRING, to_string(capabilities).c_str());
  if (capabilities.onednn != (EXPECT_ONEDNN != 0)) return 1;
  const auto layer = kernels::Linear::create_int8(small, {}, {.input = input});
  // Without oneDNN layers are simulated, not executed, and asking for one is answered by an error.
  if (!capabilities.onednn) return !layer && layer.error().code() == ErrorCode::unsupported ? 0 : 2;
  const Tensor y = layer->run(quant::quantize_activations(x, input).value()).value();
  const float first = y.values<float>("y").value()[0];
  std::printf("1 + 2 + 3 = %.2f\n", static_cast<double>(first));
  return first > 5.9f && first < 6.1f ? 0 : 3;
}
