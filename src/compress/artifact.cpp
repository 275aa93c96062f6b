#include "mcomp/compress/artifact.hpp"

#include "compress/strategies/builtin.hpp"
#include "compress/weight_storage.hpp"
#include "core/json.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"
#include "mcomp/core/version.hpp"
#include "mcomp/io/safetensors.hpp"

namespace mcomp::inline v0::compress {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

namespace {

constexpr const char *schema = "mcomp-artifact-1", *weight_only_schema = "mcomp-artifact-2",
                     *calibrated_schema = "mcomp-artifact-3";
constexpr const char* weights_file = "model.safetensors";
constexpr const char* manifest_file = "manifest.json";
constexpr const char* scale_suffix = ".scale";

/// The weight tensor of a layer by its name; null where there is none.
const std::string* weight_name(const graph::Network& network, const std::string& layer) {
  const graph::Layer* found = network.find(layer);
  return found ? graph::weight_names(found->operation).weight : nullptr;
}

Error bad_layer(const std::string& layer) {
  return {ErrorCode::corrupt, fmt::format("quantization of layer '{}'", layer),
          "the network has no such layer with weights", "write the artifact anew"};
}

/// Codes as the file holds them: below eight bits without gaps.
Result<Tensor> stored_codes(const quant::QuantizedTensor& q) {
  MCOMP_TRY(packed, quant::pack_codes(q));
  if (bit_width(packed.dtype()) == 8) return std::move(packed);
  const TensorView bytes(packed.data(), DType::uint8, {packed.bytes()});
  return Tensor::copy_of(bytes);
}

/// @param entries what gives the weight-only tensors their meaning
Result<TensorStore> stored_tensors(const Model& model, Json& entries) {
  TensorStore store;
  std::map<std::string, const quant::QuantizedTensor*> quantized;
  for (const auto& [layer, q] : model.quantization.weights) {
    const std::string* name = weight_name(model.network, layer);
    if (!name) return bad_layer(layer);
    if (!q.scheme.symmetric)
      return Error(ErrorCode::unsupported, fmt::format("layer '{}'", layer), "artifacts hold symmetric weights",
                   "quantize symmetrically");
    quantized[*name] = &q;
  }
  for (const std::string& name : graph::tensor_names(model.network)) {
    if (const auto found = quantized.find(name); found != quantized.end()) {
      MCOMP_TRY(codes, stored_codes(*found->second));
      store.put(name, std::move(codes));
      store.put(name + scale_suffix, found->second->scales);
    } else if (const auto weight = model.quantized.find(name); weight != model.quantized.end()) {
      MCOMP_TRY(entry, detail::put_weight(store, name, weight->second));
      entries[name] = std::move(entry);
    } else {
      MCOMP_TRY(view, model.weights.find(name));
      MCOMP_TRY(copy, Tensor::copy_of(view));
      store.put(name, std::move(copy));
    }
  }
  return store;
}

Json quantization_to_json(const quant::NetworkQuantization& quantization) {
  Json json{{"weights", Json::object()}, {"activations", Json::object()}};
  for (const auto& [layer, q] : quantization.weights)
    json["weights"][layer] = {
        {"dtype", to_string(q.scheme.dtype)},
        {"granularity", q.scheme.granularity == quant::Granularity::per_tensor ? "per_tensor" : "per_channel"},
        {"shape", q.shape().sizes()}};
  for (const auto& [value, p] : quantization.activations) json["activations"][value] = detail::to_json_value(p);
  return json;
}

/// One layer's codes and scales out of the file, checked against the manifest.
Result<quant::QuantizedTensor> read_weights(const Json& entry, const std::string& where, const std::string& name,
                                            const TensorStore& tensors) {
  ObjectReader reader(entry, where);
  quant::QuantizedTensor q;
  const std::string dtype = reader.text("dtype"), granularity = reader.text("granularity");
  const Shape shape(reader.integers("shape"));
  const auto type = dtype_from_string(dtype);
  if (!type || !is_signed_integer(*type) || bit_width(*type) > 8)
    reader.fail("dtype", fmt::format("'{}'", dtype), "artifacts hold int2 ... int8");
  if (granularity != "per_tensor" && granularity != "per_channel")
    reader.fail("granularity", fmt::format("'{}'", granularity), "use per_tensor or per_channel");
  MCOMP_CHECK(reader.finish());
  MCOMP_CHECK(byte_size(DType::int8, shape, where).has_value() ? Status()
                                                               : byte_size(DType::int8, shape, where).error());
  q.scheme.dtype = *type;
  q.scheme.granularity = granularity == "per_tensor" ? quant::Granularity::per_tensor : quant::Granularity::per_channel;
  MCOMP_TRY(codes, tensors.find(name));
  MCOMP_TRY(scales, tensors.find(name + scale_suffix));
  const auto refuse = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, fmt::format("tensor '{}'", name), rule, "write the artifact anew");
  };
  if (const std::int64_t bits = bit_width(q.scheme.dtype); bits < 8) {
    if (codes.dtype() != DType::uint8 || codes.elements() != (shape.elements() * bits + 7) / 8)
      return refuse("packed codes do not fit the shape in the manifest");
    MCOMP_TRY(unpacked, quant::unpack_codes(TensorView(codes.data(), q.scheme.dtype, shape)));
    q.codes = std::move(unpacked);
  } else {
    if (codes.dtype() != DType::int8 || codes.shape() != shape)
      return refuse(fmt::format("{} is not int8 {}", codes, shape));
    MCOMP_TRY(copy, Tensor::copy_of(codes));
    q.codes = std::move(copy);
  }
  const std::int64_t rows = q.scheme.granularity == quant::Granularity::per_tensor || shape.rank() == 0 ? 1 : shape[0];
  if (scales.dtype() != DType::f32 || scales.shape() != Shape{rows, 1})
    return refuse(fmt::format("scales {} are not f32 [{}, 1]", scales, rows));
  MCOMP_TRY(scale_copy, Tensor::copy_of(scales));
  MCOMP_TRY(zeros, Tensor::zeros(DType::int32, {rows, 1}));
  q.scales = std::move(scale_copy);
  q.zero_points = std::move(zeros);
  return q;
}

Result<quant::NetworkQuantization> read_quantization(const Json& json, const std::string& where,
                                                     const graph::Network& network, const TensorStore& tensors) {
  ObjectReader reader(json, where);
  const Json *weights = reader.child("weights"), *activations = reader.child("activations");
  MCOMP_CHECK(reader.finish());
  if (!weights || !weights->is_object() || !activations || !activations->is_object())
    return Error(ErrorCode::corrupt, where, "objects 'weights' and 'activations' are needed",
                 "write the artifact anew");
  quant::NetworkQuantization result;
  for (const auto& [layer, entry] : weights->items()) {
    const std::string* name = weight_name(network, layer);
    if (!name) return bad_layer(layer);
    MCOMP_TRY(q, read_weights(entry, where + ": " + layer, *name, tensors));
    result.weights.emplace(layer, std::move(q));
  }
  for (const auto& [value, entry] : activations->items()) {
    MCOMP_TRY(p, detail::parameters_from_json(entry, where + ": " + value));
    result.activations.emplace(value, p);
  }
  return result;
}

} // namespace

Status write_artifact(const std::filesystem::path& folder, const Model& model, const Recipe& recipe, const Plan& plan) {
  Json quantized = Json::object();
  MCOMP_TRY(tensors, stored_tensors(model, quantized));
  // The least schema that has it all, so that older readers read what they can.
  const char* written_schema = model.calibrator ? calibrated_schema : quantized.empty() ? schema : weight_only_schema;
  MCOMP_CHECK(
      io::write_safetensors(folder / weights_file, tensors, {{"format", written_schema}, {"recipe", recipe.name}}));
  MCOMP_TRY(written, MappedFile::open(folder / weights_file));
  Sha256 hash;
  hash.update(written->bytes());
  Json manifest{{"schema", written_schema},
                {"library_version", MCOMP_VERSION_STRING},
                {"weights_sha256", to_hex(hash.finish())},
                {"network", Json::parse(graph::to_json(model.network))},
                {"quantization", quantization_to_json(model.quantization)}};
  if (!quantized.empty()) manifest["quantized"] = std::move(quantized);
  if (model.temperature) manifest["temperature"] = *model.temperature;
  if (model.calibrator) manifest["calibrator"] = Json::parse(model.calibrator->to_json(), nullptr, false);
  manifest["recipe"] = Json::parse(to_json(recipe));
  manifest["plan"] = Json::parse(to_json(plan));
  return write_file(folder / manifest_file, manifest.dump(1) + "\n");
}

Result<Artifact> read_artifact(const std::filesystem::path& folder) {
  constexpr std::int64_t largest = 256 << 20;
  const std::string subject = (folder / manifest_file).string();
  MCOMP_TRY(text, read_file(folder / manifest_file, largest));
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader reader(json, subject);
  const std::string found_schema = reader.text("schema");
  if (found_schema != schema && found_schema != weight_only_schema && found_schema != calibrated_schema)
    return Error(ErrorCode::version_mismatch, subject + ": schema",
                 fmt::format("'{}' is neither '{}' nor '{}' nor '{}'", found_schema, schema, weight_only_schema,
                             calibrated_schema),
                 "read it with the version that wrote it");
  const Json* quantized = found_schema == schema ? nullptr : reader.child("quantized");
  const Json* calibrator = found_schema == calibrated_schema ? reader.child("calibrator") : nullptr;
  Artifact artifact;
  artifact.library_version = reader.text("library_version");
  const std::string expected = reader.text("weights_sha256");
  const Json *network = reader.child("network"), *quantization = reader.child("quantization"),
             *recipe = reader.child("recipe"), *plan = reader.child("plan");
  if (reader.has("temperature")) {
    artifact.model.temperature = reader.number("temperature");
    if (!(*artifact.model.temperature > 0))
      reader.fail("temperature", fmt::format("{}", *artifact.model.temperature), "give a positive number");
  }
  MCOMP_CHECK(reader.finish());
  if (!network || !quantization || !recipe || !plan)
    return Error(ErrorCode::corrupt, subject, "network, quantization, recipe and plan are needed",
                 "write the artifact anew");
  if (found_schema == calibrated_schema && !calibrator)
    return Error(ErrorCode::corrupt, subject + ": calibrator",
                 fmt::format("schema '{}' has one, and it is absent", found_schema), "write the artifact anew");
  if (calibrator) {
    MCOMP_TRY(read, calibrate::Calibrator::from_json(calibrator->dump(-1, ' ', false, Json::error_handler_t::replace),
                                                     subject + ": calibrator"));
    artifact.model.calibrator = read;
  }
  MCOMP_TRY(mapped, MappedFile::open(folder / weights_file));
  Sha256 hash;
  hash.update(mapped->bytes());
  if (const std::string found = to_hex(hash.finish()); found != expected)
    return Error(ErrorCode::corrupt, (folder / weights_file).string(),
                 fmt::format("its SHA-256 is {}, the manifest names {}", found, expected), "write the artifact anew");
  MCOMP_TRY(file, io::parse_safetensors(mapped->bytes(), mapped, (folder / weights_file).string()));
  MCOMP_TRY(parsed_network, graph::network_from_json(network->dump(), subject + ": network"));
  artifact.model.network = std::move(parsed_network);
  MCOMP_TRY(parsed_quantization,
            read_quantization(*quantization, subject + ": quantization", artifact.model.network, file.tensors));
  artifact.model.quantization = std::move(parsed_quantization);
  artifact.model.weights = std::move(file.tensors);
  for (const auto& [layer, q] : artifact.model.quantization.weights) {
    const std::string name = *weight_name(artifact.model.network, layer);
    artifact.model.weights.erase(name);
    artifact.model.weights.erase(name + scale_suffix);
  }
  if (quantized && !quantized->is_object())
    return Error(ErrorCode::corrupt, subject + ": quantized", "an object is needed", "write the artifact anew");
  if (quantized)
    for (const auto& [name, entry] : quantized->items()) {
      MCOMP_TRY(weight, detail::take_weight(artifact.model.weights, name, entry, subject + ": quantized: " + name));
      artifact.model.quantized.emplace(name, std::move(weight));
    }
  for (const auto& [name, weight] : artifact.model.quantized) detail::erase_weight(artifact.model.weights, name);
  MCOMP_TRY(parsed_recipe, Recipe::parse(recipe->dump(), subject + ": recipe"));
  MCOMP_TRY(parsed_plan, plan_from_json(plan->dump(), subject + ": plan"));
  artifact.recipe = std::move(parsed_recipe);
  artifact.plan = std::move(parsed_plan);
  MCOMP_CHECK(check(artifact.model)); // everything fits together
  return artifact;
}

} // namespace mcomp::inline v0::compress
