#pragma once

#include <filesystem>

#include "mcomp/compress/model.hpp"

namespace example {

/// The network that train_fashion_mnist makes, with images that it has not seen: those held back from training, and the
/// test images.
struct FashionClassifier {
  mcomp::compress::Model model;
  mcomp::compress::Samples calibration, test;
};

/// Errors: those of reading the weights and the data set.
[[nodiscard]] mcomp::Result<FashionClassifier> read_fashion_classifier(const std::filesystem::path& weights,
                                                                       const std::filesystem::path& data_folder);

/// The test images alone.
[[nodiscard]] mcomp::Result<mcomp::compress::Samples> read_fashion_test(const std::filesystem::path& data_folder);

} // namespace example
