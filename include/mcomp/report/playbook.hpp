#pragma once

// One page for whoever was woken up: what an alert means, what to look at, which part to recompress, how to go back.
//
//     auto page = report::playbook({.name = "p99 above limit", .kind = report::AlertKind::latency, .slice =
//     "region=eu",
//                                   .layer = "stage3.conv2", .value = 0.131, .limit = 0.1, .unit = "seconds"});
//     write_file("playbook.html", report::to_html(page)).value();

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/report/review.hpp"

namespace mcomp::inline v0::report {

enum class AlertKind {
  drift,
  calibration,
  accuracy,
  latency,
  errors,
  overflow, ///< activations of quantized layers beyond their range
  cost,
  satisfaction,
  anomaly,
  other,
};
/// "drift", ...
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(AlertKind kind);
/// Error: not_found, with what was probably meant.
[[nodiscard]] MCOMP_WORKFLOW_API Result<AlertKind> alert_kind_from_string(std::string_view name);

struct Link {
  std::string label;
  std::string address; ///< "https://", "http://", or "#place" of a report; others are shown as text
  friend bool operator==(const Link&, const Link&) = default;
};

/// What is known of an alert, whoever raised it.
struct AlertFacts {
  std::string name;
  AlertKind kind = AlertKind::other;
  std::string slice{};     ///< that moved most
  std::string layer{};     ///< likewise
  std::string cost_item{}; ///< likewise
  std::string version{};   ///< that serves
  std::string baseline{};  ///< that it can go back to
  std::string alias = "production";
  std::int64_t time = 0; ///< seconds since 1970, UTC
  double value = not_known, limit = not_known;
  std::string unit{};
  std::vector<Evidence> numbers{};
  std::vector<Link> links{};
  friend MCOMP_WORKFLOW_API bool operator==(const AlertFacts& a, const AlertFacts& b);
};

struct Playbook {
  static constexpr const char* schema = "mcomp-playbook-1";
  AlertFacts alert{};
  std::string meaning{};
  std::vector<std::string> look_at{};
  std::vector<std::string> recompress{}; ///< which part, and how
  std::vector<std::string> roll_back{};
  std::string closed_when{};

  /// Strict: an unknown key is an error. Errors: corrupt, version_mismatch.
  [[nodiscard]] static MCOMP_WORKFLOW_API Result<Playbook> parse(std::string_view json,
                                                                 const std::string& subject = "playbook");
  friend bool operator==(const Playbook&, const Playbook&) = default;
};

[[nodiscard]] MCOMP_WORKFLOW_API Playbook playbook(const AlertFacts& alert);

[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const Playbook& playbook);
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const Playbook& playbook);
/// One self-contained page, which prints on one sheet.
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_html(const Playbook& playbook);

} // namespace mcomp::inline v0::report

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<report::AlertKind> = true;
template <> inline constexpr bool enable_format<report::Playbook> = true;
} // namespace mcomp::inline v0
