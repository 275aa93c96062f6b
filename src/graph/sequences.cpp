#include "graph/sequences.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph::detail {

Status refuse_sequences(const Network& network, const Shapes& shapes, std::string_view who) {
  const auto refuse = [&](std::string subject, const std::string& what) {
    return Error(ErrorCode::unsupported, std::move(subject), fmt::format("{} cannot serve {}", who, what),
                 "run decoders with graph::reference_runner, quantized ones with simulated weights in its store");
  };
  if (network.input.kind == InputKind::tokens) return refuse("network input", "tokens");
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    const bool decoder = std::visit(
        []<class Op>(const Op&) {
          return std::is_same_v<Op, Multiply> || std::is_same_v<Op, Embedding> || std::is_same_v<Op, RmsNorm> ||
                 std::is_same_v<Op, RotaryEmbedding> || std::is_same_v<Op, Attention>;
        },
        layer.operation);
    if (decoder || (std::holds_alternative<Linear>(layer.operation) && shapes.input[i].rank() != 1))
      return refuse(fmt::format("layer '{}'", layer.name),
                    fmt::format("{} over {}", operation_name(layer.operation), shapes.input[i]));
  }
  return {};
}

} // namespace mcomp::inline v0::graph::detail
