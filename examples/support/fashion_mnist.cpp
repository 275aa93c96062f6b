#include "fashion_mnist.hpp"

#include <string>
#include <utility>

#include "idx.hpp"
#include "mcomp/core/format.hpp"

namespace example {

using mcomp::Error;
using mcomp::ErrorCode;

mcomp::Result<LabelledImages> read_labelled_images(const std::filesystem::path& images,
                                                   const std::filesystem::path& labels) {
  auto pixels = read_idx(images, 3);
  if (!pixels) return pixels.error();
  auto classes = read_idx(labels, 1);
  if (!classes) return classes.error();
  LabelledImages set{.images = std::move(*pixels), .labels = std::move(*classes)};
  if (set.images.size(0) != set.count())
    return Error(ErrorCode::corrupt, labels.string(),
                 fmt::format("{} labels for {} images", set.count(), set.images.size(0)),
                 "pass the labels that belong to " + images.string());
  for (std::int64_t i = 0; i < set.count(); ++i)
    if (set.label(i) >= static_cast<int>(fashion_classes.size()))
      return Error(ErrorCode::corrupt, labels.string(),
                   fmt::format("label {} of image {} is not below {}", set.label(i), i, fashion_classes.size()),
                   "fetch the file again from its publisher");
  return set;
}

mcomp::Result<FashionMnist> read_fashion_mnist(const std::filesystem::path& folder) {
  const auto read = [&](const std::string& split) {
    return read_labelled_images(folder / (split + "-images-idx3-ubyte.gz"), folder / (split + "-labels-idx1-ubyte.gz"));
  };
  auto training = read("train");
  if (!training) return training.error();
  auto test = read("t10k");
  if (!test) return test.error();
  if (training->height() != test->height() || training->width() != test->width())
    return Error(ErrorCode::corrupt, folder.string(),
                 fmt::format("training images have shape {}, test images {}", to_string(training->images.shape()),
                             to_string(test->images.shape())),
                 "pass a folder whose files belong together");
  return FashionMnist{.training = std::move(*training), .test = std::move(*test)};
}

} // namespace example
