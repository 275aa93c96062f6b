#pragma once

// A report that people read, from the records of the other rooms: one HTML file without script or network, light and
// dark, for the keyboard and the screen reader, and the same data as JSON. Three front pages look at it: for those who
// build models, those who run them, and those who answer for the product. All parts are optional; report/sections.hpp
// makes them from records.
//
//     report::Report all{.title = "w4a8 in production", .subject = "classifier", .time = now};
//     all.slices = report::slice_section(evaluation).value(), all.cost = report::cost_section(forecast);
//     write_file("report.html", report::to_html(all)).value();
//
// Nothing is computed here that another room has not said: sections hold its numbers, and only their order, their
// differences and which of them lie on a Pareto front are found out. Numbers that are not finite are "not known".

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/report/chart.hpp"
#include "mcomp/report/playbook.hpp"
#include "mcomp/report/review.hpp"

namespace mcomp::inline v0::report {

/// What is measured, and how it is shown.
struct Measure {
  std::string name;    ///< key of a trial's metrics, where it is one
  std::string label{}; ///< for people; empty: the name
  std::string unit{};
  bool higher_better = true;
  std::optional<double> limit{}; ///< that a criterion names
  friend bool operator==(const Measure&, const Measure&) = default;
};

struct VerdictSection {
  struct Check {
    std::string name, outcome, sentence; ///< outcome: "pass", "fail", "insufficient_data"
    friend bool operator==(const Check&, const Check&) = default;
  };
  std::string baseline{}, candidate{}, suite{};
  std::int64_t rows = 0;
  std::string outcome = "insufficient_data";
  std::vector<Check> checks{};
  friend bool operator==(const VerdictSection&, const VerdictSection&) = default;
};

/// Trials side by side.
struct TrialSection {
  struct Trial {
    std::string id, name, owner{}, status{};
    std::map<std::string, double> metrics{};
    std::map<std::string, std::string> parameters{};
    friend bool operator==(const Trial&, const Trial&) = default;
  };
  Measure across{.name = "bytes", .label = "size", .unit = "bytes", .higher_better = false};
  Measure up{.name = "accuracy", .label = "accuracy", .unit = "fraction"};
  std::vector<Measure> others{}; ///< further columns of the table
  std::vector<Trial> trials{};
  friend bool operator==(const TrialSection&, const TrialSection&) = default;
};

/// Layers by measures.
struct LayerSection {
  struct Layer {
    std::string name;
    std::string action{};         ///< what happens to it
    std::vector<double> values{}; ///< one for each measure
    friend MCOMP_WORKFLOW_API bool operator==(const Layer& a, const Layer& b);
  };
  std::string subject{};
  std::vector<Measure> measures{};
  std::vector<Layer> layers{};
  friend bool operator==(const LayerSection&, const LayerSection&) = default;
};

struct ReliabilitySection {
  std::string name;
  std::int64_t rows = 0;
  double ece = not_known, accuracy = not_known, confidence = not_known;
  std::vector<ReliabilityChart::Bin> bins{};
  friend MCOMP_WORKFLOW_API bool operator==(const ReliabilitySection& a, const ReliabilitySection& b);
};

/// Latencies in seconds.
struct LatencySection {
  struct Model {
    std::string name;
    std::int64_t count = 0;
    Estimate mean{}, p50{}, p95{}, p99{};
    std::vector<Histogram::Bin> bins{}; ///< ascending
    friend bool operator==(const Model&, const Model&) = default;
  };
  std::vector<Model> models{};
  std::optional<double> p99_limit{};
  friend bool operator==(const LatencySection&, const LatencySection&) = default;
};

/// Slices by metrics, each with its interval: what a candidate has gained or lost against a baseline, or, without one,
/// what is measured in service.
struct SliceSection {
  struct Slice {
    std::string name;
    std::int64_t rows = 0;
    std::vector<Estimate> values{}; ///< one for each measure
    friend bool operator==(const Slice&, const Slice&) = default;
  };
  std::string baseline{}, candidate{};
  std::vector<Measure> measures{}; ///< against a baseline increases of what is bad: lower is better
  std::vector<Slice> slices{};
  friend bool operator==(const SliceSection&, const SliceSection&) = default;
};

/// Something that happened, on a timeline.
struct TimelineMark {
  std::int64_t time = 0;
  std::string label;
  std::string detail{};
  friend bool operator==(const TimelineMark&, const TimelineMark&) = default;
};

struct DriftSection {
  struct Series {
    std::string name, unit{};
    std::vector<Reading> readings{};
    std::optional<double> limit{};
  };
  std::vector<Series> series{};
  std::vector<TimelineMark> marks{};
  friend MCOMP_WORKFLOW_API bool operator==(const DriftSection& a, const DriftSection& b);
};

struct RolloutSection {
  struct Stage {
    std::string name;
    std::int64_t from = 0, until = 0;
    double share = 0; ///< of the units that see the artifact
    friend bool operator==(const Stage&, const Stage&) = default;
  };
  std::string artifact{}, baseline{};
  std::string state{}; ///< in words
  std::vector<Stage> stages{};
  std::vector<TimelineMark> marks{};
  friend bool operator==(const RolloutSection&, const RolloutSection&) = default;
};

struct CostSection {
  struct Hour {
    int hour = 0;
    double baseline = 0, candidate = 0; ///< machines, a month
    friend bool operator==(const Hour&, const Hour&) = default;
  };
  struct Lever {
    std::string input;
    double low = 0, high = 0, saving_at_low = 0, saving_at_high = 0;
    friend bool operator==(const Lever&, const Lever&) = default;
  };
  std::string currency{}, baseline{}, candidate{};
  double baseline_per_month = 0;
  std::vector<Waterfall::Step> changes{}; ///< from the baseline to the candidate
  Estimate saving{};                      ///< per month
  std::optional<double> break_even_months{};
  std::string decision{}, advice{};
  std::vector<std::string> concerns{};
  std::vector<Lever> levers{};
  std::vector<Hour> hours{};
  friend bool operator==(const CostSection&, const CostSection&) = default;
};

/// The log, and what its verification said.
struct AuditSection {
  struct Entry {
    std::uint64_t index = 0;
    std::int64_t time = 0;
    std::string kind, subject{}, actor{}, digest{};
    bool redacted = false;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::uint64_t events = 0, redacted = 0;
  std::int64_t records = 0, aliases = 0;
  std::string root{};
  bool verified = false;               ///< whether it was verified at all
  std::vector<std::string> problems{}; ///< what does not hold
  std::vector<Entry> entries{};        ///< the newest last
  friend bool operator==(const AuditSection&, const AuditSection&) = default;
};

struct DecisionEntry {
  std::string id, title, owner{}, status{};
  std::int64_t time = 0, review_by = 0;
  std::string rationale{}, consequences{};
  std::vector<std::string> evidence{};
  friend bool operator==(const DecisionEntry&, const DecisionEntry&) = default;
};

struct Report {
  static constexpr const char* schema = "mcomp-report-1";
  std::string title, subject{}, summary{};
  std::int64_t time = 0; ///< seconds since 1970, UTC
  std::optional<VerdictSection> verdict{};
  std::optional<TrialSection> trials{};
  std::vector<LayerSection> layers{};
  std::vector<ReliabilitySection> reliability{};
  std::optional<LatencySection> latency{};
  std::optional<SliceSection> slices{};  ///< candidate against baseline
  std::optional<SliceSection> service{}; ///< what serves, as it was measured in service
  std::optional<DriftSection> drift{};
  std::optional<RolloutSection> rollout{};
  std::optional<CostSection> cost{};
  std::optional<AuditSection> audit{};
  std::vector<DecisionEntry> decisions{};
  std::optional<Review> review{};
  std::vector<Playbook> playbooks{};

  /// Reads what `to_json` writes; strict: an unknown key is an error. Errors: corrupt, version_mismatch.
  [[nodiscard]] static MCOMP_WORKFLOW_API Result<Report> parse(std::string_view json,
                                                               const std::string& subject = "report");
  friend bool operator==(const Report&, const Report&) = default;
};

enum class Reader {
  builder, ///< of models
  runner,  ///< of services
  owner,   ///< who answers for the product
};

struct HtmlOptions {
  Reader first = Reader::builder; ///< whose front page is open at first
  std::string language = "en";
};

/// One file. A content security policy in it forbids everything but its own style sheet, by hash; all text of the
/// records is escaped.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_html(const Report& report, const HtmlOptions& options = {});
/// Schema "mcomp-report-1", keys as the members above; what is not known is null.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Report& report);

} // namespace mcomp::inline v0::report
