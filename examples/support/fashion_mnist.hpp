#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "mcomp/core/tensor.hpp"

namespace example {

/// Images of one channel and the class of each.
struct LabelledImages {
  mcomp::Tensor images; ///< uint8 [count, height, width]
  mcomp::Tensor labels; ///< uint8 [count], each below `fashion_classes.size()`

  [[nodiscard]] std::int64_t count() const noexcept { return labels.elements(); }
  [[nodiscard]] std::int64_t height() const noexcept { return images.size(1); }
  [[nodiscard]] std::int64_t width() const noexcept { return images.size(2); }
  [[nodiscard]] const std::uint8_t* image(std::int64_t index) const noexcept {
    return static_cast<const std::uint8_t*>(images.data()) + index * height() * width();
  }
  [[nodiscard]] int label(std::int64_t index) const noexcept {
    return static_cast<const std::uint8_t*>(labels.data())[index];
  }
};

/// Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 training and 10,000 test images of 28 x 28.
struct FashionMnist {
  LabelledImages training, test;
};

/// The classes in the order of their labels.
inline constexpr std::array<std::string_view, 10> fashion_classes{
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"};

/// Where Debian's package dataset-fashion-mnist puts the files.
inline constexpr const char* fashion_mnist_folder = "/usr/share/datasets/fashion-mnist";

/// Mean and standard deviation of a training pixel after division by 255: what a network's input is normalized with.
inline constexpr float fashion_mean = 0.2860F, fashion_deviation = 0.3530F;
[[nodiscard]] constexpr float normalized(std::uint8_t pixel) noexcept {
  return (static_cast<float>(pixel) / 255.0F - fashion_mean) / fashion_deviation;
}

/// Reads a pair of IDX files. Errors: those of `read_idx`; corrupt where counts differ or a label names no class.
[[nodiscard]] mcomp::Result<LabelledImages> read_labelled_images(const std::filesystem::path& images,
                                                                 const std::filesystem::path& labels);
/// Reads the four files `{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz` of a folder.
[[nodiscard]] mcomp::Result<FashionMnist> read_fashion_mnist(const std::filesystem::path& folder);

} // namespace example
