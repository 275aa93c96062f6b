#include "inputs.hpp"

#include <cstring>
#include <numeric>

#include "fashion_mnist.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/resnet.hpp"
#include "network.hpp"

namespace example {

namespace {

using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::Tensor;
using mcomp::compress::Samples;

const std::filesystem::path own_folder = MCOMP_EXAMPLE_FOLDER;

std::filesystem::path or_own(const std::filesystem::path& path, const char* name) {
  return path.empty() ? own_folder / name : path;
}

bool is_fashion_mnist(const InputOptions& options) {
  return options.network.empty() && options.model.empty() && options.calibration.empty() && options.data.empty();
}

/// Images of one channel as [count, 1, height, width], of the given rows.
Result<Samples> as_samples(const LabelledImages& source, std::span<const std::int64_t> rows) {
  const std::int64_t size = source.height() * source.width();
  auto images = Tensor::uninitialized(mcomp::DType::uint8,
                                      {static_cast<std::int64_t>(rows.size()), 1, source.height(), source.width()});
  auto labels = Tensor::uninitialized(mcomp::DType::uint8, {static_cast<std::int64_t>(rows.size())});
  if (!images) return images.error();
  if (!labels) return labels.error();
  auto* pixels = static_cast<std::uint8_t*>(images->data());
  auto* classes = static_cast<std::uint8_t*>(labels->data());
  for (const std::int64_t row : rows) {
    std::memcpy(pixels, source.image(row), static_cast<std::size_t>(size));
    pixels += size;
    *classes++ = static_cast<std::uint8_t>(source.label(row));
  }
  Samples samples;
  samples.tensors.put("images", std::move(*images));
  samples.tensors.put("labels", std::move(*labels));
  return samples;
}

std::vector<std::int64_t> all_rows(const LabelledImages& source) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(source.count()));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return rows;
}

/// The training images that train_fashion_mnist held back, so that confidence is calibrated on images which the network
/// has not seen.
std::vector<std::int64_t> held_back_rows(const LabelledImages& training) {
  constexpr std::uint64_t training_seed = 1;
  constexpr std::size_t held_back = 5000;
  std::vector<std::int64_t> order = all_rows(training);
  mcomp::Random(training_seed, 1).shuffle(std::span(order));
  order.resize(std::min(order.size(), held_back));
  return order;
}

} // namespace

Result<Samples> read_test_samples(const InputOptions& options) {
  if (!options.data.empty()) return mcomp::compress::load_samples(options.data);
  const auto data = read_fashion_mnist(options.fashion_mnist);
  if (!data) return data.error();
  return as_samples(data->test, all_rows(data->test));
}

Result<Inputs> read_inputs(const InputOptions& options) {
  auto recipe = mcomp::compress::Recipe::read(
      or_own(options.recipe, is_fashion_mnist(options) ? "fashion_mnist.json" : "recipe.json"));
  if (!recipe) return recipe.error();
  auto prices = mcomp::cost::PriceCatalogue::read(or_own(options.prices, "prices.json"));
  if (!prices) return prices.error();

  if (is_fashion_mnist(options)) {
    auto network = mcomp::graph::cifar_resnet({.depth = 8,
                                               .classes = static_cast<std::int64_t>(fashion_classes.size()),
                                               .image = {1, 28, 28},
                                               .mean = {static_cast<double>(fashion_mean)},
                                               .stddev = {static_cast<double>(fashion_deviation)}});
    if (!network) return network.error();
    auto model = mcomp::compress::load(own_folder / "fashion_mnist.safetensors", std::move(*network));
    if (!model) return model.error();
    const auto data = read_fashion_mnist(options.fashion_mnist);
    if (!data) return data.error();
    auto calibration = as_samples(data->training, held_back_rows(data->training));
    auto test = as_samples(data->test, all_rows(data->test));
    if (!calibration) return calibration.error();
    if (!test) return test.error();
    return Inputs{std::move(*model), std::move(*calibration), std::move(*test), std::move(*recipe), std::move(*prices)};
  }

  const std::pair<bool, const char*> needed[] = {{options.network.empty(), "--network"},
                                                 {options.model.empty(), "--model"},
                                                 {options.calibration.empty(), "--calibration"},
                                                 {options.data.empty(), "--data"}};
  for (const auto& [missing, name] : needed)
    if (missing)
      return Error(ErrorCode::invalid_argument, name, "it is missing",
                   "give --network, --model, --calibration and --data together, or none of them for Fashion-MNIST");
  auto network = read_network(options.network);
  if (!network) return network.error();
  auto model = mcomp::compress::load(options.model, std::move(*network));
  if (!model) return model.error();
  auto calibration = mcomp::compress::load_samples(options.calibration);
  if (!calibration) return calibration.error();
  auto test = mcomp::compress::load_samples(options.data);
  if (!test) return test.error();
  return Inputs{std::move(*model), std::move(*calibration), std::move(*test), std::move(*recipe), std::move(*prices)};
}

} // namespace example
