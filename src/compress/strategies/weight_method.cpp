#include "compress/strategies/weight_method.hpp"

#include <array>
#include <utility>

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

/// "clipped" is the older word of this step for the search for ranges.
constexpr std::array<std::pair<WeightAlgorithm, const char*>, 4> names{{{WeightAlgorithm::nearest, "nearest"},
                                                                        {WeightAlgorithm::search, "clipped"},
                                                                        {WeightAlgorithm::adaround, "adaround"},
                                                                        {WeightAlgorithm::gptq, "gptq"}}};

} // namespace

std::string to_string(const WeightMethodOptions& options) {
  std::string text = quant::to_string(options.scheme);
  for (const auto& [algorithm, name] : names)
    if (algorithm == options.method.algorithm && algorithm != WeightAlgorithm::nearest)
      text += fmt::format(", {}", name);
  if (options.method.refine > 0) text += " refined";
  return text;
}

Result<WeightMethodOptions> read_weight_method(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  WeightMethodOptions options;
  const std::string dtype = reader.text("dtype", "int8"), granularity = reader.text("granularity", "per_channel"),
                    method = reader.text("method", "nearest");
  const std::int64_t refine = reader.integer("refine", 0);
  const auto type = dtype_from_string(dtype);
  if (!type || !is_signed_integer(*type) || bit_width(*type) > 8)
    reader.fail("dtype", fmt::format("'{}' cannot be executed", dtype), "use int2 ... int8");
  if (granularity != "per_channel" && granularity != "per_tensor")
    reader.fail("granularity", fmt::format("'{}' cannot be executed", granularity), "use per_channel or per_tensor");
  bool known = false;
  for (const auto& [value, name] : names)
    if (method == name) options.method.algorithm = value, known = true;
  if (!known)
    reader.fail("method", fmt::format("there is no method '{}'", method), "use nearest, clipped, adaround or gptq");
  if (refine < 0 || refine > 1000) reader.fail("refine", fmt::format("{} rounds", refine), "use 16, or 0 for none");
  options.target = read_target(reader, LayerTarget::own_output);
  options.scheme.granularity =
      granularity == "per_tensor" ? quant::Granularity::per_tensor : quant::Granularity::per_channel;
  if (const Json* budget = reader.child("budget")) {
    std::vector<std::string> words;
    for (int bits = 2; bits <= 8; ++bits)
      words.push_back(fmt::format("int{}{}", bits, granularity == "per_tensor" ? ":tensor" : ""));
    auto read = read_budget(*budget, reader.where("budget"), words, SensitivityMeasure::network_error);
    if (!read) return read.error();
    for (const WeightFormat& format : read->formats) {
      const auto* scheme = std::get_if<quant::Scheme>(&format);
      if (!scheme || !scheme->symmetric || scheme->scale_dtype != DType::f32 ||
          scheme->granularity != options.scheme.granularity)
        reader.fail("budget", fmt::format("the format {} cannot be executed", to_string(format)),
                    fmt::format("use int2 ... int8 {}", options.scheme.granularity));
    }
    if (reader.has("dtype")) reader.fail("dtype", "the budget chooses it for every layer", "leave one of both out");
    options.budget = std::move(*read);
  }
  MCOMP_CHECK(reader.finish());
  options.scheme.dtype = *type;
  options.method.refine = static_cast<int>(refine);
  return options;
}

void put_quantized(TensorStore& store, const std::string& name, const quant::QuantizedTensor& q) {
  store.put(name + ".codes", q.codes);
  store.put(name + ".scales", q.scales);
  store.put(name + ".zero_points", q.zero_points);
}

Result<quant::QuantizedTensor> quantized_from_store(const TensorStore& store, const std::string& name,
                                                    const quant::Scheme& scheme) {
  quant::QuantizedTensor q;
  q.scheme = scheme;
  const auto take = [&](const char* part, Tensor& to) -> Status {
    const auto view = store.find(name + part);
    if (!view)
      return Error(ErrorCode::not_found, fmt::format("{}{}", name, part),
                   "the plan does not carry what was computed from samples",
                   "apply the plan as it was made, or read the artifact that holds the weights");
    MCOMP_TRY(copy, Tensor::copy_of(*view));
    to = std::move(copy);
    return {};
  };
  MCOMP_CHECK(take(".codes", q.codes));
  MCOMP_CHECK(take(".scales", q.scales));
  MCOMP_CHECK(take(".zero_points", q.zero_points));
  return q;
}

} // namespace mcomp::inline v0::compress::detail
