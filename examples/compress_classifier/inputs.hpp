#pragma once

#include <filesystem>
#include <string>

#include "mcomp/compress/plan.hpp"
#include "mcomp/cost/fleet_cost.hpp"

namespace example {

/// What the command line names. Empty paths: the Fashion-MNIST classifier of this folder.
struct InputOptions {
  std::string network; ///< a description (JSON), "resnet-cifar:DEPTH", or empty
  std::filesystem::path model, calibration, data, recipe, prices;
  std::filesystem::path fashion_mnist; ///< folder of the four IDX files
};

/// Everything that a run starts from. Calibration and test samples are separate files or separate parts of a data set.
struct Inputs {
  mcomp::compress::Model model;
  mcomp::compress::Samples calibration, test;
  mcomp::compress::Recipe recipe;
  mcomp::cost::PriceCatalogue prices;
};

/// Reads and checks all of it before any work. Errors name the file.
[[nodiscard]] mcomp::Result<Inputs> read_inputs(const InputOptions& options);

/// The test samples alone, for a compressed artifact.
[[nodiscard]] mcomp::Result<mcomp::compress::Samples> read_test_samples(const InputOptions& options);

} // namespace example
