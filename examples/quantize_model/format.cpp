#include "mcomp/core/format.hpp"
#include "format.hpp"

#include <charconv>

#include "mcomp/quant/clip.hpp"

namespace example {

namespace {

using namespace mcomp;
using compress::LayerMethod;
using compress::LayerProblem;
using compress::QuantizedWeight;

constexpr int refinement_rounds = 16;

Error unknown(const std::string& text) {
  return {
      ErrorCode::invalid_argument, fmt::format("--format {}", text), "there is no such format",
      "use a GGUF format (Q4_K, IQ4_NL ...), int2 ... int8 or uint2 ... uint8 (with :tensor or :gN for a scale to N "
      "weights), mxfp4, nvfp4 or fp8"};
}

/// "int4", "uint3:g64"
Result<Format> parse_integers(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto dtype = dtype_from_string(text.substr(0, colon));
  if (!dtype || !is_integer(*dtype) || bit_width(*dtype) > 8) return unknown(text);
  quant::Scheme scheme{.dtype = *dtype, .symmetric = is_signed_integer(*dtype)};
  if (colon == std::string::npos) return Format(scheme);
  const std::string scales = text.substr(colon + 1);
  if (scales == "tensor") {
    scheme.granularity = quant::Granularity::per_tensor;
  } else if (scales.starts_with("g")) {
    scheme.granularity = quant::Granularity::per_group;
    const auto [end, code] = std::from_chars(scales.data() + 1, scales.data() + scales.size(), scheme.group_size);
    if (code != std::errc() || end != scales.data() + scales.size() || scheme.group_size < 1) return unknown(text);
  } else if (scales != "channel") {
    return unknown(text);
  }
  return Format(scheme);
}

Error no_method(Method method) {
  return {ErrorCode::invalid_argument, fmt::format("--method {}", to_string(method)),
          "codes of this floating-point format are the nearest ones", "use nearest, or search with mxfp4 and nvfp4"};
}

/// What a call of `quant` gives, as the walk over layers wants it.
template <class T> Result<QuantizedWeight> as_weight(Result<T> result) {
  if (!result) return result.error();
  return QuantizedWeight(std::move(*result));
}
template <class T> Result<QuantizedWeight> tensor_of(Result<T> result) {
  if (!result) return result.error();
  return QuantizedWeight(std::move(result->tensor));
}

/// The second moments of a layer's inputs in f32.
std::vector<float> importance(const LayerProblem& problem) {
  std::vector<float> values;
  for (const double moment : problem.inputs->diagonal()) values.push_back(static_cast<float>(moment));
  return values;
}
TensorView view(const std::vector<float>& values) {
  return TensorView(values.data(), DType::f32, Shape{static_cast<std::int64_t>(values.size())});
}

LayerMethod blocks(quant::BlockFormat format, Method method) {
  return [=](const LayerProblem& p, const Context& context) -> Result<QuantizedWeight> {
    const std::vector<float> weights = importance(p);
    switch (method) {
    case Method::nearest:
      return as_weight(quant::quantize_blocks(p.weight, format, {.search = quant::BlockSearch::nearest}, context));
    case Method::search:
      return as_weight(quant::quantize_blocks(p.weight, format, {.importance = view(weights)}, context));
    case Method::gptq:
    case Method::gptq_refined:
      break;
    }
    const int rounds = method == Method::gptq_refined ? refinement_rounds : 0;
    return tensor_of(quant::gptq(p.weight, *p.inputs, format, {.refine = {.rounds = rounds}}, context));
  };
}

LayerMethod integers(const quant::Scheme& scheme, Method method) {
  return [=](const LayerProblem& p, const Context& context) -> Result<QuantizedWeight> {
    switch (method) {
    case Method::nearest:
      return as_weight(quant::quantize(p.weight, scheme, context));
    case Method::search:
      return tensor_of(quant::quantize_clipped(p.weight, scheme, {.importance = p.inputs->diagonal()}, context));
    case Method::gptq:
    case Method::gptq_refined:
      break;
    }
    const int rounds = method == Method::gptq_refined ? refinement_rounds : 0;
    return tensor_of(quant::gptq(p.weight, *p.inputs, {.scheme = scheme, .refine = {.rounds = rounds}}, context));
  };
}

} // namespace

std::string to_string(Method method) {
  switch (method) {
  case Method::nearest:
    return "nearest";
  case Method::search:
    return "search";
  case Method::gptq:
    return "gptq";
  case Method::gptq_refined:
    return "gptq-refined";
  }
  return "";
}

Result<Format> parse_format(const std::string& text) {
  if (const auto block = quant::block_format_from_string(text); block && text != "mxfp4") return Format(*block);
  if (text == "mxfp4") return Format(quant::microscaling::mxfp4);
  if (text == "nvfp4") return Format(quant::microscaling::nvfp4);
  if (text == "fp8") return Format(quant::ScaledFloatOptions{});
  return parse_integers(text);
}

Result<LayerMethod> layer_method(const Format& format, Method method) {
  if (const auto* block = std::get_if<quant::BlockFormat>(&format)) return blocks(*block, method);
  if (const auto* scheme = std::get_if<quant::Scheme>(&format)) return integers(*scheme, method);
  if (method == Method::gptq || method == Method::gptq_refined) return no_method(method);
  if (const auto* micro = std::get_if<quant::Microscaling>(&format))
    return LayerMethod([=, format = *micro](const LayerProblem& p, const Context& context) {
      const std::vector<float> weights = importance(p);
      if (method == Method::nearest)
        return as_weight(
            quant::quantize_microscaled(p.weight, {.format = format, .rule = quant::ScaleRule::floor}, context));
      return as_weight(quant::quantize_microscaled(p.weight, {.format = format, .importance = view(weights)}, context));
    });
  if (method == Method::search) return no_method(method);
  return LayerMethod(
      [options = std::get<quant::ScaledFloatOptions>(format)](const LayerProblem& p, const Context& context) {
        return as_weight(quant::quantize_scaled_float(p.weight, options, context));
      });
}

} // namespace example
