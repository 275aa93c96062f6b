#include "compress/strategies/builtin.hpp"
#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::ObjectReader;

namespace {

Result<bool> read_held_out(const std::string& options) {
  MCOMP_TRY(json, mcomp::detail::parse_json(options, "calibrate_temperature"));
  ObjectReader reader(json, "calibrate_temperature");
  const bool held_out = reader.boolean("held_out", false);
  MCOMP_CHECK(reader.finish());
  return held_out;
}

class CalibrateTemperature final : public Strategy {
 public:
  std::string name() const override { return "calibrate_temperature"; }
  Status check(const std::string& options) const override {
    if (auto held_out = read_held_out(options); !held_out) return held_out.error();
    return {};
  }
  StepKind kind() const override { return StepKind::confidence; }
  Status check_place(const StepPlace& place) const override {
    MCOMP_CHECK(require_images(name(), place.model, "calibrate classifiers"));
    return require_samples(name(), place.bench, "fit the temperature on");
  }

  Result<Decision> decide(const Model& model, const std::string& options, const Workbench& bench) const override {
    MCOMP_TRY(held_out, read_held_out(options));
    MCOMP_CHECK(require_images(name(), model, "calibrate classifiers"));
    MCOMP_CHECK(require_samples(name(), bench, "fit the temperature on"));
    MCOMP_TRY(rows, labelled_logits(name(), model, bench, "fitting the temperature"));
    MCOMP_TRY(fit, calibrate::fit_temperature(rows.logits, rows.labels));
    const std::string found = fmt::format("{} on {}", fit, rows.samples());
    mcomp::detail::Json parameters = mcomp::detail::Json::object();
    PlanEntry entry{"temperature", "left as it is", found, 0, 0, std::nullopt, std::nullopt};
    // A limit is no temperature: such samples say nothing about confidence, and the plan says that instead.
    if (fit.interior() && (held_out || fit.temperature >= 1)) {
      parameters["temperature"] = fit.temperature;
      entry.action = fmt::format("{:.4f}", fit.temperature);
    } else if (fit.interior()) {
      entry.reason +=
          "; more confidence is not taken from samples that the network may have been trained on (held_out)";
    }
    return Decision{name(), options, parameters.dump(), {std::move(entry)}};
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    MCOMP_TRY(json, mcomp::detail::parse_json(decision.parameters, name()));
    ObjectReader reader(json, name());
    Model result = model;
    if (reader.has("temperature")) {
      result.temperature = reader.number("temperature");
      result.calibrator.reset();
    }
    MCOMP_CHECK(reader.finish());
    if (result.temperature && !(*result.temperature > 0))
      return Error(ErrorCode::corrupt, name(), fmt::format("temperature {}", *result.temperature), "plan again");
    return result;
  }
};

} // namespace

std::unique_ptr<Strategy> make_calibrate_temperature() {
  return std::make_unique<CalibrateTemperature>();
}

} // namespace mcomp::inline v0::compress::detail
