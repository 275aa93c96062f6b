#include "mcomp/graph/reference_runner.hpp"

#include "graph/reference_layers.hpp"

namespace mcomp::inline v0::graph {

namespace {

class ReferenceRunner final : public Runner {
 public:
  ReferenceRunner(Network network, TensorStore weights, Shapes shapes, Executor* executor)
      : network_(std::move(network)), weights_(std::move(weights)), shapes_(std::move(shapes)),
        executor_(executor ? *executor : serial_executor()) {
    last_use_.assign(network_.layers.size(), 0);
    for (std::size_t i = 0; i < network_.layers.size(); ++i)
      for (const std::string& input : network_.layers[i].inputs)
        if (const auto j = network_.index(input); j >= 0) last_use_[static_cast<std::size_t>(j)] = i;
  }

  [[nodiscard]] const Network& network() const noexcept override { return network_; }

  [[nodiscard]] Result<Tensor> run(const TensorView& input, const Tap& tap) override {
    MCOMP_CHECK(require(input, "input", DType::f32, network_.input.shape.rank() + 1));
    for (std::size_t axis = 1; axis < input.rank(); ++axis)
      if (input.size(axis) != network_.input.shape[axis - 1])
        return Error(ErrorCode::invalid_shape, "input",
                     fmt::format("shape {} is not [samples] + {}", input.shape(), network_.input.shape),
                     "pass samples of the network's input shape");
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
      MCOMP_TRY(output, detail::run_reference_layer({layer, weights_, shapes_.output[i], executor_}, inputs));
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
  Network network_;
  TensorStore weights_;
  Shapes shapes_;
  Executor& executor_;
  std::vector<std::size_t> last_use_; ///< the last layer that reads each output
};

} // namespace

Result<std::unique_ptr<Runner>> reference_runner(Network network, TensorStore weights, Executor* executor) {
  MCOMP_TRY(shapes, infer_shapes(network));
  MCOMP_TRY(converted, detail::weights_as_f32(network, weights));
  return std::unique_ptr<Runner>(
      new ReferenceRunner(std::move(network), std::move(converted), std::move(shapes), executor));
}

} // namespace mcomp::inline v0::graph
