#include "mcomp/cost/layer_shape.hpp"

#include <utility>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

std::int64_t stored(std::int64_t elements, DType dtype) {
  return (elements * bit_width(dtype) + 7) / 8;
}

std::int64_t extent(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return (in + 2 * padding - kernel) / stride + 1;
}

std::int64_t outputs(const LayerShape& s) {
  return s.samples * s.out_channels * s.out_height() * s.out_width();
}

Error bad(const std::string& rule, const char* remedy) {
  return Error(ErrorCode::invalid_shape, "layer shape", rule, remedy);
}

} // namespace

std::string to_string(LayerKind kind) {
  switch (kind) {
  case LayerKind::linear:
    return "linear";
  case LayerKind::convolution:
    return "convolution";
  case LayerKind::movement:
    return "movement";
  }
  return "unknown";
}

Status LayerShape::check() const {
  if (kind != LayerKind::linear && kind != LayerKind::convolution && kind != LayerKind::movement)
    return bad("the kind is not known", "use linear, convolution or movement");
  constexpr std::int64_t largest = std::int64_t{1} << 40;
  for (const auto& [name, value] :
       {std::pair("samples", samples), std::pair("in_channels", in_channels), std::pair("out_channels", out_channels),
        std::pair("height", height), std::pair("width", width), std::pair("kernel height", kernel[0]),
        std::pair("kernel width", kernel[1]), std::pair("stride height", stride[0]),
        std::pair("stride width", stride[1]), std::pair("groups", groups)})
    if (value < 1 || value > largest) return bad(fmt::format("{} is {}", name, value), "give 1 to 2^40");
  for (const auto& [name, value] :
       {std::pair("padding of the height", padding[0]), std::pair("padding of the width", padding[1]),
        std::pair("moved_bytes", moved_bytes)})
    if (value < 0 || value > largest) return bad(fmt::format("{} is {}", name, value), "give 0 to 2^40");
  if (kind == LayerKind::linear &&
      (height != 1 || width != 1 || kernel != std::array<std::int64_t, 2>{1, 1} ||
       stride != std::array<std::int64_t, 2>{1, 1} || padding != std::array<std::int64_t, 2>{0, 0} || groups != 1))
    return bad("a linear layer has no height, width, kernel, stride, padding or groups",
               "leave them at their defaults");
  if (kernel[0] > height + 2 * padding[0] || kernel[1] > width + 2 * padding[1])
    return bad(fmt::format("a kernel of {} x {} is larger than the padded input of {} x {}", kernel[0], kernel[1],
                           height + 2 * padding[0], width + 2 * padding[1]),
               "give the layer's own geometry");
  if (in_channels % groups != 0 || out_channels % groups != 0)
    return bad(fmt::format("{} groups do not divide {} and {} channels", groups, in_channels, out_channels),
               "give groups that divide both");
  // Each below 2^56, so that no product with a width in bits leaves 63 bits.
  constexpr double most = 7.2e16;
  const auto as_double = [](auto... factors) { return (static_cast<double>(factors) * ...); };
  if (as_double(samples, out_channels, out_height(), out_width(), in_channels / groups, kernel[0], kernel[1]) > most ||
      as_double(samples, in_channels, height, width) > most ||
      as_double(out_channels, in_channels, kernel[0], kernel[1]) > most)
    return bad("it has more than 2^56 multiply-adds or elements", "give the sizes of one call");
  return {};
}

std::int64_t LayerShape::out_height() const noexcept {
  return kind == LayerKind::convolution ? extent(height, kernel[0], stride[0], padding[0]) : 1;
}
std::int64_t LayerShape::out_width() const noexcept {
  return kind == LayerKind::convolution ? extent(width, kernel[1], stride[1], padding[1]) : 1;
}
std::int64_t LayerShape::multiply_adds() const noexcept {
  return kind == LayerKind::movement ? 0 : outputs(*this) * (in_channels / groups) * kernel[0] * kernel[1];
}
std::int64_t LayerShape::weight_bytes() const noexcept {
  return kind == LayerKind::movement ? 0
                                     : stored(out_channels * (in_channels / groups) * kernel[0] * kernel[1], weights);
}
std::int64_t LayerShape::input_bytes() const noexcept {
  if (kind == LayerKind::movement) return moved_bytes / 2;
  return stored(samples * in_channels * height * width, input) + (residual ? output_bytes() : 0);
}
std::int64_t LayerShape::output_bytes() const noexcept {
  return kind == LayerKind::movement ? moved_bytes - moved_bytes / 2 : stored(outputs(*this), output);
}

std::string to_string(const LayerShape& s) {
  if (s.kind == LayerKind::movement) return fmt::format("movement of {} bytes", s.moved_bytes);
  std::string text = s.kind == LayerKind::linear
                         ? fmt::format("linear {} x {} -> {}", s.samples, s.in_channels, s.out_channels)
                         : fmt::format("convolution {} x {} x {} x {} -> {}, {} x {}", s.samples, s.height, s.width,
                                       s.in_channels, s.out_channels, s.kernel[0], s.kernel[1]);
  if (s.stride != std::array<std::int64_t, 2>{1, 1}) text += fmt::format(", stride {} x {}", s.stride[0], s.stride[1]);
  if (s.groups != 1) text += fmt::format(", {} groups", s.groups);
  text += fmt::format(", {} weights, {} -> {}", s.weights, s.input, s.output);
  if (s.residual) text += ", residual";
  return text;
}

} // namespace mcomp::inline v0::cost
