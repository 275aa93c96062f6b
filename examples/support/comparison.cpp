#include "comparison.hpp"

#include <fmt/format.h>

#include "mcomp/core/file.hpp"

namespace example {

using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
namespace evaluate = mcomp::evaluate;

void add_comparison_options(CLI::App& app, ComparisonOptions& options) {
  app.add_option("--logits", options.names.logits, "Tensor of both files that holds logits (default: 'logits')");
  app.add_option("--probabilities", options.names.probabilities,
                 "Tensor of both files that holds probabilities (default: 'probabilities')");
  app.add_option("--candidate-logits", options.candidate_logits,
                 "The same of the candidate, where it has another name");
  app.add_option("--candidate-probabilities", options.candidate_probabilities,
                 "The same of the candidate, where it has another name");
  app.add_option("--labels", options.names.labels, "Tensor that holds the labels")->capture_default_str();
  app.add_option("--slices", options.names.slices, "Tensor that holds the slices, where there is one")
      ->capture_default_str();
  app.add_option("--baseline-temperature", options.baseline_temperature, "Divides the baseline's logits")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--candidate-temperature", options.candidate_temperature, "Divides the candidate's logits")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--cross", options.cross,
                 "Two dimensions of slices, as 'region,cohort', whose intersections are slices too");
  app.add_option("--suite", options.suite, "Name of the rows, for the record")->capture_default_str();
  app.add_option("--exemplars", options.compare.exemplars, "Rows to list that were right and are wrong")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000000));
  app.add_option("--resamples", options.compare.resamples, "Of the bootstrap behind intervals")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000000));
  app.add_option("--seed", options.compare.seed, "Of the bootstrap")->capture_default_str();
  app.add_option("--fairness", options.compare.fairness_dimensions,
                 "Dimensions whose groups are compared with each other (default: all)");
  app.add_option("--positive-class", options.compare.positive_class,
                 "The class that fairness is about (default: the worst of all)");
}

Result<evaluate::Evaluation> compare_recorded(const ComparisonOptions& options, const evaluate::Criteria& criteria) {
  const auto read = [](const std::string& text, const char* option, const TensorNames& names) -> Result<Rows> {
    const auto source = row_source(text, option);
    if (!source) return source.error();
    return read_rows(*source, names);
  };
  TensorNames candidate_names = options.names;
  if (!options.candidate_logits.empty() || !options.candidate_probabilities.empty()) {
    candidate_names.logits = options.candidate_logits;
    candidate_names.probabilities = options.candidate_probabilities;
  }
  auto baseline = read(options.baseline, "--baseline", options.names);
  if (!baseline) return baseline.error();
  auto candidate = read(options.candidate, "--candidate", candidate_names);
  if (!candidate) return candidate.error();
  if (baseline->labels != candidate->labels)
    return Error(ErrorCode::invalid_value, options.candidate + ": labels",
                 fmt::format("they are not those of {}: {} rows there, {} here", options.baseline, baseline->count(),
                             candidate->count()),
                 "record both models on the same rows in the same order");
  if (!candidate->slices.empty() && !baseline->slices.empty() && candidate->slices != baseline->slices)
    return Error(ErrorCode::invalid_value, options.candidate + ": slices",
                 fmt::format("they are not those of {}", options.baseline), "record the same slices with both models");
  const auto before = scores_of(*baseline, options.baseline_temperature);
  if (!before) return before.error().within(options.baseline);
  const auto after = scores_of(*candidate, options.candidate_temperature);
  if (!after) return after.error().within(options.candidate);
  evaluate::SuiteParts parts{.name = options.suite,
                             .version = {},
                             .inputs = {},
                             .labels = std::move(baseline->labels),
                             .slicings = baseline->slices.empty() ? candidate->slices : baseline->slices,
                             .versions = {}};
  for (const std::string& cross : options.cross) {
    const auto comma = cross.find(',');
    const evaluate::Slicing* sides[2] = {nullptr, nullptr};
    for (const auto& slicing : parts.slicings)
      for (int s = 0; s < 2; ++s)
        if (comma != std::string::npos &&
            slicing.dimension == (s == 0 ? cross.substr(0, comma) : cross.substr(comma + 1)))
          sides[s] = &slicing;
    if (!sides[0] || !sides[1])
      return Error(ErrorCode::not_found, "--cross " + cross, "these are no two dimensions of the slices in the file",
                   "name two of them, separated by a comma");
    auto both = evaluate::intersect(*sides[0], *sides[1]);
    if (!both) return both.error();
    parts.slicings.push_back(std::move(*both));
  }
  const auto suite = evaluate::Suite::freeze(std::move(parts));
  if (!suite) return suite.error();
  auto evaluation = evaluate::compare_scores(*before, *after, *suite, criteria, options.compare);
  if (!evaluation) return evaluation.error();
  evaluation->baseline = options.baseline;
  evaluation->candidate = options.candidate;
  return evaluation;
}

Result<evaluate::Criteria> read_criteria(const std::filesystem::path& path) {
  const auto text = mcomp::read_file(path);
  if (!text) return text.error();
  return evaluate::criteria_from_json(*text, path.string());
}

mcomp::Status write_evaluation(const std::filesystem::path& folder, const evaluate::Evaluation& evaluation) {
  for (const auto& [name, text] :
       {std::pair("evaluation.json", to_json(evaluation)), std::pair("summary.md", to_markdown(evaluation)),
        std::pair("junit.xml", to_junit_xml(evaluation))})
    if (const auto written = mcomp::write_file(folder / name, text); !written) return written.error();
  return {};
}

ExitStatus report_evaluation(Report& report, const evaluate::Evaluation& evaluation) {
  report.say("evaluation", Report::Json::parse(to_json(evaluation)), to_string(evaluation));
  switch (evaluation.verdict.outcome) {
  case evaluate::Outcome::pass:
    return ExitStatus::done;
  case evaluate::Outcome::fail:
    return ExitStatus::rejected;
  case evaluate::Outcome::insufficient_data:
    return ExitStatus::undecided;
  }
  return ExitStatus::undecided;
}

} // namespace example
