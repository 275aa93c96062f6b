#include <cmath>

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
    MCOMP_TRY(labels, bench.calibration->labels());
    // Rows that set ranges would do, but others are one more step away from what was fitted.
    constexpr std::size_t enough = 100;
    const bool separate = bench.other_rows.size() >= enough;
    const std::vector<std::int64_t>& rows = separate ? bench.other_rows : bench.range_rows;
    MCOMP_TRY(runner, bench.runner(model));
    std::vector<float> logits;
    std::int64_t classes = 0;
    MCOMP_CHECK(run_rows(bench, *runner, rows, "fitting the temperature", {}, [&](const Tensor& output) -> Status {
      if (output.rank() != 2)
        return Error(ErrorCode::unsupported, name(),
                     fmt::format("the network gives {}, not [samples, classes]", output), "calibrate classifiers");
      MCOMP_TRY(values, output.values<float>("logits"));
      classes = output.size(1);
      logits.insert(logits.end(), values.begin(), values.end());
      return {};
    }));
    if (std::holds_alternative<graph::Softmax>(model.network.find(model.network.output)->operation))
      for (float& p : logits) p = std::log(p);
    std::vector<std::int32_t> chosen;
    for (const std::int64_t row : rows) chosen.push_back(labels[static_cast<std::size_t>(row)]);
    const auto count = static_cast<std::int64_t>(rows.size());
    MCOMP_TRY(logits_view, TensorView::of(std::span<const float>(logits), {count, classes}));
    MCOMP_TRY(labels_view, TensorView::of(std::span<const std::int32_t>(chosen), {count}));
    MCOMP_TRY(fit, calibrate::fit_temperature(logits_view, labels_view));
    const std::string found =
        fmt::format("{} on {} calibration samples{}", fit, count, separate ? "" : " that also set ranges");
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
    if (reader.has("temperature")) result.temperature = reader.number("temperature");
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
