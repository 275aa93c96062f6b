#include "mcomp/graph/reference_runner.hpp"

#include "graph/reference_layers.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph {

namespace {

class ReferenceRunner final : public Runner {
 public:
  ReferenceRunner(Network network, TensorStore weights, Shapes shapes, const ReferenceOptions& options)
      : network_(std::move(network)), weights_(std::move(weights)), shapes_(std::move(shapes)),
        executor_(options.executor ? *options.executor : serial_executor()), before_linear_(options.before_linear) {
    last_use_.assign(network_.layers.size(), 0);
    for (std::size_t i = 0; i < network_.layers.size(); ++i)
      for (const std::string& input : network_.layers[i].inputs)
        if (const auto j = network_.index(input); j >= 0) last_use_[static_cast<std::size_t>(j)] = i;
  }

  [[nodiscard]] const Network& network() const noexcept override { return network_; }

  [[nodiscard]] Result<Tensor> run(const TensorView& input, const Tap& tap) override {
    MCOMP_CHECK(check_input(input));
    MCOMP_TRY(first, Tensor::copy_of(input));
    if (tap) tap(network_input, first);
    std::vector<Tensor> outputs(network_.layers.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Layer& layer = network_.layers[i];
      std::vector<const Tensor*> inputs;
      for (const std::string& name : layer.inputs) {
        const auto j = network_.index(name);
        inputs.push_back(j < 0 ? &first : &outputs[static_cast<std::size_t>(j)]);
      }
      Shape shape = shapes_.output[i];
      if (network_.input.kind == InputKind::tokens) shape[0] = input.size(1); // every value is [length, features]
      MCOMP_TRY(output, detail::run_reference_layer(
                            {layer, weights_, shape, executor_, before_linear_ ? &before_linear_ : nullptr}, inputs));
      if (tap) tap(layer.name, output);
      outputs[i] = std::move(output);
      for (const std::string& name : layer.inputs)
        if (const auto j = network_.index(name);
            j >= 0 && last_use_[static_cast<std::size_t>(j)] == i && name != network_.output)
          outputs[static_cast<std::size_t>(j)] = Tensor();
    }
    return std::move(outputs[static_cast<std::size_t>(network_.index(network_.output))]);
  }

 private:
  [[nodiscard]] Status check_input(const TensorView& input) const {
    const Shape& shape = network_.input.shape;
    const bool tokens = network_.input.kind == InputKind::tokens;
    MCOMP_CHECK(require(input, "input", tokens ? DType::int32 : DType::f32, shape.rank() + 1));
    for (std::size_t axis = 1; axis < input.rank(); ++axis) {
      const std::int64_t size = input.size(axis), expected = shape[axis - 1];
      if (tokens ? size < 1 || size > expected : size != expected)
        return Error(ErrorCode::invalid_shape, "input",
                     fmt::format("shape {} is not [samples] + {}{}", input.shape(), shape,
                                 tokens ? " or rows of fewer tokens, but at least 1" : ""),
                     "pass samples of the network's input shape");
    }
    return {};
  }

  Network network_;
  TensorStore weights_;
  Shapes shapes_;
  Executor& executor_;
  LinearInput before_linear_;
  std::vector<std::size_t> last_use_; ///< the last layer that reads each output
};

} // namespace

Result<std::unique_ptr<Runner>> reference_runner(Network network, TensorStore weights,
                                                 const ReferenceOptions& options) {
  MCOMP_TRY(shapes, infer_shapes(network));
  MCOMP_TRY(converted, detail::weights_as_f32(network, weights));
  return std::unique_ptr<Runner>(
      new ReferenceRunner(std::move(network), std::move(converted), std::move(shapes), options));
}

Result<std::unique_ptr<Runner>> reference_runner(Network network, TensorStore weights, Executor* executor) {
  return reference_runner(std::move(network), std::move(weights), ReferenceOptions{.executor = executor});
}

} // namespace mcomp::inline v0::graph
