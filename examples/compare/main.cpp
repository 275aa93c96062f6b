// Compares what two models said about the same rows: accuracy, calibration, slices, fairness, and who got worse.

#include "comparison.hpp"

int main(int argc, char** argv) {
  example::Program program("compare", "Compares recorded outputs of a baseline and a candidate, row by row.",
                           "comparison-report");
  example::ComparisonOptions options;
  std::string criteria;
  double margin = 0.01, confidence = 0.95;
  CLI::App& app = program.options();
  app.add_option("--baseline", options.baseline,
                 "Outputs of the baseline (safetensors): FILE, or FILE:A-B for rows A to B")
      ->required();
  app.add_option("--candidate", options.candidate, "Outputs of the candidate on the same rows")->required();
  auto* given = app.add_option("--criteria", criteria, "Criteria (JSON), in place of a margin");
  app.add_option("--margin", margin, "Fraction of the rows by which accuracy may fall, in all rows and in every slice")
      ->capture_default_str()
      ->check(CLI::Range(1e-9, 0.999))
      ->excludes(given);
  app.add_option("--confidence", confidence, "Of the limits")
      ->capture_default_str()
      ->check(CLI::Range(0.5, 0.9999999))
      ->excludes(given);
  add_comparison_options(app, options);
  return program.run(argc, argv, [&](example::Report& report) -> mcomp::Result<example::ExitStatus> {
    mcomp::evaluate::Criteria demands{
        .max_accuracy_loss = margin, .confidence = confidence, .max_slice_accuracy_loss = margin};
    if (!criteria.empty()) {
      const auto read = example::read_criteria(criteria);
      if (!read) return read.error();
      demands = *read;
    }
    auto evaluation = example::compare_recorded(options, demands);
    if (!evaluation) return evaluation.error();
    if (evaluation->evidence.slices.empty() && criteria.empty()) { // no slices in the file: none are asked about
      demands.max_slice_accuracy_loss.reset();
      evaluation = judge_again(*std::move(evaluation), demands);
      if (!evaluation) return evaluation.error();
    }
    const auto test = mcomp::stats::mcnemar(*evaluation->evidence.accuracy);
    if (!test) return test.error();
    report.say("mcnemar",
               {{"statistic", test->statistic},
                {"p_value", test->p_value},
                {"corrected_statistic", test->corrected_statistic},
                {"corrected_p_value", test->corrected_p_value},
                {"exact_p_value", test->exact_p_value},
                {"mid_p_value", test->mid_p_value}},
               to_string(*test));
    if (const auto written = example::write_evaluation(program.out(), *evaluation); !written) return written.error();
    return example::report_evaluation(report, *evaluation);
  });
}
