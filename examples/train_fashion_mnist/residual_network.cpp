#include "residual_network.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mcomp/core/random.hpp"

namespace example {

std::size_t ResidualNetwork::add_parameter(std::string name, mcomp::Shape shape) {
  const std::size_t offset = parameters_.size();
  parameter_slices_.push_back({std::move(name), std::move(shape), offset});
  parameters_.resize(offset + parameter_slices_.back().size());
  return offset;
}

std::size_t ResidualNetwork::add_statistic(std::string name, std::int64_t channels) {
  const std::size_t offset = statistics_.size();
  statistic_slices_.push_back({std::move(name), {channels}, offset});
  statistics_.resize(offset + static_cast<std::size_t>(channels));
  return offset;
}

void ResidualNetwork::add_stage(const std::string& convolution, const std::string& norm, const Convolution& shape) {
  const std::int64_t out = shape.out_channels;
  Stage stage{
      .convolution = shape, .norm = {shape.output()}, .weight = 0, .gamma = 0, .beta = 0, .mean = 0, .variance = 0};
  stage.weight = add_parameter(convolution + ".weight", {out, shape.input.channels, 3, 3});
  stage.gamma = add_parameter(norm + ".weight", {out});
  stage.beta = add_parameter(norm + ".bias", {out});
  stage.mean = add_statistic(norm + ".running_mean", out);
  stage.variance = add_statistic(norm + ".running_var", out);
  stages_.push_back(stage);
}

ResidualNetwork::ResidualNetwork(const Options& options, std::uint64_t seed) : options_(options) {
  Planes planes{1, options.height, options.width};
  add_stage("conv1", "bn1", {planes, options.channels[0], 1});
  planes = stages_.back().convolution.output();
  for (std::size_t b = 0; b < options.channels.size(); ++b) {
    const std::string prefix = "layer" + std::to_string(b + 1) + ".0.";
    const std::int64_t channels = options.channels[b], stride = b == 0 ? 1 : 2;
    add_stage(prefix + "conv1", prefix + "bn1", {planes, channels, stride});
    const Planes out = stages_.back().convolution.output();
    add_stage(prefix + "conv2", prefix + "bn2", {out, channels, 1});
    shortcuts_.push_back({planes, out, stride});
    planes = out;
  }
  last_ = planes;
  linear_ = {planes.channels, options.classes};
  linear_weight_ = add_parameter("linear.weight", {options.classes, planes.channels});
  linear_bias_ = add_parameter("linear.bias", {options.classes});

  mcomp::Random random(seed);
  const auto draw = [&](std::size_t offset, std::int64_t size, double variance) {
    for (std::int64_t i = 0; i < size; ++i)
      parameters_[offset + static_cast<std::size_t>(i)] = static_cast<float>(std::sqrt(variance) * random.normal());
  };
  for (const Stage& stage : stages_) {
    draw(stage.weight, stage.convolution.weight_size(),
         2.0 / static_cast<double>(9 * stage.convolution.input.channels));
    std::fill_n(parameters_.data() + stage.gamma, stage.convolution.out_channels, 1.0F);
    std::fill_n(statistics_.data() + stage.variance, stage.convolution.out_channels, 1.0F);
  }
  draw(linear_weight_, linear_.in * linear_.out, 1.0 / static_cast<double>(linear_.in));
}

ResidualNetwork::Workspace ResidualNetwork::workspace(std::int64_t images) const {
  Workspace work;
  const auto floats = [](std::int64_t size) { return std::vector<float>(static_cast<std::size_t>(size)); };
  work.input = floats(images * options_.height * options_.width);
  work.labels.resize(static_cast<std::size_t>(images));
  std::int64_t columns = 0, largest = 0;
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    const std::int64_t size = images * stages_[s].convolution.output().size();
    work.before[s] = floats(size);
    work.after[s] = floats(size);
    columns = std::max(columns, stages_[s].convolution.columns_size());
    largest = std::max(largest, size);
  }
  work.columns = floats(columns);
  for (auto& gradient : work.gradients) gradient = floats(largest);
  work.pooled = floats(images * linear_.in);
  work.logits = floats(images * linear_.out);
  work.statistics.resize(statistics_.size());
  work.parameter_gradient.resize(parameters_.size());
  return work;
}

/// The forward pass; `normalize(stage, x, y)` is what training and inference do differently.
template <class Normalize>
void ResidualNetwork::run(std::int64_t n, Workspace& work, const Normalize& normalize) const {
  const auto stage_forward = [&](std::size_t s, const float* x) {
    const Stage& stage = stages_[s];
    stage.convolution.forward(n, x, parameter(stage.weight), work.before[s].data(), work.columns.data());
    normalize(stage, work.before[s].data(), work.after[s].data());
  };
  const auto relu = [&](std::size_t s) {
    relu_forward(n * stages_[s].norm.planes.size(), work.after[s].data());
    return work.after[s].data();
  };

  stage_forward(0, work.input.data());
  const float* x = relu(0);
  for (std::size_t b = 0; b < shortcuts_.size(); ++b) {
    const std::size_t first = 1 + 2 * b, second = first + 1;
    stage_forward(first, x);
    stage_forward(second, relu(first));
    shortcuts_[b].forward_add(n, x, work.after[second].data());
    x = relu(second);
  }
  average_pool_forward(n, last_, x, work.pooled.data());
  linear_.forward(n, work.pooled.data(), parameter(linear_weight_), parameter(linear_bias_), work.logits.data());
}

void ResidualNetwork::forward(std::int64_t n, Workspace& work) const {
  run(n, work, [&](const Stage& stage, const float* x, float* y) {
    stage.norm.forward(n, x, parameter(stage.gamma), parameter(stage.beta), work.statistics.data() + stage.mean,
                       work.statistics.data() + stage.variance, y);
  });
}

void ResidualNetwork::infer(std::int64_t n, Workspace& work) const {
  run(n, work, [&](const Stage& stage, const float* x, float* y) {
    stage.norm.infer(n, x, parameter(stage.gamma), parameter(stage.beta), statistics_.data() + stage.mean,
                     statistics_.data() + stage.variance, y);
  });
}

void ResidualNetwork::convolution_backward(std::size_t s, std::int64_t n, const float* x, const float* dy, float* dx,
                                           Workspace& work) const {
  const Stage& stage = stages_[s];
  stage.convolution.backward(n, x, parameter(stage.weight), dy, work.parameter_gradient.data() + stage.weight, dx,
                             work.columns.data());
}

void ResidualNetwork::norm_backward(std::size_t s, std::int64_t n, const float* dy, float* dx, Workspace& work) const {
  const Stage& stage = stages_[s];
  float* gradient = work.parameter_gradient.data();
  stage.norm.backward(n, work.before[s].data(), parameter(stage.gamma), work.statistics.data() + stage.mean,
                      work.statistics.data() + stage.variance, dy, gradient + stage.gamma, gradient + stage.beta, dx);
}

double ResidualNetwork::backward(std::int64_t n, float scale, Workspace& work) const {
  std::fill(work.parameter_gradient.begin(), work.parameter_gradient.end(), 0.0F);
  float* dlogits = work.logits.data();
  const double loss = cross_entropy(n, linear_.out, dlogits, work.labels.data(), scale, dlogits);

  // `outer` is the gradient at a block's output, `inner` what goes through its convolutions, `next` at its input.
  float *outer = work.gradients[0].data(), *inner = work.gradients[1].data(), *next = work.gradients[2].data();
  linear_.backward(n, work.pooled.data(), parameter(linear_weight_), dlogits,
                   work.parameter_gradient.data() + linear_weight_, work.parameter_gradient.data() + linear_bias_,
                   inner);
  average_pool_backward(n, last_, inner, outer);
  for (std::size_t b = shortcuts_.size(); b-- > 0;) {
    const std::size_t first = 1 + 2 * b, second = first + 1;
    relu_backward(n * stages_[second].norm.planes.size(), work.after[second].data(), outer);
    norm_backward(second, n, outer, inner, work);
    convolution_backward(second, n, work.after[first].data(), inner, next, work);
    relu_backward(n * stages_[first].norm.planes.size(), work.after[first].data(), next);
    norm_backward(first, n, next, inner, work);
    convolution_backward(first, n, work.after[first - 1].data(), inner, next, work);
    shortcuts_[b].backward_add(n, outer, next);
    std::swap(outer, next);
  }
  relu_backward(n * stages_[0].norm.planes.size(), work.after[0].data(), outer);
  norm_backward(0, n, outer, outer, work);
  convolution_backward(0, n, work.input.data(), outer, nullptr, work);
  return loss;
}

mcomp::Result<mcomp::TensorStore> ResidualNetwork::tensors() const {
  mcomp::TensorStore store;
  const auto put = [&](const std::vector<Slice>& slices, std::span<const float> values) -> mcomp::Status {
    for (const Slice& slice : slices) {
      auto tensor = mcomp::Tensor::from(values.subspan(slice.offset, slice.size()), slice.shape);
      if (!tensor) return tensor.error();
      store.put(slice.name, std::move(*tensor));
    }
    return {};
  };
  if (auto status = put(parameter_slices_, parameters_); !status) return status.error();
  if (auto status = put(statistic_slices_, statistics_); !status) return status.error();
  return store;
}

} // namespace example
