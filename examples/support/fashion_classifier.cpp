#include "fashion_classifier.hpp"

#include <cstring>
#include <numeric>

#include "fashion_mnist.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/resnet.hpp"

namespace example {

namespace {

using mcomp::Result;
using mcomp::Tensor;
using mcomp::compress::Samples;

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

Result<Samples> read_fashion_test(const std::filesystem::path& data_folder) {
  const auto data = read_fashion_mnist(data_folder);
  if (!data) return data.error();
  return as_samples(data->test, all_rows(data->test));
}

Result<FashionClassifier> read_fashion_classifier(const std::filesystem::path& weights,
                                                  const std::filesystem::path& data_folder) {
  auto network = mcomp::graph::cifar_resnet({.depth = 8,
                                             .classes = static_cast<std::int64_t>(fashion_classes.size()),
                                             .image = {1, 28, 28},
                                             .mean = {static_cast<double>(fashion_mean)},
                                             .stddev = {static_cast<double>(fashion_deviation)}});
  if (!network) return network.error();
  auto model = mcomp::compress::load(weights, std::move(*network));
  if (!model) return model.error();
  const auto data = read_fashion_mnist(data_folder);
  if (!data) return data.error();
  auto calibration = as_samples(data->training, held_back_rows(data->training));
  auto test = as_samples(data->test, all_rows(data->test));
  if (!calibration) return calibration.error();
  if (!test) return test.error();
  return FashionClassifier{std::move(*model), std::move(*calibration), std::move(*test)};
}

} // namespace example
