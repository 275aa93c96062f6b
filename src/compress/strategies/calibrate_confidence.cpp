#include "compress/strategies/builtin.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/selection.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::ObjectReader;

namespace {

struct Options {
  std::optional<calibrate::Method> method; ///< none: chosen by cross-validation
  bool held_out = false;
  int folds = 5;
  std::uint64_t seed = 1;
};

Result<Options> read(const std::string& text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "calibrate_confidence"));
  ObjectReader reader(json, "calibrate_confidence");
  Options options;
  const std::string method = reader.text("method", "select");
  options.held_out = reader.boolean("held_out", false);
  const std::int64_t folds = reader.integer("folds", options.folds), seed = reader.integer("seed", 1);
  if (folds < 2 || folds > 100) reader.fail("folds", fmt::format("it is {}", folds), "use 2 .. 100, such as 5");
  if (seed < 0) reader.fail("seed", fmt::format("it is {}", seed), "use a number that is not negative");
  MCOMP_CHECK(reader.finish());
  options.folds = static_cast<int>(folds);
  options.seed = static_cast<std::uint64_t>(seed);
  if (method != "select") {
    auto known = calibrate::method_from_string(method);
    if (!known) return known.error().within(reader.where("method"));
    if (*known == calibrate::Method::slice_temperature)
      return Error(ErrorCode::invalid_argument, reader.where("method"), "calibration samples have no slices here",
                   "fit it with calibrate::fit_calibrator, and set Model::calibrator");
    options.method = *known;
  }
  return options;
}

class CalibrateConfidence final : public Strategy {
 public:
  std::string name() const override { return "calibrate_confidence"; }
  Status check(const std::string& options) const override {
    if (auto parsed = read(options); !parsed) return parsed.error();
    return {};
  }
  StepKind kind() const override { return StepKind::confidence; }
  Status check_place(const StepPlace& place) const override {
    MCOMP_CHECK(require_images(name(), place.model, "calibrate classifiers"));
    return require_samples(name(), place.bench, "fit the calibrator on");
  }

  Result<Decision> decide(const Model& model, const std::string& text, const Workbench& bench) const override {
    MCOMP_TRY(options, read(text));
    MCOMP_CHECK(require_images(name(), model, "calibrate classifiers"));
    MCOMP_CHECK(require_samples(name(), bench, "fit the calibrator on"));
    MCOMP_TRY(rows, labelled_logits(name(), model, bench, "fitting the calibrator"));
    calibrate::CalibratorOptions fit{.folds = options.folds, .seed = options.seed, .executor = bench.context.executor};
    std::string how;
    calibrate::FittedCalibrator fitted;
    if (options.method) {
      MCOMP_TRY(asked, calibrate::fit_calibrator(*options.method, rows.logits, rows.labels, fit));
      how = fmt::format("{}", asked);
      fitted = std::move(asked);
    } else {
      MCOMP_TRY(selection, calibrate::select_calibrator(rows.logits, rows.labels,
                                                        {.folds = options.folds, .nested = false, .fit = fit}));
      for (const calibrate::CandidateScore& score : selection.candidates)
        if (score.refused.empty())
          how += fmt::format("{}{} {:.4f}", how.empty() ? "" : ", ", score.method, score.score);
      how = fmt::format("{}; NLL in {}-fold cross-validation: {}", selection.chosen.calibrator, options.folds, how);
      fitted = std::move(selection.chosen);
    }
    mcomp::detail::Json parameters = mcomp::detail::Json::object();
    PlanEntry entry{"confidence", "left as it is", fmt::format("{}, on {}", how, rows.samples()), 0, 0,
                    std::nullopt, std::nullopt};
    if (fitted.calibrator.method() == calibrate::Method::identity)
      return Decision{name(), text, parameters.dump(), {std::move(entry)}};
    // On what it was trained on, a network always seems to deserve more confidence.
    if (!options.held_out) {
      MCOMP_TRY(p, fitted.calibrator.probabilities(rows.logits));
      MCOMP_TRY(before, calibrate::measure_logits(rows.logits, rows.labels));
      MCOMP_TRY(after, calibrate::measure_probabilities(p, rows.labels));
      if (after.confidence > before.confidence) {
        entry.reason +=
            fmt::format("; it would raise the mean confidence from {:.4f} to {:.4f}, which is not taken from "
                        "samples that the network may have been trained on (held_out)",
                        before.confidence, after.confidence);
        return Decision{name(), text, parameters.dump(), {std::move(entry)}};
      }
    }
    entry.action = fmt::format("{}", fitted.calibrator);
    parameters["calibrator"] = mcomp::detail::Json::parse(fitted.calibrator.to_json(), nullptr, false);
    return Decision{name(), text, parameters.dump(), {std::move(entry)}};
  }

  Result<Model> apply(const Model& model, const Decision& decision) const override {
    MCOMP_TRY(json, mcomp::detail::parse_json(decision.parameters, name()));
    ObjectReader reader(json, name());
    Model result = model;
    if (const mcomp::detail::Json* text = reader.child("calibrator")) {
      MCOMP_TRY(calibrator, calibrate::Calibrator::from_json(text->dump(), name()));
      result.calibrator = calibrator;
      result.temperature.reset();
    }
    MCOMP_CHECK(reader.finish());
    return result;
  }
};

} // namespace

std::unique_ptr<Strategy> make_calibrate_confidence() {
  return std::make_unique<CalibrateConfidence>();
}

} // namespace mcomp::inline v0::compress::detail
