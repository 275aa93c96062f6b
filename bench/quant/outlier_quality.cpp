// What SmoothQuant, randomized Hadamard rotation and cross-layer equalization do about outliers planted into the layers
// of trained networks (test/quant/planted_outliers.hpp says how): squared output error of W8A8 with one scale for a
// tensor of activations, relative to the squared output; geometric means over layers.
//
//     bench_outlier_quality DATA_FOLDER

#include <functional>

#include <fmt/format.h>

#include "mcomp/core/format.hpp"
#include "quant/planted_outliers.hpp"

namespace {

using namespace mcomp_test;

template <class Layer, class Measure>
void row(const std::string& title, const std::vector<Layer>& layers, const Measure& measure) {
  std::vector<OutlierErrors> errors;
  for (std::uint64_t seed = 1; seed <= 4; ++seed)
    for (const Layer& layer : layers) errors.push_back(measure(layer, seed));
  const OutlierSummary s = summarize(errors);
  fmt::print("| {} | {:.2e} | {:.2e} | {:.2e} | {:.1f} | {:.1f} | {:.1e} |\n", title, s.unplanted, s.planted, s.treated,
             s.gain, s.least_gain, s.function_change);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} DATA_FOLDER\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  fmt::print(
      "| treatment, layers | without outliers | with outliers | treated | gain | least gain of a layer | change of "
      "the fp32 function |\n| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const char* model : {"stories260k", "wide256"}) {
    const auto layers = normalized_layers(folder / "language" / (std::string(model) + ".safetensors"),
                                          folder / "language/tinystories_tokens.safetensors");
    row(fmt::format("SmoothQuant, {} q k v, gate up", model), layers,
        [](const NormalizedLayers& l, std::uint64_t seed) { return normalized_errors(l, Treatment::smoothing, seed); });
    row(fmt::format("rotation, {} q k v, gate up", model), layers,
        [](const NormalizedLayers& l, std::uint64_t seed) { return normalized_errors(l, Treatment::rotation, seed); });
  }
  for (const std::int64_t depth : {20, 56})
    row(fmt::format("equalization, ResNet-{} blocks", depth),
        convolution_pairs(folder / fmt::format("vision/resnet{}_cifar10.safetensors", depth), depth,
                          folder / "vision/cifar10_calib.safetensors"),
        equalized_errors);
  return 0;
}
