#include "inputs.hpp"

#include "fashion_classifier.hpp"
#include "network.hpp"

namespace example {

namespace {

using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::compress::Samples;

const std::filesystem::path own_folder = MCOMP_EXAMPLE_FOLDER;

std::filesystem::path or_own(const std::filesystem::path& path, const char* name) {
  return path.empty() ? own_folder / name : path;
}

bool is_fashion_mnist(const InputOptions& options) {
  return options.network.empty() && options.model.empty() && options.calibration.empty() && options.data.empty();
}

} // namespace

Result<Samples> read_test_samples(const InputOptions& options) {
  if (!options.data.empty()) return mcomp::compress::load_samples(options.data);
  return read_fashion_test(options.fashion_mnist);
}

Result<Inputs> read_inputs(const InputOptions& options) {
  auto recipe = mcomp::compress::Recipe::read(
      or_own(options.recipe, is_fashion_mnist(options) ? "fashion_mnist.json" : "recipe.json"));
  if (!recipe) return recipe.error();
  auto prices = mcomp::cost::PriceCatalogue::read(or_own(options.prices, "prices.json"));
  if (!prices) return prices.error();

  if (is_fashion_mnist(options)) {
    auto own = read_fashion_classifier(own_folder / "fashion_mnist.safetensors", options.fashion_mnist);
    if (!own) return own.error();
    return Inputs{std::move(own->model), std::move(own->calibration), std::move(own->test), std::move(*recipe),
                  std::move(*prices)};
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
