#include "mcomp/graph/network.hpp"

#include <numeric>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/resnet.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::graph;
using mcomp_test::replaced;

namespace {

/// A network of every operation, by hand.
const char* const every_operation = R"({"schema": "mcomp-network-1", "name": "tiny",
  "input": {"shape": [3, 8, 8], "scale": 0.5, "mean": [0.5], "std": [0.25, 0.5, 1]},
  "layers": [
    {"name": "conv1", "op": "convolution", "out_channels": 6, "kernel": [3, 3], "padding": [1, 1], "groups": 3, "bias": "b1"},
    {"name": "bn1", "op": "batch_norm"},
    {"name": "act", "op": "activation", "kind": "relu6"},
    {"name": "short", "op": "subsample_pad", "stride": [2, 2], "channels_before": 1, "channels_after": 1},
    {"name": "conv2", "op": "convolution", "inputs": ["act"], "out_channels": 8, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1]},
    {"name": "sum", "op": "add", "inputs": ["conv2", "short"]},
    {"name": "max", "op": "pooling", "kind": "max", "kernel": [2, 2]},
    {"name": "mean", "op": "pooling", "global": true},
    {"name": "flat", "op": "flatten"},
    {"name": "fc", "op": "linear", "out_features": 5, "bias": "fc.bias"},
    {"name": "p", "op": "softmax"}]})";

} // namespace

TEST_CASE("a network of every operation has the shapes and multiply-adds that a reader computes by hand") {
  const Network network = network_from_json(every_operation, "tiny").value();
  const Shapes shapes = infer_shapes(network).value();
  CHECK(shapes.output[0] == Shape{6, 8, 8});
  CHECK(shapes.output[3] == Shape{8, 4, 4});
  CHECK(shapes.output[5] == Shape{8, 4, 4});
  CHECK(shapes.output[6] == Shape{8, 2, 2});
  CHECK(shapes.output[7] == Shape{8, 1, 1});
  CHECK(shapes.output.back() == Shape{5});
  const auto counts = multiply_adds(network).value();
  CHECK(counts[0] == 6 * 64 * 1 * 9);
  CHECK(counts[4] == 8 * 16 * 6 * 9);
  CHECK(counts[9] == 40);
  CHECK(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) == counts[0] + counts[4] + 40);
  CHECK(tensor_names(network) == std::vector<std::string>{"conv1.weight", "b1", "bn1.weight", "bn1.bias",
                                                          "bn1.running_mean", "bn1.running_var", "conv2.weight",
                                                          "fc.weight", "fc.bias"});
}

TEST_CASE("the JSON form gives the network back") {
  const Network network = network_from_json(every_operation, "tiny").value();
  CHECK(network_from_json(to_json(network), "again").value() == network);
  const Network resnet = cifar_resnet({}).value();
  CHECK(network_from_json(to_json(resnet), "resnet").value() == resnet);
  CHECK(fmt::format("{}", resnet).find("layer2.0.shortcut") != std::string::npos);
}

TEST_CASE("CIFAR ResNets have the published multiply-adds and parameters") {
  // He et al. 2016, table 6: ResNet-20 .27M, 56 .85M, 110 1.7M parameters; 41M and 125.5M multiply-adds are theirs
  // counted.
  const auto total = [](std::int64_t depth) {
    const auto counts = multiply_adds(cifar_resnet({.depth = depth}).value()).value();
    return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  };
  CHECK(total(20) == 40551040);
  CHECK(total(56) == 125485696);
  for (const std::int64_t depth : {0, 2, 9, 21, -4, 1 << 30}) CHECK_FALSE(cifar_resnet({.depth = depth}));
  for (const std::int64_t depth : {8, 20, 32, 44, 56, 110}) CHECK(cifar_resnet({.depth = depth}));
}

TEST_CASE("wrong descriptions are refused with the layer's name") {
  struct Case {
    const char *from, *to, *word;
  };
  for (const Case& c :
       {Case{"mcomp-network-1", "mcomp-network-9", "schema"},
        Case{"\"op\": \"add\"", "\"op\": \"ad\"", "'ad'"},
        Case{"\"groups\": 3", "\"groups\": 4", "conv1"},
        Case{"\"groups\": 3", "\"gruops\": 3", "gruops"},
        Case{"\"kernel\": [3, 3], \"padding\": [1, 1], \"groups\"", "\"kernel\": [3], \"padding\": [1, 1], \"groups\"",
             "kernel"},
        Case{"\"kernel\": [3, 3], \"padding\": [1, 1], \"groups\"", "\"padding\": [1, 1], \"groups\"", "kernel"},
        Case{"[\"conv2\", \"short\"]", "[\"conv2\", \"shrot\"]", "shrot"},
        Case{"[\"conv2\", \"short\"]", "[\"conv2\", \"act\"]", "sum"},
        Case{"[\"conv2\", \"short\"]", "[\"conv2\"]", "sum"},
        Case{"\"name\": \"bn1\"", "\"name\": \"conv1\"", "conv1"},
        Case{"\"name\": \"bn1\"", "\"name\": \"\"", "layer"},
        Case{"\"out_features\": 5", "\"out_features\": 0", "fc"},
        Case{"\"out_features\": 5", "\"out_features\": 5.5", "out_features"},
        Case{"\"out_features\": 5", "\"out_features\": 1e300", "out_features"},
        Case{"{\"name\": \"flat\", \"op\": \"flatten\"},", "", "fc"},
        Case{"[3, 8, 8]", "[3, 0, 8]", "input"},
        Case{"[3, 8, 8]", "[3, 99999999999, 99999999999]", "input"},
        Case{"\"mean\": [0.5]", "\"mean\": [0.5, 1]", "normalization"},
        Case{"[0.25, 0.5, 1]", "[0.25, 0, 1]", "normalization"},
        Case{"\"kind\": \"max\"", "\"kind\": \"med\"", "med"},
        Case{"\"kind\": \"max\", \"kernel\": [2, 2]", "\"kind\": \"max\", \"kernel\": [9, 9]", "max"},
        Case{"\"stride\": [2, 2], \"padding\": [1, 1]}", "\"stride\": [0, 2], \"padding\": [1, 1]}", "conv2"},
        Case{"\"channels_before\": 1", "\"channels_before\": -1", "short"},
        Case{"\"p\", \"op\": \"softmax\"}]", "\"p\", \"op\": \"softmax\"}], \"output\": \"q\"", "'q'"}}) {
    const auto network = network_from_json(replaced(every_operation, c.from, c.to), "net.json");
    INFO(c.from << " -> " << c.to);
    REQUIRE_FALSE(network);
    CHECK(mcomp_test::well_formed(network.error()));
    CHECK(std::string(network.error().what()).find(c.word) != std::string::npos);
    CHECK(std::string(network.error().what()).find("net.json") != std::string::npos);
  }
}

TEST_CASE("normalization follows (raw * scale - mean) / std per channel") {
  Input input;
  input.shape = {2, 1, 2};
  input.scale = 0.5;
  input.mean = {1, 2};
  input.stddev = {2, 4};
  const auto raw = Tensor::from(std::vector<std::uint8_t>{2, 4, 2, 4}, {1, 2, 1, 2}).value();
  CHECK(normalize(input, raw).value() == Tensor::from(std::vector<float>{0, 0.5f, -0.25f, 0}, {1, 2, 1, 2}).value());
  CHECK_FALSE(normalize(input, Tensor::zeros(DType::uint8, {1, 2, 2, 1}).value()));
  CHECK_FALSE(normalize(input, Tensor::zeros(DType::uint8, {2, 1, 2}).value()));
  const auto bad = Tensor::from(std::vector<float>{0, 1, NAN, 2}, {1, 2, 1, 2}).value();
  CHECK(normalize(input, bad).error().code() == ErrorCode::invalid_value);
}
