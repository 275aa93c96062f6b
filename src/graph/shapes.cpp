#include <algorithm>
#include <cmath>
#include <set>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/network.hpp"

namespace mcomp::inline v0::graph {

namespace {

/// Shape rules, one function an operation. `x` is the shape of the first input.
class ShapeRule {
 public:
  /// @param tokens what enters the network is tokens, so that every other value is [length, features] of a free length
  ShapeRule(const Layer& layer, const std::vector<Shape>& inputs, bool tokens)
      : layer_(layer), inputs_(inputs), tokens_(tokens) {}

  /// Tokens are numbers of a vocabulary: an embedding takes them, and nothing else.
  [[nodiscard]] Status check_kind() const {
    const bool embeds = std::holds_alternative<Embedding>(layer_.operation);
    const auto is_input = [](const std::string& name) { return name == network_input; };
    const bool takes_tokens = tokens_ && std::any_of(layer_.inputs.begin(), layer_.inputs.end(), is_input);
    if (embeds && !takes_tokens)
      return argument("its input is not the tokens of the network", "let it take the network's input, of kind tokens");
    if (takes_tokens && !embeds) return argument("it cannot compute with tokens", "put an embedding before it");
    if (tokens_ &&
        (std::holds_alternative<BatchNorm>(layer_.operation) || std::holds_alternative<Flatten>(layer_.operation)))
      return argument(fmt::format("{} has no meaning for rows of a free length", operation_name(layer_.operation)),
                      "use it in networks over images or features");
    return {};
  }

  Result<Shape> operator()(const Convolution& c) const {
    MCOMP_CHECK(needs_image());
    const Shape& x = inputs_[0];
    if (c.out_channels <= 0 || c.groups <= 0 || x[0] % c.groups != 0 || c.out_channels % c.groups != 0)
      return argument(
          fmt::format("{} input and {} output channels do not divide into {} groups", x[0], c.out_channels, c.groups),
          "give positive channels that the groups divide");
    if (c.weight.empty()) return argument("no weight tensor is named", "name one");
    MCOMP_TRY(h, window(x[1], c.kernel[0], c.stride[0], c.padding[0]));
    MCOMP_TRY(w, window(x[2], c.kernel[1], c.stride[1], c.padding[1]));
    return Shape{c.out_channels, h, w};
  }
  Result<Shape> operator()(const Linear& l) const {
    if (inputs_[0].rank() > 2)
      return shape(fmt::format("input {} is not [features] or [length, features]", inputs_[0]),
                   "put a flatten layer before it");
    if (l.out_features <= 0)
      return argument(fmt::format("{} output features", l.out_features), "give a positive number");
    if (l.weight.empty()) return argument("no weight tensor is named", "name one");
    return with_features(l.out_features);
  }
  Result<Shape> operator()(const BatchNorm& b) const {
    if (!(b.epsilon >= 0) || !std::isfinite(b.epsilon))
      return argument(fmt::format("epsilon {}", b.epsilon), "give a small number of zero or more");
    for (const std::string* name : {&b.weight, &b.bias, &b.running_mean, &b.running_var})
      if (name->empty()) return argument("a tensor is not named", "name weight, bias, running_mean and running_var");
    return inputs_[0];
  }
  Result<Shape> operator()(const Activation&) const { return inputs_[0]; }
  Result<Shape> operator()(const Add&) const { return same_shapes(); }
  Result<Shape> operator()(const Multiply&) const { return same_shapes(); }
  Result<Shape> operator()(const Pooling& p) const {
    MCOMP_CHECK(needs_image());
    const Shape& x = inputs_[0];
    if (p.global) return Shape{x[0], 1, 1};
    for (std::size_t i = 0; i < 2; ++i)
      if (2 * p.padding[i] > p.kernel[i])
        return argument(fmt::format("padding {} is more than half of the kernel {}", p.padding[i], p.kernel[i]),
                        "pad less: a window must not lie in the padding alone");
    MCOMP_TRY(h, window(x[1], p.kernel[0], p.stride[0], p.padding[0]));
    MCOMP_TRY(w, window(x[2], p.kernel[1], p.stride[1], p.padding[1]));
    return Shape{x[0], h, w};
  }
  Result<Shape> operator()(const Flatten&) const { return Shape{inputs_[0].elements()}; }
  Result<Shape> operator()(const SubsamplePad& s) const {
    MCOMP_CHECK(needs_image());
    if (s.stride[0] <= 0 || s.stride[1] <= 0 || s.channels_before < 0 || s.channels_after < 0)
      return argument("strides must be positive and added channels not negative", "correct them");
    const Shape& x = inputs_[0];
    return Shape{x[0] + s.channels_before + s.channels_after, (x[1] + s.stride[0] - 1) / s.stride[0],
                 (x[2] + s.stride[1] - 1) / s.stride[1]};
  }
  Result<Shape> operator()(const Softmax&) const {
    if (inputs_[0].rank() != 1) return shape(fmt::format("input {} is not [features]", inputs_[0]), "flatten it first");
    return inputs_[0];
  }
  Result<Shape> operator()(const Embedding& e) const {
    if (e.vocabulary <= 0 || e.features <= 0)
      return argument(fmt::format("table [{}, {}]", e.vocabulary, e.features), "give positive sizes");
    if (e.weight.empty()) return argument("no weight tensor is named", "name one");
    return Shape{inputs_[0][0], e.features};
  }
  Result<Shape> operator()(const RmsNorm& n) const {
    if (inputs_[0].rank() > 2)
      return shape(fmt::format("input {} is not [features] or [length, features]", inputs_[0]), "flatten it first");
    if (!(n.epsilon >= 0) || !std::isfinite(n.epsilon))
      return argument(fmt::format("epsilon {}", n.epsilon), "give a small number of zero or more");
    if (n.weight.empty()) return argument("no weight tensor is named", "name one");
    return inputs_[0];
  }
  Result<Shape> operator()(const RotaryEmbedding& r) const {
    MCOMP_CHECK(needs_sequence(inputs_[0]));
    MCOMP_CHECK(divides(r.heads, inputs_[0][1]));
    if (inputs_[0][1] / r.heads % 2 != 0)
      return shape(fmt::format("a head has {} features, which do not pair up", inputs_[0][1] / r.heads),
                   "use heads of an even size");
    if (!(r.theta > 0) || !std::isfinite(r.theta))
      return argument(fmt::format("theta {}", r.theta), "give a positive number, 10000 in the paper");
    return inputs_[0];
  }
  Result<Shape> operator()(const Attention& a) const {
    const Shape &q = inputs_[0], &k = inputs_[1], &v = inputs_[2];
    for (const Shape& input : inputs_) MCOMP_CHECK(needs_sequence(input));
    if (k != v || q[0] != k[0])
      return shape(fmt::format("queries {}, keys {} and values {} do not belong together", q, k, v),
                   "give one length, and keys and values of one shape");
    MCOMP_CHECK(divides(a.heads, q[1]));
    MCOMP_CHECK(divides(a.kv_heads, k[1]));
    if (a.heads % a.kv_heads != 0)
      return argument(fmt::format("{} heads do not share {} key heads evenly", a.heads, a.kv_heads),
                      "give a number of heads that kv_heads divides");
    if (q[1] / a.heads != k[1] / a.kv_heads)
      return shape(fmt::format("query heads have {} features, key heads {}", q[1] / a.heads, k[1] / a.kv_heads),
                   "project both to one head size");
    return q;
  }

 private:
  Error argument(std::string rule, std::string remedy) const {
    return {ErrorCode::invalid_argument, fmt::format("layer '{}'", layer_.name), std::move(rule), std::move(remedy)};
  }
  Error shape(std::string rule, std::string remedy) const {
    return {ErrorCode::invalid_shape, fmt::format("layer '{}'", layer_.name), std::move(rule), std::move(remedy)};
  }
  Result<Shape> same_shapes() const {
    if (inputs_[0] != inputs_[1])
      return shape(fmt::format("inputs {} and {} differ", inputs_[0], inputs_[1]), "bring both to one shape first");
    return inputs_[0];
  }
  /// The shape of the first input with another number of features.
  Shape with_features(std::int64_t features) const {
    return inputs_[0].rank() == 1 ? Shape{features} : Shape{inputs_[0][0], features};
  }
  Status needs_sequence(const Shape& input) const {
    if (input.rank() == 2) return {};
    return shape(fmt::format("input {} is not [length, features]", input), "feed it rows of a sequence");
  }
  Status divides(std::int64_t heads, std::int64_t features) const {
    if (heads > 0 && features % heads == 0) return {};
    return argument(fmt::format("{} features do not divide into {} heads", features, heads),
                    "give a positive number that divides them");
  }
  Status needs_image() const {
    if (inputs_[0].rank() == 3) return {};
    return shape(fmt::format("input {} is not [channels, height, width]", inputs_[0]), "feed it an image");
  }
  Result<std::int64_t> window(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding) const {
    constexpr std::int64_t most = 1 << 20; // keeps every sum below far from overflow
    if (kernel <= 0 || stride <= 0 || padding < 0 || kernel > most || stride > most || padding > most)
      return argument(fmt::format("kernel {}, stride {}, padding {} are not within 1..2^20 (padding 0..2^20)", kernel,
                                  stride, padding),
                      "correct them");
    if (size + 2 * padding < kernel)
      return shape(fmt::format("kernel {} is larger than the padded input {}", kernel, size + 2 * padding),
                   "use a smaller kernel or a larger input");
    return (size + 2 * padding - kernel) / stride + 1;
  }

  const Layer& layer_;
  const std::vector<Shape>& inputs_;
  bool tokens_;
};

std::size_t input_count(const Operation& operation) {
  if (std::holds_alternative<Attention>(operation)) return 3;
  return std::holds_alternative<Add>(operation) || std::holds_alternative<Multiply>(operation) ? 2 : 1;
}

Status check_input(const Network& network) {
  const Shape& shape = network.input.shape;
  constexpr std::int64_t most = std::int64_t{1} << 31;
  const auto bytes = byte_size(DType::f64, shape, "network input");
  if (shape.rank() == 0 || shape.rank() > 3 || !bytes || *bytes == 0 || shape.elements() > most)
    return Error(ErrorCode::invalid_shape, "network input", fmt::format("shape {} of one sample", shape),
                 "give [features] or [channels, height, width] with 1 to 2^31 elements");
  if (network.input.kind == InputKind::tokens) {
    constexpr std::int64_t longest = std::int64_t{1} << 24; // keeps the counts of attention far from overflow
    if (shape.rank() != 1 || shape[0] > longest)
      return Error(ErrorCode::invalid_shape, "network input", fmt::format("shape {} of tokens", shape),
                   "give [length], the longest row, of 1 to 2^24");
    const Input tokens{.shape = shape, .kind = InputKind::tokens};
    if (network.input != tokens)
      return Error(ErrorCode::invalid_argument, "network input", "normalization is given for tokens",
                   "leave scale, mean and std at their defaults");
    return {};
  }
  const auto channels = static_cast<std::size_t>(shape[0]);
  if (!std::isfinite(network.input.scale))
    return Error(ErrorCode::invalid_value, "network input", "scale is not finite", "correct it");
  for (const auto* values : {&network.input.mean, &network.input.stddev}) {
    if (values->size() != 1 && values->size() != channels)
      return Error(ErrorCode::invalid_argument, "network input",
                   fmt::format("{} normalization values for {} channels", values->size(), channels),
                   "give one value, or one a channel");
    for (const double v : *values)
      if (!std::isfinite(v) || (values == &network.input.stddev && v <= 0))
        return Error(ErrorCode::invalid_value, "network input", fmt::format("normalization value {}", v),
                     "means must be finite, standard deviations positive");
  }
  return {};
}

} // namespace

Result<Shapes> infer_shapes(const Network& network) {
  MCOMP_CHECK(check_input(network));
  if (network.layers.empty())
    return Error(ErrorCode::invalid_argument, "network", "it has no layers", "describe at least one layer");
  Shapes shapes;
  std::map<std::string, const Shape*, std::less<>> known;
  std::vector<std::string> names;
  known.emplace(network_input, &network.input.shape);
  shapes.output.reserve(network.layers.size()); // `known` keeps pointers into it
  for (const Layer& layer : network.layers) {
    const std::string subject = fmt::format("layer '{}'", layer.name);
    if (layer.name.empty() || known.contains(layer.name))
      return Error(ErrorCode::invalid_argument, subject, "the name is empty, reserved or used twice",
                   "give every layer its own name");
    const std::size_t needed = input_count(layer.operation);
    if (layer.inputs.size() != needed)
      return Error(ErrorCode::invalid_argument, subject,
                   fmt::format("{} inputs, {} needed", layer.inputs.size(), needed), "name its inputs");
    std::vector<Shape> inputs;
    for (const std::string& input : layer.inputs) {
      const auto found = known.find(input);
      if (found == known.end())
        return Error(ErrorCode::not_found, subject, fmt::format("its input '{}' is not a layer before it", input),
                     detail::did_you_mean(input, names));
      inputs.push_back(*found->second);
    }
    const ShapeRule rule(layer, inputs, network.input.kind == InputKind::tokens);
    MCOMP_CHECK(rule.check_kind());
    auto shape = std::visit(rule, layer.operation);
    if (!shape) return shape.error();
    const auto bytes = byte_size(DType::f64, *shape, subject);
    if (!bytes) return bytes.error();
    shapes.input.push_back(inputs.front());
    shapes.output.push_back(std::move(*shape));
    known.emplace(layer.name, &shapes.output.back());
    names.push_back(layer.name);
  }
  if (network.index(network.output) < 0)
    return Error(ErrorCode::not_found, fmt::format("output '{}'", network.output), "it is not a layer",
                 detail::did_you_mean(network.output, names));
  return shapes;
}

Result<std::vector<std::int64_t>> multiply_adds(const Network& network) {
  MCOMP_TRY(shapes, infer_shapes(network));
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const Shape &x = shapes.input[i], &y = shapes.output[i];
    std::int64_t factor = 0; // of each element of the output
    if (const auto* c = std::get_if<Convolution>(&network.layers[i].operation))
      factor = (x[0] / c->groups) * c->kernel[0] * c->kernel[1];
    if (std::holds_alternative<Linear>(network.layers[i].operation)) factor = x.sizes().back();
    // Query p meets p + 1 keys and as many values.
    if (std::holds_alternative<Attention>(network.layers[i].operation)) factor = x[0] + 1;
    std::int64_t count = 0;
    if (__builtin_mul_overflow(y.elements(), factor, &count))
      return Error(ErrorCode::invalid_shape, fmt::format("layer '{}'", network.layers[i].name),
                   fmt::format("{} multiply-adds for each of {} outputs are more than 2^63", factor, y.elements()),
                   "describe a smaller layer");
    result.push_back(count);
  }
  return result;
}

} // namespace mcomp::inline v0::graph
