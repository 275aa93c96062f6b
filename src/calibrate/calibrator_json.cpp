// Calibrators as JSON: what is needed to apply them, and nothing else.

#include "calibrate/calibrator_state.hpp"
#include "core/json.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate {

namespace {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

constexpr const char* format_name = "mcomp.calibrator";
constexpr std::int64_t version = 1;
constexpr std::int64_t most_classes = 1 << 24;

const char* name_of(ProbabilityMap::Kind kind) {
  return kind == ProbabilityMap::Kind::logistic ? "logistic"
         : kind == ProbabilityMap::Kind::linear ? "linear"
                                                : "constant";
}

Json written(std::monostate) {
  return Json::object();
}
Json written(double temperature) {
  return {{"temperature", temperature}};
}
Json written(const SliceTemperatures& scaling) {
  Json slices = Json::array();
  for (const SliceTemperature& slice : scaling.slices)
    slices.push_back({{"slice", slice.slice},
                      {"count", slice.count},
                      {"temperature", slice.temperature},
                      {"observed", slice.observed},
                      {"standard_error", slice.standard_error}});
  return {{"temperature", scaling.temperature}, {"tau", scaling.tau}, {"slices", std::move(slices)}};
}
Json written(const VectorScaling& scaling) {
  return {{"weights", scaling.weights}, {"biases", scaling.biases}};
}
Json written(const MatrixScaling& scaling) {
  return {{"weights", scaling.weights}, {"biases", scaling.biases}};
}
Json written(const ReducedMaps& reduced) {
  Json maps = Json::array();
  for (const ProbabilityMap& map : reduced.maps) {
    Json entry{{"kind", name_of(map.kind)}, {"least", map.least}, {"most", map.most}};
    if (map.kind == ProbabilityMap::Kind::logistic)
      entry["a"] = map.a, entry["b"] = map.b, entry["c"] = map.c;
    else
      entry["x"] = map.x, entry["y"] = map.y;
    maps.push_back(std::move(entry));
  }
  return {{"reduction", to_string(reduced.reduction)}, {"maps", std::move(maps)}};
}
Json written(const CalibrationHead& head) {
  return {{"features", head.features},
          {"hidden", head.hidden},
          {"on_logits", head.on_logits},
          {"mean", head.mean},
          {"scale", head.scale},
          {"base", head.base},
          {"weights", head.weights},
          {"biases", head.biases},
          {"hidden_weights", head.hidden_weights},
          {"hidden_biases", head.hidden_biases}};
}

Result<SliceTemperatures> read_slices(ObjectReader& object, const std::string& where) {
  SliceTemperatures scaling{.temperature = object.number("temperature"), .tau = object.number("tau")};
  for (const Json& entry : object.array("slices")) {
    ObjectReader slice(entry, where + ": slices");
    const std::int64_t number = slice.integer("slice");
    if (number < 0 || number > std::numeric_limits<std::int32_t>::max())
      slice.fail("slice", "it is no number of a slice", "take 0 .. 2^31 - 1");
    scaling.slices.push_back({.slice = static_cast<std::int32_t>(number),
                              .count = slice.integer("count"),
                              .temperature = slice.number("temperature"),
                              .observed = slice.number("observed"),
                              .standard_error = slice.number("standard_error")});
    MCOMP_CHECK(slice.finish());
  }
  return scaling;
}

Result<ReducedMaps> read_maps(ObjectReader& object, const std::string& where) {
  ReducedMaps reduced;
  const std::string reduction = object.text("reduction");
  bool known = false;
  for (const Reduction candidate : {Reduction::binary, Reduction::one_vs_rest, Reduction::top_label})
    if (reduction == to_string(candidate)) reduced.reduction = candidate, known = true;
  if (!known) object.fail("reduction", "it is none", "take binary, one_vs_rest or top_label");
  for (const Json& entry : object.array("maps")) {
    ObjectReader reader(entry, where + ": maps");
    ProbabilityMap map{.least = reader.number("least"), .most = reader.number("most")};
    const std::string kind = reader.text("kind");
    if (kind == "logistic") {
      map.a = reader.number("a"), map.b = reader.number("b"), map.c = reader.number("c");
    } else {
      map.kind = kind == "linear" ? ProbabilityMap::Kind::linear : ProbabilityMap::Kind::constant;
      if (kind != "linear" && kind != "constant")
        reader.fail("kind", "it is none", "take logistic, linear or constant");
      map.x = reader.numbers("x"), map.y = reader.numbers("y");
    }
    MCOMP_CHECK(reader.finish());
    reduced.maps.push_back(std::move(map));
  }
  return reduced;
}

} // namespace

std::string Calibrator::to_json() const {
  Json json{{"format", format_name},
            {"version", version},
            {"method", to_string(state_->method)},
            {"classes", state_->classes},
            {"parameters", std::visit([](const auto& parameters) { return written(parameters); }, state_->parameters)}};
  return json.dump(1) + "\n";
}

Result<Calibrator> Calibrator::from_json(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  if (object.text("format") != format_name) object.fail("format", "it is no calibrator", "pass what to_json wrote");
  if (const std::int64_t found = object.integer("version"); found > version)
    object.fail(Error(ErrorCode::version_mismatch, subject, fmt::format("version {}, known is {}", found, version),
                      "read it with a later version of mcomp"));
  const std::string method_name = object.text("method");
  const std::int64_t classes = object.integer("classes");
  if (classes < 0 || classes > most_classes) object.fail("classes", "it is out of range", "pass what to_json wrote");
  const Json* const parameters = object.child("parameters");
  if (!parameters) object.fail("parameters", "it is missing", "pass what to_json wrote");
  MCOMP_CHECK(object.finish());
  const auto method = method_from_string(method_name);
  if (!method) return method.error().within(subject);

  const std::string where = subject + ": parameters";
  ObjectReader reader(*parameters, where);
  const auto corrupt = [&](Result<Calibrator> calibrator) -> Result<Calibrator> {
    if (!calibrator) return Error(ErrorCode::corrupt, where, calibrator.error().rule(), "pass what to_json wrote");
    if (calibrator->classes() != classes)
      return Error(ErrorCode::corrupt, subject,
                   fmt::format("parameters of {} classes, and classes is {}", calibrator->classes(), classes),
                   "pass what to_json wrote");
    return calibrator;
  };
  switch (*method) {
  case Method::identity:
    MCOMP_CHECK(reader.finish());
    return corrupt(Calibrator());
  case Method::temperature: {
    const TemperatureScaling scaling{.temperature = reader.number("temperature")};
    MCOMP_CHECK(reader.finish());
    return corrupt(of(scaling));
  }
  case Method::slice_temperature: {
    MCOMP_TRY(scaling, read_slices(reader, where));
    MCOMP_CHECK(reader.finish());
    return corrupt(of(std::move(scaling)));
  }
  case Method::vector: {
    VectorScaling scaling{.weights = reader.numbers("weights"), .biases = reader.numbers("biases")};
    MCOMP_CHECK(reader.finish());
    return corrupt(of(std::move(scaling)));
  }
  case Method::matrix:
  case Method::dirichlet: {
    MatrixScaling scaling{.classes = classes,
                          .weights = reader.numbers("weights"),
                          .biases = reader.numbers("biases"),
                          .dirichlet = *method == Method::dirichlet};
    MCOMP_CHECK(reader.finish());
    return corrupt(of(std::move(scaling)));
  }
  case Method::head: {
    CalibrationHead head{.features = reader.integer("features"),
                         .hidden = reader.integer("hidden"),
                         .classes = classes,
                         .on_logits = reader.boolean("on_logits", false),
                         .mean = reader.numbers("mean"),
                         .scale = reader.numbers("scale"),
                         .base = reader.number("base"),
                         .hidden_weights = reader.numbers("hidden_weights"),
                         .hidden_biases = reader.numbers("hidden_biases"),
                         .weights = reader.numbers("weights"),
                         .biases = reader.numbers("biases")};
    MCOMP_CHECK(reader.finish());
    return corrupt(of(std::move(head)));
  }
  default:
    break;
  }
  MCOMP_TRY(maps, read_maps(reader, where));
  MCOMP_CHECK(reader.finish());
  return corrupt(of(*method, std::move(maps), classes));
}

} // namespace mcomp::inline v0::calibrate
