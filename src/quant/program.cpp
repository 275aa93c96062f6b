#include "mcomp/quant/program.hpp"

#include <algorithm>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "graph/reference_layers.hpp"
#include "graph/sequences.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::quant {

ProgramRunner::~ProgramRunner() = default;

namespace {

using graph::Activation;
using graph::Add;
using graph::Convolution;
using graph::Layer;
using graph::Linear;
using graph::Network;

/// Operations whose result on codes is the code of their result, whatever the scale.
bool works_on_codes(const graph::Operation& operation) {
  if (const auto* p = std::get_if<graph::Pooling>(&operation)) return p->kind == graph::PoolingKind::max;
  return std::holds_alternative<graph::SubsamplePad>(operation) || std::holds_alternative<graph::Flatten>(operation);
}

class Lowering {
 public:
  Lowering(const Network& network, const TensorStore& weights, const NetworkQuantization& quantization,
           const graph::Shapes& shapes)
      : network_(network), weights_(weights), quantization_(quantization), shapes_(shapes),
        consumed_(network.layers.size(), false) {
    program_.network = network;
    program_.values.push_back({std::string(graph::network_input), network.input.shape, codes_of(graph::network_input)});
    value_of_.emplace(graph::network_input, 0);
  }

  Result<Program> run() {
    MCOMP_CHECK(check_names());
    for (std::size_t i = 0; i < network_.layers.size(); ++i) plan_fusion(i);
    for (std::size_t i = 0; i < network_.layers.size(); ++i)
      if (!consumed_[i]) MCOMP_CHECK(emit(i));
    program_.output = value_of_.at(network_.output);
    return std::move(program_);
  }

 private:
  [[nodiscard]] std::optional<Parameters> codes_of(std::string_view value) const {
    const auto found = quantization_.activations.find(std::string(value));
    return found == quantization_.activations.end() ? std::nullopt : std::optional(found->second);
  }

  Status check_names() const {
    const auto unknown = [&](const std::string& name) {
      std::vector<std::string> known;
      for (const Layer& layer : network_.layers) known.push_back(layer.name);
      return Error(ErrorCode::not_found, fmt::format("quantization of '{}'", name), "the network has no such layer",
                   mcomp::detail::did_you_mean(name, known));
    };
    for (const auto& [name, tensor] : quantization_.weights) {
      const Layer* layer = network_.find(name);
      if (!layer) return unknown(name);
      if (!graph::weight_names(layer->operation))
        return Error(ErrorCode::unsupported, fmt::format("layer '{}'", name), "it has no weights to run in integers",
                     "quantize convolutions and linear layers");
    }
    for (const auto& [name, parameters] : quantization_.activations) {
      if (name != graph::network_input && !network_.find(name)) return unknown(name);
      if (parameters.dtype != DType::uint8 && parameters.dtype != DType::int8)
        return Error(ErrorCode::unsupported, fmt::format("value '{}'", name),
                     fmt::format("activations cannot be {}", parameters.dtype), "use uint8 or int8");
      if (!(parameters.scale > 0) || parameters.scale > std::numeric_limits<float>::max())
        return Error(ErrorCode::invalid_value, fmt::format("value '{}'", name),
                     fmt::format("scale {}", parameters.scale), "give a positive finite scale");
      const auto range = *code_range(parameters.dtype, parameters.symmetric);
      if (parameters.zero_point < range.lowest || parameters.zero_point > range.highest)
        return Error(ErrorCode::invalid_value, fmt::format("value '{}'", name),
                     fmt::format("zero point {} is not a code of {}", parameters.zero_point, parameters.dtype),
                     "give a code");
    }
    return {};
  }

  /// The only user of a layer's result, where nothing else needs it.
  [[nodiscard]] std::optional<std::size_t> only_user(std::size_t i) const {
    const auto users = network_.users(network_.layers[i].name);
    if (users.size() != 1 || network_.layers[i].name == network_.output) return std::nullopt;
    return users.front();
  }

  /// Lets an add, then an activation, join the weight layer before it. Called in order of the layers: of two weight
  /// layers that meet in an add, the later one takes it, since by then the other result exists.
  void plan_fusion(std::size_t i) {
    const Layer& layer = network_.layers[i];
    if (std::holds_alternative<Add>(layer.operation)) {
      if (layer.inputs[0] == layer.inputs[1]) return;
      std::ptrdiff_t chosen = -1;
      for (const std::string& input : layer.inputs) {
        const std::ptrdiff_t j = network_.index(input);
        if (j >= 0 && tail_.contains(static_cast<std::size_t>(j)) && !tail_.at(static_cast<std::size_t>(j)).finished &&
            only_user(static_cast<std::size_t>(j)) == i)
          chosen = std::max(chosen, j);
      }
      if (chosen < 0) return;
      Fusion fusion = tail_.at(static_cast<std::size_t>(chosen));
      fusion.add = i;
      extend(static_cast<std::size_t>(chosen), i, std::move(fusion));
    } else if (const auto* activation = std::get_if<Activation>(&layer.operation)) {
      const std::ptrdiff_t j = network_.index(layer.inputs[0]);
      if (j < 0 || !tail_.contains(static_cast<std::size_t>(j)) || only_user(static_cast<std::size_t>(j)) != i) return;
      if (activation->kind != graph::ActivationKind::relu && activation->kind != graph::ActivationKind::relu6) return;
      Fusion fusion = tail_.at(static_cast<std::size_t>(j));
      if (fusion.finished) return;
      fusion.activation = activation->kind;
      fusion.finished = true;
      extend(static_cast<std::size_t>(j), i, std::move(fusion));
    } else if (graph::weight_names(layer.operation)) {
      tail_[i] = {i, {i}, std::nullopt, std::nullopt, false};
    }
  }

  struct Fusion {
    std::size_t main;
    std::vector<std::size_t> layers;
    std::optional<std::size_t> add;
    std::optional<graph::ActivationKind> activation;
    bool finished;
  };

  void extend(std::size_t old_tail, std::size_t new_tail, Fusion fusion) {
    consumed_[old_tail] = true;
    fusion.layers.push_back(new_tail);
    tail_.erase(old_tail);
    tail_[new_tail] = std::move(fusion);
  }

  [[nodiscard]] std::size_t value(const std::string& name) const { return value_of_.at(name); }

  Status emit(std::size_t i) {
    const Layer& layer = network_.layers[i];
    Step step;
    std::size_t main = i;
    if (const auto found = tail_.find(i); found != tail_.end()) {
      const Fusion& fusion = found->second;
      main = fusion.main;
      step.activation = fusion.activation;
      for (const std::size_t covered : fusion.layers) step.covers.push_back(network_.layers[covered].name);
      if (fusion.add) {
        const auto& inputs = network_.layers[*fusion.add].inputs;
        const std::string& own = network_.layers[fusion.main].name;
        step.residual = value(inputs[0] == own ? inputs[1] : inputs[0]);
      }
    } else {
      step.covers.push_back(layer.name);
    }
    step.layer = network_.layers[main].name;
    step.operation = network_.layers[main].operation;
    for (const std::string& input : network_.layers[main].inputs) step.inputs.push_back(value(input));

    std::optional<Parameters> codes = codes_of(layer.name);
    const Value& input = program_.values[step.inputs[0]];
    if (!codes && works_on_codes(step.operation)) codes = input.codes;
    if (const auto names = graph::weight_names(step.operation)) {
      if (const auto q = quantization_.weights.find(step.layer); q != quantization_.weights.end() && input.codes) {
        MCOMP_TRY(integer, integer_weights(step.layer, main, q->second, *input.codes, *names.bias));
        step.integer = std::make_shared<const IntegerWeights>(std::move(integer));
      } else {
        MCOMP_CHECK(keep(*names.weight));
        MCOMP_CHECK(keep(*names.bias));
      }
    } else {
      Network one = network_;
      one.layers = {network_.layers[main]};
      for (const std::string& name : graph::tensor_names(one)) MCOMP_CHECK(keep(name));
    }
    step.output = program_.values.size();
    value_of_.emplace(layer.name, step.output);
    program_.values.push_back({layer.name, shapes_.output[i], codes});
    program_.steps.push_back(std::move(step));
    return {};
  }

  Status keep(const std::string& name) {
    if (name.empty() || program_.weights.contains(name)) return {};
    MCOMP_TRY(tensor, weights_.find(name));
    MCOMP_TRY(converted, to_f32(tensor, name));
    program_.weights.put(name, std::move(converted));
    return {};
  }

  Result<IntegerWeights> integer_weights(const std::string& layer, std::size_t index, const QuantizedTensor& q,
                                         const Parameters& input, const std::string& bias_name) const {
    const std::string subject = fmt::format("layer '{}'", layer);
    const auto refuse = [&](ErrorCode code, std::string rule, const char* remedy) {
      return Error(code, subject, std::move(rule), remedy);
    };
    const bool per_row =
        q.scheme.granularity == Granularity::per_tensor || q.scheme.granularity == Granularity::per_channel;
    if (!q.scheme.symmetric || !per_row || !is_signed_integer(q.scheme.dtype))
      return refuse(ErrorCode::unsupported, fmt::format("integer execution cannot use weights of {}", q.scheme),
                    "use int2 .. int8, symmetric, per channel or per tensor");
    MCOMP_TRY(range, code_range(q.scheme.dtype, true));
    static_cast<void>(range);
    Shape expected;
    if (const auto* c = std::get_if<Convolution>(&network_.layers[index].operation))
      expected = {c->out_channels, shapes_.input[index][0] / c->groups, c->kernel[0], c->kernel[1]};
    else
      expected = {shapes_.output[index][0], shapes_.input[index][0]};
    const std::int64_t out = expected[0], rows = q.scheme.granularity == Granularity::per_tensor ? 1 : out;
    if (q.codes.dtype() != DType::int8 || q.shape() != expected || q.scales.dtype() != DType::f32 ||
        q.scales.shape() != Shape{rows, 1})
      return refuse(ErrorCode::invalid_shape,
                    fmt::format("codes {} with scales {}, {} needed", q.codes, q.scales, expected),
                    "quantize the weights of this network");
    // |x_code - zero_point| <= 255 and |w_code| <= 128 bound every partial sum.
    const std::int64_t depth = out == 0 ? 0 : expected.elements() / out;
    constexpr std::int64_t deepest = ((std::int64_t{1} << 31) - 1) / (255 * 128);
    if (depth > deepest)
      return refuse(ErrorCode::unsupported,
                    fmt::format("sums of {} products could leave int32, at most {} fit", depth, deepest),
                    "leave this layer in f32");
    IntegerWeights result{q.codes, {}, {}};
    const auto* scales = static_cast<const float*>(q.scales.data());
    for (std::int64_t c = 0; c < out; ++c) {
      const float scale = scales[rows == 1 ? 0 : c];
      if (!(scale > 0) || scale > std::numeric_limits<float>::max())
        return refuse(ErrorCode::invalid_value, fmt::format("weight scale {} is {}", c, scale),
                      "give positive finite scales");
      result.multiplier.push_back(input.scale * scale);
    }
    result.bias.assign(static_cast<std::size_t>(out), 0.0f);
    if (!bias_name.empty()) {
      MCOMP_TRY(view, weights_.find(bias_name));
      MCOMP_TRY(bias, to_f32(view, bias_name));
      MCOMP_CHECK(require_finite(bias, fmt::format("tensor '{}'", bias_name)));
      if (bias.shape() != Shape{out})
        return refuse(ErrorCode::invalid_shape,
                      fmt::format("bias '{}' is {}, [{}] needed", bias_name, bias.shape(), out),
                      "use the weights of this network");
      std::copy_n(static_cast<const float*>(bias.data()), out, result.bias.begin());
    }
    return result;
  }

  const Network& network_;
  const TensorStore& weights_;
  const NetworkQuantization& quantization_;
  const graph::Shapes& shapes_;
  std::vector<bool> consumed_;
  std::map<std::size_t, Fusion> tail_; ///< by the last layer of each step
  std::map<std::string, std::size_t, std::less<>> value_of_;
  Program program_;
};

} // namespace

Result<Program> lower(const Network& network, const TensorStore& weights, const NetworkQuantization& quantization) {
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  MCOMP_CHECK(graph::detail::refuse_sequences(network, shapes, "a program of quantized steps"));
  TensorStore available = weights; // where a layer is given as codes alone, the numbers that they mean
  for (const auto& [name, q] : quantization.weights) {
    const Layer* layer = network.find(name);
    const auto names = layer ? graph::weight_names(layer->operation) : graph::WeightNames();
    if (!names || available.contains(*names.weight)) continue;
    MCOMP_TRY(values, dequantize(q));
    available.put(*names.weight, std::move(values));
  }
  MCOMP_CHECK(graph::check_weights(network, available));
  return Lowering(network, available, quantization, shapes).run();
}

std::string to_string(const Program& program) {
  std::string text = program.network.name;
  for (const Step& step : program.steps) {
    const Value& out = program.values[step.output];
    std::string name;
    for (const std::string& layer : step.covers) name += (name.empty() ? std::string() : std::string(" + ")) += layer;
    text += fmt::format("\n  {:<52} {:<5} -> {} {}", name, step.integer ? "int8" : "f32", out.shape,
                        out.codes ? to_string(*out.codes) : std::string("f32"));
  }
  return text;
}

Result<ArithmeticShare> arithmetic_share(const Program& program) {
  MCOMP_TRY(counts, graph::multiply_adds(program.network));
  ArithmeticShare share;
  for (const Step& step : program.steps) {
    const std::int64_t count = counts[static_cast<std::size_t>(program.network.index(step.layer))];
    share.total += count;
    if (!step.integer) share.in_f32 += count;
  }
  return share;
}

} // namespace mcomp::inline v0::quant
