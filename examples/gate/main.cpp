// A gate for continuous integration: criteria and an evaluation in, an exit status out; 0 pass, 3 fail, 4 too few data.

#include "comparison.hpp"
#include "mcomp/core/file.hpp"

int main(int argc, char** argv) {
  example::Program program("gate", "Judges an evaluation, or the recorded outputs of two models, by criteria.",
                           "gate-report");
  example::ComparisonOptions options;
  std::string criteria, evaluation_file;
  CLI::App& app = program.options();
  app.add_option("--criteria", criteria, "Criteria (JSON)")->required();
  auto* evaluation_option = app.add_option("--evaluation", evaluation_file, "An evaluation (JSON)");
  auto* baseline = app.add_option("--baseline", options.baseline,
                                  "Without an evaluation: outputs of the baseline (safetensors), FILE or FILE:A-B")
                       ->excludes(evaluation_option);
  auto* candidate = app.add_option("--candidate", options.candidate, "Outputs of the candidate on the same rows")
                        ->excludes(evaluation_option);
  baseline->needs(candidate);
  candidate->needs(baseline);
  add_comparison_options(app, options);
  return program.run(argc, argv, [&](example::Report& report) -> mcomp::Result<example::ExitStatus> {
    if (evaluation_file.empty() && options.baseline.empty())
      return mcomp::Error(mcomp::ErrorCode::invalid_argument, "--evaluation", "there is nothing to judge",
                          "give an evaluation, or --baseline and --candidate");
    const auto demands = example::read_criteria(criteria);
    if (!demands) return demands.error();
    auto evaluation = [&]() -> mcomp::Result<mcomp::evaluate::Evaluation> {
      if (evaluation_file.empty()) return example::compare_recorded(options, *demands);
      const auto text = mcomp::read_file(evaluation_file);
      if (!text) return text.error();
      auto read = mcomp::evaluate::evaluation_from_json(*text, evaluation_file);
      if (!read) return read.error();
      return judge_again(*std::move(read), *demands);
    }();
    if (!evaluation) return evaluation.error();
    if (const auto written = example::write_evaluation(program.out(), *evaluation); !written) return written.error();
    return example::report_evaluation(report, *evaluation);
  });
}
