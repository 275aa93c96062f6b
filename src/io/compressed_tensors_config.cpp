#include "io/compressed_tensors_config.hpp"

#include <algorithm>
#include <array>

#include "io/name_pattern.hpp"

#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::io::detail {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

Error unsupported(std::string subject, std::string rule) {
  return {ErrorCode::unsupported, std::move(subject), std::move(rule),
          "convert the checkpoint to one of the formats in io/compressed_tensors.hpp"};
}

struct Preset {
  std::string_view name;
  WeightScheme scheme;
};

WeightScheme integers(int bits, bool symmetric, Strategy strategy, std::int64_t group_size = 0) {
  return {.format = bits == 8 && strategy == Strategy::channel ? "int-quantized" : "pack-quantized",
          .targets = {},
          .kind = WeightKind::integer,
          .bits = bits,
          .symmetric = symmetric,
          .strategy = strategy,
          .group_size = group_size};
}
WeightScheme floats(std::string format, int bits, Strategy strategy, std::int64_t group_size = 0,
                    std::int64_t rows = 0) {
  return {.format = std::move(format),
          .targets = {},
          .kind = WeightKind::floating,
          .bits = bits,
          .symmetric = true,
          .strategy = strategy,
          .group_size = group_size,
          .block_rows = rows};
}

/// Schemes by name, as `config_groups` may hold them: {"W4A16": ["Linear"]}.
std::optional<WeightScheme> preset(const std::string& name) {
  // W2A16 ... W8A16: integer weights in groups of 128; with A8 and A4 their inputs are quantized when they run.
  if (name.size() >= 4 && name[0] == 'W' && name[1] >= '2' && name[1] <= '8' && name[2] == 'A') {
    const std::string rest = name.substr(3);
    const int bits = name[1] - '0';
    if (rest == "16" || rest == "8" || rest == "4") {
      if (bits == 8 && rest != "16") return integers(8, true, Strategy::channel);
      WeightScheme scheme =
          bits == 8 ? integers(8, true, Strategy::channel) : integers(bits, true, Strategy::group, 128);
      scheme.format = "pack-quantized";
      return scheme;
    }
    if (rest == "16_ASYM") return integers(bits, false, Strategy::group, 128);
  }
  if (name == "INT8") return integers(8, true, Strategy::channel);
  if (name == "FP8") return floats("float-quantized", 8, Strategy::tensor);
  if (name == "FP8_DYNAMIC") return floats("float-quantized", 8, Strategy::channel);
  if (name == "FP8_BLOCK") return floats("float-quantized", 8, Strategy::block, 128, 128);
  if (name == "NVFP4" || name == "NVFP4A16") return floats("nvfp4-pack-quantized", 4, Strategy::group, 16);
  if (name == "MXFP4" || name == "MXFP4A16") return floats("mxfp4-pack-quantized", 4, Strategy::group, 32);
  return std::nullopt;
}

constexpr std::array<std::string_view, 5> known_formats{"pack-quantized", "int-quantized", "float-quantized",
                                                        "nvfp4-pack-quantized", "mxfp4-pack-quantized"};

/// Reads the arguments of weights; keys that decide nothing about the stored bytes are read over.
Status read_weights(const Json& json, const std::string& where, WeightScheme& scheme) {
  ObjectReader reader(json, where);
  scheme.bits = static_cast<int>(reader.integer("num_bits", 8));
  const std::string type = reader.text("type", "int");
  scheme.symmetric = reader.boolean("symmetric", true);
  const Json* strategy = reader.child("strategy");
  const Json* group_size = reader.child("group_size");
  const Json* block = reader.child("block_structure");
  const Json* order = reader.child("actorder");
  const Json* dynamic = reader.child("dynamic");
  for (const char* key : {"scale_dtype", "zp_dtype", "observer", "observer_kwargs"}) (void)reader.child(key);
  MCOMP_CHECK(reader.finish());
  const auto broken = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, where, rule, "check the quantization_config");
  };

  if (dynamic && !(dynamic->is_boolean() && !dynamic->get<bool>())) return broken("weights cannot be dynamic");
  if (type != "int" && type != "float") return broken(fmt::format("there is no type '{}'", type));
  scheme.kind = type == "int" ? WeightKind::integer : WeightKind::floating;
  if (group_size && !group_size->is_null()) {
    if (!group_size->is_number_integer()) return broken("group_size is no whole number");
    scheme.group_size = group_size->get<std::int64_t>();
    if (scheme.group_size == -1) scheme.group_size = 0;
    if (scheme.group_size < 0) return broken(fmt::format("group_size is {}", scheme.group_size));
  }
  // Without a strategy: groups where a size is given, else one scale for the tensor.
  std::string word = scheme.group_size > 0 ? "group" : group_size && !group_size->is_null() ? "channel" : "tensor";
  if (strategy && strategy->is_string()) word = strategy->get<std::string>();
  if (word == "tensor")
    scheme.strategy = Strategy::tensor;
  else if (word == "channel")
    scheme.strategy = Strategy::channel;
  else if (word == "group" || word == "tensor_group")
    scheme.strategy = Strategy::group;
  else if (word == "block")
    scheme.strategy = Strategy::block;
  else
    return unsupported(where + ": strategy", fmt::format("weights with the strategy '{}' are not read", word));
  if (scheme.strategy == Strategy::group && scheme.group_size == 0) return broken("groups have no group_size");
  if (scheme.strategy == Strategy::block) {
    if (!block || !block->is_array() || block->size() != 2 || !(*block)[0].is_number_integer() ||
        !(*block)[1].is_number_integer())
      return broken("block_structure is no pair of whole numbers");
    scheme.block_rows = (*block)[0].get<std::int64_t>();
    scheme.group_size = (*block)[1].get<std::int64_t>();
    if (scheme.block_rows < 1 || scheme.group_size < 1) return broken("block_structure is not positive");
  }
  if (order && order->is_string()) {
    const std::string value = order->get<std::string>();
    if (value != "group" && value != "weight" && value != "dynamic" && value != "static")
      return broken(fmt::format("there is no actorder '{}'", value));
    scheme.activation_order = value == "group" || value == "dynamic";
  }
  return {};
}

Result<WeightScheme> read_scheme(const Json& json, const std::string& where, const std::string& format) {
  ObjectReader reader(json, where);
  WeightScheme scheme;
  scheme.format = format;
  scheme.targets = reader.texts("targets");
  const Json* weights = reader.child("weights");
  const Json* own_format = reader.child("format");
  for (const char* key : {"input_activations", "output_activations"}) (void)reader.child(key);
  MCOMP_CHECK(reader.finish());
  if (own_format && own_format->is_string()) scheme.format = own_format->get<std::string>();
  if (!weights || weights->is_null()) return unsupported(where, "it does not quantize weights");
  MCOMP_CHECK(read_weights(*weights, where + ": weights", scheme));
  return scheme;
}

Status check_scheme(const WeightScheme& s, const std::string& where) {
  const auto broken = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, where, rule, "check the quantization_config");
  };
  if (std::find(known_formats.begin(), known_formats.end(), s.format) == known_formats.end())
    return unsupported(where + ": format", fmt::format("the format '{}' is not read", s.format));
  const bool integer = s.format == "pack-quantized" || s.format == "int-quantized";
  if (integer != (s.kind == WeightKind::integer)) return broken(fmt::format("{} holds other weights", s.format));
  if (s.format == "pack-quantized" && (s.bits < 1 || s.bits > 8))
    return broken(fmt::format("integers of {} bits", s.bits));
  if ((s.format == "int-quantized" || s.format == "float-quantized") && s.bits != 8)
    return unsupported(where, fmt::format("{} weights of {} bits are not read", s.format, s.bits));
  if (!integer && !s.symmetric) return broken("floating-point weights have no zero points");
  const std::int64_t group = s.format == "nvfp4-pack-quantized" ? 16 : s.format == "mxfp4-pack-quantized" ? 32 : 0;
  if (group != 0 && (s.bits != 4 || s.strategy != Strategy::group || s.group_size != group))
    return broken(fmt::format("{} has groups of {} four-bit weights", s.format, group));
  if (s.activation_order && s.strategy != Strategy::group) return broken("actorder needs groups");
  return {};
}

} // namespace

Result<std::vector<WeightScheme>> read_config(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  if (!json.is_object())
    return Error(ErrorCode::corrupt, subject, "it is no JSON object", "pass the quantization_config");
  const auto get_text = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : std::string();
  };
  if (get_text("quant_method") != "compressed-tensors")
    return unsupported(subject + ": quant_method", fmt::format("'{}' is another method", get_text("quant_method")));
  for (const char* key : {"sparsity_config", "transform_config"})
    if (json.contains(key) && !json[key].is_null() && !(json[key].is_object() && json[key].empty()))
      return unsupported(subject + ": " + key, "sparsity and transforms are not read");
  if (!json.contains("config_groups") || !json["config_groups"].is_object())
    return Error(ErrorCode::corrupt, subject + ": config_groups", "there are none", "check the quantization_config");
  const std::string format = get_text("format");
  std::vector<WeightScheme> schemes;
  for (const auto& [name, value] : json["config_groups"].items()) {
    const std::string where = subject + ": config_groups: " + name;
    WeightScheme scheme;
    if (value.is_array()) {
      const std::optional<WeightScheme> known = preset(name);
      if (!known) return unsupported(where, "there is no scheme of this name");
      scheme = *known;
      for (const auto& target : value) {
        if (!target.is_string()) return Error(ErrorCode::corrupt, where, "a target is no text", "name layers");
        scheme.targets.push_back(target.get<std::string>());
      }
    } else {
      MCOMP_TRY(read, read_scheme(value, where, format));
      scheme = std::move(read);
    }
    MCOMP_CHECK(check_scheme(scheme, where));
    schemes.push_back(std::move(scheme));
  }
  return schemes;
}

Result<bool> matches(const std::string& target, const std::string& layer, const std::string& subject) {
  if (target == "Linear" || target == layer) return true;
  if (!target.starts_with("re:")) return false;
  MCOMP_TRY(pattern, NamePattern::parse(std::string_view(target).substr(3), subject));
  return pattern.matches(layer);
}

} // namespace mcomp::inline v0::io::detail
