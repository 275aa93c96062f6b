#include <vector>

#include "mcomp/core/executor.hpp"
#include "mcomp/kernels/layers.hpp"
#include "mcomp/quant/quantize.hpp"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

// Where this copy keeps its only object of static lifetime, and whether it works: it executes a layer, and catches the
// exception that its own copy throws.
extern "C" __attribute__((visibility("default"))) const void* JOIN(USER, _copy)() {
  using namespace mcomp;
  const Tensor weight = Tensor::from(std::vector<float>{1, 2, 3, 4}, Shape{2, 2}).value();
  const Tensor x = Tensor::from(std::vector<float>{1, 1}, Shape{1, 2}).value();
  const auto small = quant::quantize(weight, {.dtype = DType::int8}).value();
  const auto input = quant::parameters_for({0, 1}, DType::uint8, false).value();
  const auto layer = kernels::Linear::create_int8(small, {}, {.input = input}).value();
  const Tensor y = layer.run(quant::quantize_activations(x, input).value()).value();
  if (y.values<float>("y").value()[1] < 6.9f) return nullptr;
  try {
    (void)y.values<double>("y").value();
    return nullptr;
  } catch (const Error&) {
    return &serial_executor();
  }
}
