// Bars on what is done about outliers, in the layers of trained networks; bench/quant/outlier_quality.cpp prints the
// table.

#include "quant/planted_outliers.hpp"

#include "catch.hpp"
#include "data.hpp"

using namespace mcomp;
using namespace mcomp_test;

namespace {

template <class Layer, class Measure> void keeps_bars(const std::vector<Layer>& layers, const Measure& measure) {
  REQUIRE_FALSE(layers.empty());
  for (const Layer& layer : layers) {
    const OutlierErrors e = measure(layer);
    INFO(e.layer << ": " << e.unplanted << " without outliers, " << e.planted << " with them, " << e.treated
                 << " treated");
    CHECK(e.function_change <= 1e-5);
    CHECK(e.planted > 3 * e.unplanted); // or there is nothing to do
    CHECK(e.treated <= e.planted / 3);
  }
}

} // namespace

TEST_CASE(
    "SmoothQuant and rotation lower the W8A8 error of planted outliers at least 3x in every layer of stories260k") {
  const auto model = data("language/stories260k.safetensors"), tokens = data("language/tinystories_tokens.safetensors");
  if (!model || !tokens) return;
  const auto layers = normalized_layers(*model, *tokens);
  CHECK(layers.size() == 10);
  keeps_bars(layers, [](const NormalizedLayers& l) { return normalized_errors(l, Treatment::smoothing, 1); });
  keeps_bars(layers, [](const NormalizedLayers& l) { return normalized_errors(l, Treatment::rotation, 1); });
}

TEST_CASE("equalization lowers the W8A8 error of planted outliers at least 3x in every block of ResNet-20", "[slow]") {
  const auto model = data("vision/resnet20_cifar10.safetensors"), images = data("vision/cifar10_calib.safetensors");
  if (!model || !images) return;
  const auto pairs = convolution_pairs(*model, 20, *images);
  CHECK(pairs.size() == 9);
  keeps_bars(pairs, [](const ConvolutionPair& p) { return equalized_errors(p, 1); });
}
