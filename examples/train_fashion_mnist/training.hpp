#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "fashion_mnist.hpp"
#include "mcomp/core/context.hpp"
#include "residual_network.hpp"

namespace example {

/// Stochastic gradient descent with Nesterov's momentum. Weight decay is part of the gradient, and spares the
/// normalizations and the classifier's bias. The learning rate rises linearly over the first epoch and falls to zero
/// along a cosine (Loshchilov and Hutter 2017).
///
/// A batch is cut into blocks of `block` images, which are the unit of parallel work and each normalized with its own
/// statistics (ghost batch normalization, Hoffer, Hubara and Soudry 2017). Their gradients are added in order, so that
/// the weights do not depend on the number of threads.
struct TrainingOptions {
  std::uint64_t seed = 1;
  int epochs = 12;
  std::int64_t batch = 128; ///< images a step, a multiple of `block`; what is left at the end of an epoch is dropped
  std::int64_t block = 32;
  double learning_rate = 0.1; ///< the highest
  double momentum = 0.9;
  double weight_decay = 5e-4;
  double statistics_momentum = 0.1; ///< weight of a batch in the running means and variances
  int largest_shift = 2;            ///< augmentation: pixels in either direction
  bool flip = true;                 ///< augmentation: half of the images are mirrored
};

struct EpochReport {
  int epoch = 0; ///< counted from 1
  double training_loss = 0;
  double validation_accuracy = 0;
  double seconds = 0; ///< wall time
};

/// Trains on the images of `set` that `training` names. The images of `validation` are only looked at, for the report.
/// Calls `each` after every epoch. Errors: invalid_argument (options, or a set that is smaller than a batch),
/// cancelled, invalid_value where the loss is no longer finite.
[[nodiscard]] mcomp::Status train(ResidualNetwork& network, const LabelledImages& set,
                                  std::span<const std::int64_t> training, std::span<const std::int64_t> validation,
                                  const TrainingOptions& options, const mcomp::Context& context,
                                  const std::function<void(const EpochReport&)>& each);

/// The class that the network gives each of the images named by `indices`.
[[nodiscard]] std::vector<int> classify(const ResidualNetwork& network, const LabelledImages& set,
                                        std::span<const std::int64_t> indices, const mcomp::Context& context);

/// The fraction of images named by `indices` that the network classifies as labelled; 0 where there are none.
[[nodiscard]] double accuracy(const ResidualNetwork& network, const LabelledImages& set,
                              std::span<const std::int64_t> indices, const mcomp::Context& context);

} // namespace example
