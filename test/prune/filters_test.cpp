#include "mcomp/prune/filters.hpp"

#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/prune/batch_norm_folding.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::graph;
using namespace mcomp::prune;
using mcomp_test::largest_difference;
using mcomp_test::normals;

namespace {

/// A residual block, a depthwise convolution, a shortcut with added channels and a flatten of an image.
Network coupled_network() {
  return network_from_json(R"({"schema": "mcomp-network-1", "name": "coupled", "input": {"shape": [3, 8, 8]},
    "layers": [
      {"name": "conv1", "op": "convolution", "out_channels": 10, "kernel": [3, 3], "padding": [1, 1]},
      {"name": "bn1", "op": "batch_norm"}, {"name": "relu1", "op": "activation"},
      {"name": "conv2", "op": "convolution", "out_channels": 12, "kernel": [3, 3], "padding": [1, 1], "bias": "conv2.bias"},
      {"name": "bn2", "op": "batch_norm"}, {"name": "relu2", "op": "activation"},
      {"name": "conv3", "op": "convolution", "out_channels": 10, "kernel": [1, 1]}, {"name": "bn3", "op": "batch_norm"},
      {"name": "add", "op": "add", "inputs": ["bn3", "relu1"]}, {"name": "relu3", "op": "activation"},
      {"name": "dw", "op": "convolution", "out_channels": 10, "kernel": [3, 3], "padding": [1, 1], "groups": 10, "bias": "dw.bias"},
      {"name": "short", "op": "subsample_pad", "stride": [2, 2], "channels_before": 3, "channels_after": 1},
      {"name": "conv4", "op": "convolution", "inputs": ["relu3"], "out_channels": 14, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]},
      {"name": "bn4", "op": "batch_norm"},
      {"name": "add2", "op": "add", "inputs": ["short", "bn4"]}, {"name": "relu4", "op": "activation"},
      {"name": "flat", "op": "flatten"}, {"name": "fc", "op": "linear", "out_features": 5, "bias": "fc.bias"}]})",
                           "coupled")
      .value();
}

TensorStore random_weights(const Network& network, std::uint64_t seed) {
  Random random(seed);
  return mcomp_test::random_weights(network, random);
}

Tensor run(const Network& network, const TensorStore& weights, const Tensor& x) {
  return reference_runner(network, weights).value()->run(x).value();
}

} // namespace

TEST_CASE("folding batch normalization does not change the function") {
  const Network network = coupled_network();
  const TensorStore weights = random_weights(network, 1);
  Random random(2);
  const Tensor x = normals(random, {3, 3, 8, 8});
  const FoldedNetwork folded = fold_batch_norm(network, weights).value();
  CHECK(folded.folded == std::vector<std::string>{"bn1", "bn2", "bn3", "bn4"});
  CHECK(folded.kept.empty());
  CHECK(folded.network.find("bn1") == nullptr);
  CHECK_FALSE(folded.weights.contains("bn1.running_var"));
  CHECK(largest_difference(run(folded.network, folded.weights, x), run(network, weights, x)) < 1e-4);
}

TEST_CASE("a batch normalization that cannot be folded stays and is named") {
  Network network;
  network.input.shape = {2, 4, 4};
  network.layers = {{"relu", Activation{}, {"input"}},
                    {"bn", BatchNorm{1e-5, "w", "b", "m", "v"}, {"relu"}},
                    {"conv", Convolution{.out_channels = 2, .kernel = {1, 1}, .weight = "c"}, {"bn"}},
                    {"bn2", BatchNorm{1e-5, "w", "b", "m", "v"}, {"conv"}},
                    {"sum", Add{}, {"bn2", "conv"}}};
  network.output = "sum";
  TensorStore weights;
  for (const char* name : {"w", "b", "m", "v"}) weights.put(name, Tensor::from(std::vector<float>{1, 2}, {2}).value());
  weights.put("c", Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2, 1, 1}).value());
  const FoldedNetwork folded = fold_batch_norm(network, weights).value();
  CHECK(folded.kept == std::vector<std::string>{"bn", "bn2"});
  CHECK(folded.network == network);
}

TEST_CASE("the pruned network equals the masked one, for every score, scope and fraction") {
  const Network network = coupled_network();
  const TensorStore weights = random_weights(network, 3);
  Random random(4);
  const Tensor x = normals(random, {3, 3, 8, 8});
  for (const FilterScore score : {FilterScore::l1, FilterScore::l2})
    for (const PruningScope scope : {PruningScope::uniform, PruningScope::global})
      for (const double fraction : {0.0, 0.3, 0.6, 0.99}) {
        INFO(fmt::format("{} {}", score, fraction));
        const FilterSelection selection =
            select_filters(network, weights, {.fraction = fraction, .score = score, .scope = scope}).value();
        const PrunedNetwork pruned = remove_filters(network, weights, selection).value();
        const TensorStore masked = mask_filters(network, weights, selection).value();
        CHECK(largest_difference(run(pruned.network, pruned.weights, x), run(network, masked, x)) < 1e-5);
        if (fraction == 0) CHECK(pruned.network == network);
        if (fraction > 0.5) CHECK(pruned.weights.bytes() < weights.bytes());
      }
}

TEST_CASE("weights that two layers share are not folded for one of them") {
  Network network;
  network.name = "shared";
  network.input.shape = {4, 5, 5};
  const Convolution shared{4, {3, 3}, {1, 1}, {1, 1}, 1, "w", ""};
  network.layers = {{"conv1", shared, {"input"}},
                    {"bn1", BatchNorm{1e-5, "a.w", "a.b", "a.m", "a.v"}, {"conv1"}},
                    {"conv2", shared, {"bn1"}},
                    {"bn2", BatchNorm{1e-5, "c.w", "c.b", "c.m", "c.v"}, {"conv2"}}};
  network.output = "bn2";
  const FoldedNetwork folded = fold_batch_norm(network, random_weights(network, 4)).value();
  CHECK(folded.kept == std::vector<std::string>{"bn1", "bn2"});
  CHECK(folded.network == network);
}

TEST_CASE("coupled channels go together and the lowest scores go first") {
  const Network network = coupled_network();
  TensorStore weights = random_weights(network, 5);
  // conv2 alone decides about its units: make three of its filters tiny.
  Tensor w = Tensor::copy_of(weights.find("conv2.weight").value()).value();
  for (const std::size_t filter : std::initializer_list<std::size_t>{1, 4, 7})
    for (std::size_t k = 0; k < 90; ++k) w.mutable_values<float>()[filter * 90 + k] *= 1e-3f;
  weights.put("conv2.weight", w);
  const FilterSelection selection = select_filters(network, weights, {.fraction = 0.25}).value();
  const auto& keep = selection.keep.at("conv2");
  for (std::size_t k = 0; k < 12; ++k) CHECK(keep[k] == (k != 1 && k != 4 && k != 7));
  // conv1, conv3 and the depthwise layer share ten units, the middle of conv4's fourteen.
  CHECK(selection.keep.at("conv1") == selection.keep.at("conv3"));
  CHECK(selection.keep.at("dw") == selection.keep.at("relu3"));
  const auto& wide = selection.keep.at("conv4");
  CHECK(std::vector<bool>(wide.begin() + 3, wide.begin() + 13) == selection.keep.at("conv1"));
  CHECK(selection.filters == 10 + 12 + 10 + 10 + 14);
  CHECK(fmt::format("{}", selection).find("conv2") != std::string::npos);
  // A multiple of four is kept where it can be.
  const FilterSelection even = select_filters(network, weights, {.fraction = 0.4, .channel_multiple = 4}).value();
  CHECK(std::count(even.keep.at("conv2").begin(), even.keep.at("conv2").end(), true) == 8);
}

TEST_CASE("the scale of batch normalization scores filters, where there is one") {
  const Network network = cifar_resnet({.depth = 8, .image = {3, 8, 8}}).value();
  TensorStore weights = random_weights(network, 6);
  Tensor gamma = Tensor::copy_of(weights.find("layer1.0.bn1.weight").value()).value();
  for (float& g : gamma.mutable_values<float>()) g = 1;
  gamma.mutable_values<float>()[5] = 0.01f;
  weights.put("layer1.0.bn1.weight", gamma);
  const FilterSelection selection =
      select_filters(network, weights, {.fraction = 0.07, .score = FilterScore::batch_norm_scale}).value();
  CHECK_FALSE(selection.keep.at("layer1.0.conv1")[5]);
  CHECK(
      select_filters(coupled_network(), random_weights(coupled_network(), 7), {.score = FilterScore::batch_norm_scale})
          .error()
          .code() == ErrorCode::not_found); // the depthwise layer has none
}

TEST_CASE("30 % of ResNet-56's filters: pruned equals masked") {
  const auto path = mcomp_test::data("vision/resnet56_cifar10.safetensors");
  const auto images = mcomp_test::data("vision/cifar10_calib.safetensors");
  if (!path || !images) return;
  const Network network = cifar_resnet({.depth = 56}).value();
  const TensorStore weights = io::read_safetensors(*path).value().tensors;
  const FilterSelection selection = select_filters(network, weights, {.fraction = 0.3}).value();
  const double share = static_cast<double>(selection.removed_filters) / static_cast<double>(selection.filters);
  CHECK(share > 0.25);
  CHECK(share <= 0.3);
  const auto data = io::read_safetensors(*images).value();
  const auto raw = data.tensors.find("images").value().rows(0, 4).value();
  const Tensor x = normalize(network.input, raw).value();
  const PrunedNetwork pruned = remove_filters(network, weights, selection).value();
  CHECK(largest_difference(run(pruned.network, pruned.weights, x),
                           run(network, mask_filters(network, weights, selection).value(), x)) < 1e-5);
}

TEST_CASE("impossible pruning is refused") {
  const Network network = coupled_network();
  const TensorStore weights = random_weights(network, 8);
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(mcomp_test::well_formed(result.error()));
  };
  for (const double fraction : {-0.1, 1.0, 2.0, static_cast<double>(NAN)})
    refused(select_filters(network, weights, {.fraction = fraction}));
  refused(select_filters(network, weights, {.channel_multiple = 0}));
  refused(select_filters(network, TensorStore(), {}));
  FilterSelection selection = select_filters(network, weights, {}).value();
  selection.keep.erase("conv1");
  refused(remove_filters(network, weights, selection));
  refused(mask_filters(network, weights, selection));
  selection.keep["conv1"] = std::vector<bool>(10, false);
  refused(remove_filters(network, weights, selection));
  refused(filter_score_from_string("l3"));
}
