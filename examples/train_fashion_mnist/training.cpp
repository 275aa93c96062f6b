#include "training.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <numbers>
#include <string>

#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace example {

using mcomp::Error;
using mcomp::ErrorCode;

namespace {

using Indices = std::span<const std::int64_t>;

const std::array<float, 256>& normalized_pixels() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (std::size_t pixel = 0; pixel < values.size(); ++pixel)
      values[pixel] = normalized(static_cast<std::uint8_t>(pixel));
    return values;
  }();
  return table;
}

/// How one image is moved; the pixels that come in from outside are black.
struct Augmentation {
  std::int64_t down = 0, right = 0;
  bool mirrored = false;
};

void load(const LabelledImages& set, std::int64_t index, const Augmentation& augmentation, float* image) {
  const auto& table = normalized_pixels();
  const std::uint8_t* pixels = set.image(index);
  const std::int64_t h = set.height(), w = set.width();
  for (std::int64_t y = 0; y < h; ++y)
    for (std::int64_t x = 0; x < w; ++x) {
      const std::int64_t from_y = y - augmentation.down;
      const std::int64_t shifted = x - augmentation.right, from_x = augmentation.mirrored ? w - 1 - shifted : shifted;
      const bool inside = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
      *image++ = table[inside ? pixels[from_y * w + from_x] : 0];
    }
}

/// What is drawn for an image depends on the epoch and its place in it alone, not on which thread asks first.
Augmentation draw(const TrainingOptions& options, std::uint64_t stream) {
  mcomp::Random random(options.seed, stream);
  const auto shift = [&] {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * options.largest_shift + 1))) -
           options.largest_shift;
  };
  Augmentation augmentation{.down = shift(), .right = shift()};
  augmentation.mirrored = random.below(2) == 1 && options.flip;
  return augmentation;
}

double learning_rate(const TrainingOptions& options, std::int64_t step, std::int64_t steps_per_epoch) {
  const auto at = static_cast<double>(step), rise = static_cast<double>(steps_per_epoch);
  const double all = rise * options.epochs;
  if (at < rise && options.epochs > 1) return options.learning_rate * (at + 1) / rise;
  const double begin = options.epochs > 1 ? rise : 0;
  return options.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * (at - begin) / (all - begin)));
}

/// Weights of convolutions and of the classifier decay, scales and biases (rank 1) do not.
std::vector<float> decay_of_each_parameter(const ResidualNetwork& network, double weight_decay) {
  std::vector<float> decay(network.parameters().size());
  for (const auto& slice : network.parameter_slices())
    if (slice.shape.rank() > 1)
      std::fill_n(decay.begin() + static_cast<std::ptrdiff_t>(slice.offset), slice.size(),
                  static_cast<float>(weight_decay));
  return decay;
}

class Trainer {
 public:
  Trainer(ResidualNetwork& network, const LabelledImages& set, const TrainingOptions& options,
          const mcomp::Context& context)
      : network_(network), set_(set), options_(options), context_(context),
        decay_(decay_of_each_parameter(network, options.weight_decay)), velocity_(decay_.size()) {
    for (std::int64_t b = 0; b < options.batch / options.block; ++b)
      blocks_.push_back(network.workspace(options.block));
    losses_.resize(blocks_.size());
  }

  /// One step on the images `batch`; `stream` numbers the first of them over all epochs. Returns the sum of losses.
  double step(Indices batch, std::uint64_t stream, double rate) {
    context_.executor_or_serial().run(blocks_.size(), [&](std::size_t b) {
      const auto size = static_cast<std::size_t>(options_.block);
      losses_[b] = run_block(batch.subspan(b * size, size), stream + b * size, blocks_[b]);
    });
    update_statistics();
    descend(static_cast<float>(rate));
    double loss = 0;
    for (const double part : losses_) loss += part;
    return loss;
  }

 private:
  double run_block(Indices images, std::uint64_t stream, ResidualNetwork::Workspace& work) const {
    const std::int64_t area = set_.height() * set_.width();
    for (std::size_t i = 0; i < images.size(); ++i) {
      load(set_, images[i], draw(options_, stream + i), work.input.data() + static_cast<std::int64_t>(i) * area);
      work.labels[i] = set_.label(images[i]);
    }
    network_.forward(options_.block, work);
    return network_.backward(options_.block, 1.0F / static_cast<float>(options_.batch), work);
  }

  void descend(float rate) {
    const auto momentum = static_cast<float>(options_.momentum);
    const std::span<float> w = network_.parameters();
    for (std::size_t i = 0; i < w.size(); ++i) {
      float gradient = decay_[i] * w[i];
      for (const auto& block : blocks_) gradient += block.parameter_gradient[i];
      velocity_[i] = momentum * velocity_[i] + gradient;
      w[i] -= rate * (gradient + momentum * velocity_[i]);
    }
  }

  /// Running means and variances follow those of the whole batch: the mean of the blocks' means, and the mean of their
  /// variances plus the variance of their means.
  void update_statistics() {
    const auto weight = static_cast<float>(options_.statistics_momentum);
    const auto count = static_cast<float>(blocks_.size());
    const auto follow = [&](float& running, float now) { running += weight * (now - running); };
    const auto& slices = network_.statistic_slices();
    const std::span<float> running = network_.statistics();
    for (std::size_t s = 0; s < slices.size(); s += 2) // mean and variance alternate
      for (std::size_t c = 0; c < slices[s].size(); ++c) {
        const std::size_t at_mean = slices[s].offset + c, at_variance = slices[s + 1].offset + c;
        float mean = 0, variance = 0;
        for (const auto& block : blocks_) mean += block.statistics[at_mean];
        mean /= count;
        for (const auto& block : blocks_) {
          const float distance = block.statistics[at_mean] - mean;
          variance += block.statistics[at_variance] + distance * distance;
        }
        follow(running[at_mean], mean);
        follow(running[at_variance], variance / count);
      }
  }

  ResidualNetwork& network_;
  const LabelledImages& set_;
  const TrainingOptions& options_;
  const mcomp::Context& context_;
  std::vector<float> decay_, velocity_;
  std::vector<ResidualNetwork::Workspace> blocks_;
  std::vector<double> losses_;
};

mcomp::Status check(const ResidualNetwork& network, const LabelledImages& set, Indices training,
                    const TrainingOptions& options) {
  const auto refuse = [](const char* option, std::string rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, option, std::move(rule), remedy);
  };
  if (set.height() != network.options().height || set.width() != network.options().width)
    return refuse("images",
                  fmt::format("{} x {} pixels, the network takes {} x {}", set.height(), set.width(),
                              network.options().height, network.options().width),
                  "build the network for the size of the images");
  if (options.epochs < 1) return refuse("epochs", fmt::format("{} is below 1", options.epochs), "train at least once");
  if (options.block < 1 || options.batch < options.block || options.batch % options.block != 0)
    return refuse("batch", fmt::format("{} is no multiple of the block of {}", options.batch, options.block),
                  "pass a multiple of the block");
  if (static_cast<std::int64_t>(training.size()) < options.batch)
    return refuse("training images", fmt::format("{} are fewer than a batch of {}", training.size(), options.batch),
                  "pass more images or a smaller batch");
  if (!(options.learning_rate > 0) || !(options.momentum >= 0 && options.momentum < 1) ||
      !(options.weight_decay >= 0) || !(options.statistics_momentum > 0 && options.statistics_momentum <= 1))
    return refuse("learning rate, momentum, weight decay",
                  "a rate must be positive, a momentum in [0, 1), a decay not negative", "correct the option");
  if (options.largest_shift < 0) return refuse("shift", "is negative", "pass 0 for none");
  return {};
}

} // namespace

mcomp::Status train(ResidualNetwork& network, const LabelledImages& set, Indices training, Indices validation,
                    const TrainingOptions& options, const mcomp::Context& context,
                    const std::function<void(const EpochReport&)>& each) {
  if (auto status = check(network, set, training, options); !status) return status.error();
  Trainer trainer(network, set, options, context);
  const std::int64_t steps = static_cast<std::int64_t>(training.size()) / options.batch;
  const auto batch = static_cast<std::size_t>(options.batch);
  std::vector<std::int64_t> order(training.begin(), training.end());
  mcomp::Random random(options.seed);
  std::int64_t step = 0;
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    const auto begin = std::chrono::steady_clock::now();
    random.shuffle(std::span(order));
    double loss = 0;
    for (std::size_t b = 0; b < static_cast<std::size_t>(steps); ++b, ++step) {
      if (auto status = context.check("training"); !status) return status.error();
      const std::uint64_t stream = static_cast<std::uint64_t>(step) * batch;
      loss += trainer.step(std::span(order).subspan(b * batch, batch), stream, learning_rate(options, step, steps));
      context.report("training step", step + 1, steps * options.epochs);
    }
    if (!std::isfinite(loss))
      return Error(ErrorCode::invalid_value, "training loss", fmt::format("is not finite in epoch {}", epoch),
                   "lower the learning rate");
    EpochReport report{.epoch = epoch, .training_loss = loss / static_cast<double>(steps * options.batch)};
    report.validation_accuracy = accuracy(network, set, validation, context);
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (each) each(report);
  }
  return {};
}

std::vector<int> classify(const ResidualNetwork& network, const LabelledImages& set, Indices indices,
                          const mcomp::Context& context) {
  constexpr std::size_t block = 40, blocks_per_task = 25;
  const std::int64_t area = set.height() * set.width(), classes = network.options().classes;
  std::vector<int> result(indices.size());
  const std::size_t per_task = block * blocks_per_task;
  context.executor_or_serial().run((indices.size() + per_task - 1) / per_task, [&](std::size_t task) {
    ResidualNetwork::Workspace work = network.workspace(block);
    const std::size_t end = std::min(indices.size(), (task + 1) * per_task);
    for (std::size_t begin = task * per_task; begin < end; begin += block) {
      const std::size_t n = std::min(block, end - begin);
      for (std::size_t i = 0; i < n; ++i)
        load(set, indices[begin + i], {}, work.input.data() + static_cast<std::int64_t>(i) * area);
      network.infer(static_cast<std::int64_t>(n), work);
      for (std::size_t i = 0; i < n; ++i) {
        const float* logits = work.logits.data() + static_cast<std::int64_t>(i) * classes;
        result[begin + i] = static_cast<int>(std::max_element(logits, logits + classes) - logits);
      }
    }
  });
  return result;
}

double accuracy(const ResidualNetwork& network, const LabelledImages& set, Indices indices,
                const mcomp::Context& context) {
  if (indices.empty()) return 0;
  const std::vector<int> classes = classify(network, set, indices, context);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < indices.size(); ++i) right += classes[i] == set.label(indices[i]) ? 1 : 0;
  return static_cast<double>(right) / static_cast<double>(indices.size());
}

} // namespace example
