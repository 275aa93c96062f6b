#include "mcomp/graph/resnet.hpp"

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph {

namespace {

class Builder {
 public:
  explicit Builder(Network& network) : network_(network) {}

  /// Convolution without bias, then batch normalization; returns the name of the latter.
  std::string conv_bn(const std::string& prefix, const std::string& number, const std::string& input,
                      std::int64_t channels, std::int64_t stride) {
    const std::string conv = prefix + "conv" + number, bn = prefix + "bn" + number;
    add(conv, Convolution{channels, {3, 3}, {stride, stride}, {1, 1}, 1, conv + ".weight", ""}, {input});
    add(bn, BatchNorm{1e-5, bn + ".weight", bn + ".bias", bn + ".running_mean", bn + ".running_var"}, {conv});
    return bn;
  }
  std::string add(const std::string& name, Operation operation, std::vector<std::string> inputs) {
    network_.layers.push_back({name, std::move(operation), std::move(inputs)});
    return name;
  }

 private:
  Network& network_;
};

} // namespace

Result<Network> cifar_resnet(const CifarResnetOptions& options) {
  constexpr std::int64_t deepest = 6 * 2000 + 2;
  if (options.depth < 8 || options.depth > deepest || (options.depth - 2) % 6 != 0)
    return Error(ErrorCode::invalid_argument, fmt::format("depth {}", options.depth), "it is not 6 n + 2 with n >= 1",
                 "use 8, 14, 20, 32, 44, 56, 110 ...");
  if (options.image.rank() != 3)
    return Error(ErrorCode::invalid_argument, fmt::format("image {}", options.image),
                 "it is not [channels, height, width]", "give three sizes");
  Network network;
  network.name = fmt::format("resnet-cifar:{}", options.depth);
  network.input.shape = options.image;
  network.input.mean = options.mean;
  network.input.stddev = options.stddev;
  Builder build(network);
  std::string x = build.add("relu1", Activation{}, {build.conv_bn("", "1", std::string(network_input), 16, 1)});
  std::int64_t channels = 16;
  for (int stage = 1; stage <= 3; ++stage)
    for (std::int64_t block = 0; block < (options.depth - 2) / 6; ++block) {
      const std::int64_t stride = stage > 1 && block == 0 ? 2 : 1;
      const std::int64_t wider = channels * stride;
      const std::string prefix = fmt::format("layer{}.{}.", stage, block);
      const std::string first =
          build.add(prefix + "relu1", Activation{}, {build.conv_bn(prefix, "1", x, wider, stride)});
      const std::string second = build.conv_bn(prefix, "2", first, wider, 1);
      std::string shortcut = x;
      if (stride != 1) {
        const std::int64_t extra = (wider - channels) / 2;
        shortcut = build.add(prefix + "shortcut", SubsamplePad{{stride, stride}, extra, extra}, {x});
      }
      x = build.add(prefix + "relu2", Activation{}, {build.add(prefix + "add", Add{}, {second, shortcut})});
      channels = wider;
    }
  x = build.add("pool", Pooling{.kind = PoolingKind::average, .global = true}, {x});
  x = build.add("flatten", Flatten{}, {x});
  network.output = build.add("linear", Linear{options.classes, "linear.weight", "linear.bias"}, {x});
  MCOMP_TRY(shapes, infer_shapes(network));
  static_cast<void>(shapes);
  return network;
}

} // namespace mcomp::inline v0::graph
