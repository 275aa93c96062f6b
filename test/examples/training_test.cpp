#include "training.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"

using namespace example;

namespace {

constexpr ResidualNetwork::Options small{.height = 8, .width = 7, .channels = {4, 6, 8}, .classes = 3};

/// Images whose class is which third of the picture is bright: simple to learn, impossible to guess.
LabelledImages bright_thirds(std::int64_t count, std::uint64_t seed) {
  mcomp::Random random(seed);
  LabelledImages set{.images = mcomp::Tensor::zeros(mcomp::DType::uint8, {count, small.height, small.width}).value(),
                     .labels = mcomp::Tensor::zeros(mcomp::DType::uint8, {count}).value()};
  auto pixels = set.images.mutable_values<std::uint8_t>();
  auto labels = set.labels.mutable_values<std::uint8_t>();
  const auto area = static_cast<std::size_t>(small.height * small.width);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = static_cast<std::uint8_t>(random.below(3));
    for (std::size_t p = 0; p < area; ++p)
      pixels[i * area + p] = static_cast<std::uint8_t>(random.below(100) + (p * 3 / area == labels[i] ? 120 : 0));
  }
  return set;
}

std::vector<std::int64_t> all_of(const LabelledImages& set) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(set.count()));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return indices;
}

constexpr TrainingOptions quick{
    .epochs = 6, .batch = 16, .block = 4, .learning_rate = 0.05, .largest_shift = 0, .flip = false};

} // namespace

TEST_CASE("the network has the tensors of a CIFAR ResNet of depth 8") {
  const auto tensors = ResidualNetwork({}, 1).tensors().value();
  CHECK(tensors.size() == 7 * 5 + 2);
  CHECK(tensors.find("conv1.weight")->shape() == mcomp::Shape{16, 1, 3, 3});
  CHECK(tensors.find("layer2.0.conv1.weight")->shape() == mcomp::Shape{32, 16, 3, 3});
  CHECK(tensors.find("layer3.0.bn2.running_var")->shape() == mcomp::Shape{64});
  CHECK(tensors.find("linear.weight")->shape() == mcomp::Shape{10, 64});
  CHECK(tensors.find("linear.bias")->shape() == mcomp::Shape{10});
  // 9 (16 + 2 16^2 + 16 32 + 32^2 + 32 64 + 64^2) + 2 (3 16 + 2 32 + 2 64) + 650 parameters, 480 running statistics
  CHECK(tensors.bytes() == 4 * (75002 + 480));
}

TEST_CASE("the library runs the network's tensors to the same logits") {
  ResidualNetwork network({}, 7);
  mcomp::Random random(8);
  for (float& w : network.parameters()) w += static_cast<float>(0.05 * random.normal());
  for (float& s : network.statistics()) s += static_cast<float>(random.uniform());
  std::vector<std::uint8_t> pixels(2 * 28 * 28);
  for (auto& pixel : pixels) pixel = static_cast<std::uint8_t>(random.below(256));
  auto work = network.workspace(2);
  for (std::size_t i = 0; i < pixels.size(); ++i) work.input[i] = normalized(pixels[i]);
  network.infer(2, work);

  auto described = mcomp::graph::cifar_resnet({.depth = 8,
                                               .classes = 10,
                                               .image = {1, 28, 28},
                                               .mean = {static_cast<double>(fashion_mean)},
                                               .stddev = {static_cast<double>(fashion_deviation)}})
                       .value();
  auto runner = mcomp::graph::reference_runner(described, network.tensors().value()).value();
  const auto raw = mcomp::Tensor::from(pixels, {2, 1, 28, 28}).value();
  const auto logits = mcomp::graph::run_batches(*runner, raw, 2).value();
  const auto expected = logits.values<float>("logits").value();
  REQUIRE(expected.size() == work.logits.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(work.logits[i] == Approx(expected[i]).epsilon(1e-4).margin(1e-4));
}

TEST_CASE("the gradient of every tensor of the network is the loss's slope along it") {
  ResidualNetwork network(small, 3);
  mcomp::Random random(5);
  constexpr std::int64_t n = 6;
  auto work = network.workspace(n);
  for (float& x : work.input) x = static_cast<float>(random.normal());
  for (int& label : work.labels) label = static_cast<int>(random.below(3));
  // Away from scales of exactly one and biases of exactly zero, which could hide a factor.
  for (const auto& slice : network.parameter_slices())
    for (float& w : network.parameters().subspan(slice.offset, slice.size()))
      w += static_cast<float>(0.1 * random.normal());

  const auto loss = [&] {
    network.forward(n, work);
    std::vector<float> ignored(work.logits.size());
    return cross_entropy(n, small.classes, work.logits.data(), work.labels.data(), 1, ignored.data());
  };
  const double at = loss();
  CHECK(network.backward(n, 1, work) == at);
  const std::vector<float> gradient = work.parameter_gradient;

  for (const auto& slice : network.parameter_slices()) {
    const auto w = network.parameters().subspan(slice.offset, slice.size());
    const std::vector<float> kept(w.begin(), w.end());
    double norm = 0;
    for (std::size_t i = 0; i < w.size(); ++i) norm += std::pow(static_cast<double>(gradient[slice.offset + i]), 2);
    norm = std::sqrt(norm);
    REQUIRE(norm > 1e-3);
    const double step = 3e-4; // wider, it crosses more kinks of ReLU; closer, it meets the rounding of floats
    const auto along = [&](double t) {
      for (std::size_t i = 0; i < w.size(); ++i)
        w[i] = kept[i] + static_cast<float>(t / norm) * gradient[slice.offset + i];
      return loss();
    };
    const double slope = (along(step) - along(-step)) / (2 * step);
    std::copy(kept.begin(), kept.end(), w.begin());
    INFO(slice.name);
    CHECK(slope == Approx(norm).epsilon(0.02));
  }
}

TEST_CASE("training learns, and gives the same bytes on any number of threads") {
  const LabelledImages set = bright_thirds(320, 1), fresh = bright_thirds(200, 2);
  const auto images = all_of(set), others = all_of(fresh);
  std::string first;
  for (const int threads : {1, 2, 5}) {
    mcomp::ThreadPool pool(threads);
    const mcomp::Context context{.executor = &pool, .progress = {}, .cancellation = {}};
    ResidualNetwork network(small, 1);
    std::vector<EpochReport> epochs;
    REQUIRE(train(network, set, std::span(images).subspan(20), std::span(images).first(20), quick, context,
                  [&](const EpochReport& epoch) { epochs.push_back(epoch); }));
    REQUIRE(epochs.size() == 6);
    CHECK(epochs.back().training_loss < 0.5 * epochs.front().training_loss);
    CHECK(accuracy(network, fresh, others, context) > 0.9);
    const std::string bytes = mcomp::fingerprint(network.tensors().value());
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
  }
  ResidualNetwork other(small, 2);
  TrainingOptions options = quick;
  options.seed = 2;
  REQUIRE(train(other, set, images, {}, options, {}, {}));
  CHECK(mcomp::fingerprint(other.tensors().value()) != first);
}

TEST_CASE("running statistics follow those of the whole batch") {
  const LabelledImages set = bright_thirds(16, 3);
  const auto images = all_of(set);
  TrainingOptions options = quick;
  options.epochs = 1;
  options.statistics_momentum = 1;
  ResidualNetwork network(small, 1);
  const ResidualNetwork untrained = network;
  REQUIRE(train(network, set, images, {}, options, {}, {}));

  auto work = untrained.workspace(16); // the same images as one block
  for (std::size_t i = 0; i < work.input.size(); ++i) work.input[i] = normalized(set.image(0)[i]);
  untrained.forward(16, work);
  const auto& slices = network.statistic_slices();
  for (std::size_t i = 0; i < 2 * slices[0].size(); ++i) // the stem's: those behind have seen block statistics
    CHECK(network.statistics()[i] == Approx(work.statistics[i]).epsilon(1e-4).margin(1e-6));
}

TEST_CASE("options that cannot be served are errors, and a cancelled training stops") {
  const LabelledImages set = bright_thirds(32, 1);
  const auto images = all_of(set);
  const auto refused = [&](TrainingOptions options, std::span<const std::int64_t> training) {
    ResidualNetwork network(small, 1);
    const auto status = train(network, set, training, {}, options, {}, {});
    REQUIRE_FALSE(status);
    CHECK(status.error().code() == mcomp::ErrorCode::invalid_argument);
    CHECK(mcomp_test::well_formed(status.error()));
  };
  const auto changed = [](auto change) {
    TrainingOptions options = quick;
    change(options);
    return options;
  };
  refused(quick, std::span(images).first(15));
  refused(changed([](TrainingOptions& o) { o.batch = 18; }), images);
  refused(changed([](TrainingOptions& o) { o.block = 0; }), images);
  refused(changed([](TrainingOptions& o) { o.epochs = 0; }), images);
  refused(changed([](TrainingOptions& o) { o.learning_rate = std::nan(""); }), images);
  refused(changed([](TrainingOptions& o) { o.momentum = 1; }), images);
  refused(changed([](TrainingOptions& o) { o.largest_shift = -1; }), images);
  {
    ResidualNetwork network({}, 1); // for 28 x 28
    CHECK_FALSE(train(network, set, images, {}, quick, {}, {}));
  }
  mcomp::Context context;
  context.cancellation.cancel();
  ResidualNetwork network(small, 1);
  const auto status = train(network, set, images, {}, quick, context, {});
  REQUIRE_FALSE(status);
  CHECK(status.error().code() == mcomp::ErrorCode::cancelled);
  CHECK(accuracy(network, set, {}, {}) == 0);
}
