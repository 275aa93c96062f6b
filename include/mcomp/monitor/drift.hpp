#pragma once

// Has the input moved, in which feature and slice, and by how much? A window of rows against a reference that is kept
// small: counts in bins and a seeded sample of rows. A feature has drifted where both hold: a distance passes its
// threshold (that it matters) and a test, corrected for looking at all features and slices, rejects (that it is not
// chance).
//
//     auto reference = monitor::DriftReference::build({{.name = "brightness"}, {.name = "country",
//                          .categories = {"de", "fr"}}}, rows_of_last_month).value();
//     auto window = monitor::DriftWindow::create(reference).value();
//     window.add(row, "region=eu");                              // thousands of times
//     monitor::DriftAnswer answer = window.answer().value();     // answer.drifted(), answer.features.front()
//     window.clear();

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/core/printable.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/core/result.hpp"
#include "mcomp/core/tensor.hpp"

namespace mcomp::inline v0::monitor {

/// A number, or one of categories: then the value is the index of its category; all others count as "other".
struct FeatureName {
  std::string name{};
  std::vector<std::string> categories{}; ///< empty: a number
  friend bool operator==(const FeatureName&, const FeatureName&) = default;
};

/// How one feature was distributed.
struct FeatureReference {
  FeatureName feature{};
  /// Of a number, ascending: bin i holds (edges[i - 1], edges[i]]. What is not finite has a bin of its own, the last.
  std::vector<double> edges{};
  std::vector<std::int64_t> counts{}; ///< edges + 2, or categories + 1
  double deviation = 0;               ///< standard deviation of a number, the unit of its Wasserstein distance

  [[nodiscard]] MCOMP_WORKFLOW_API std::size_t bin(double value) const noexcept;
  friend bool operator==(const FeatureReference&, const FeatureReference&) = default;
};

struct ReferenceOptions {
  int bins = 10;              ///< of a number, by quantiles of the reference: 2 .. 1000; equal ones are joined
  std::int64_t sample = 1000; ///< rows that are kept, 10 .. 2000
  std::uint64_t seed = 1;
};

/// A plain value; memory is a few counts a feature, and the sample.
struct DriftReference {
  std::vector<FeatureReference> features{};
  std::vector<double> sample{}; ///< rows of all features, one behind the other
  std::int64_t rows = 0;        ///< that it was built from

  /// @param rows [rows, features], f32 or f64; NaN where a value is missing
  /// Errors: invalid_argument for options, names that are empty or come twice; invalid_shape, invalid_dtype;
  /// insufficient_data below 10 rows.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<DriftReference>
  build(std::vector<FeatureName> features, const TensorView& rows, const ReferenceOptions& options = {});
  /// Schema "mcomp-drift-reference-1". Errors: corrupt, version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<DriftReference> parse(std::string_view json,
                                                                       const std::string& subject = "reference");
  friend bool operator==(const DriftReference&, const DriftReference&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const DriftReference& reference);

/// Distances at which a shift matters.
struct DriftThresholds {
  double population_stability = 0.2; ///< the usual rule of thumb
  double jensen_shannon = 0.15;      ///< distance, base 2
  double kolmogorov_smirnov = 0.15;
  double wasserstein = 0.3; ///< in standard deviations of the reference
  friend bool operator==(const DriftThresholds&, const DriftThresholds&) = default;
};

struct DriftOptions {
  DriftThresholds thresholds{};
  double significance = 0.01;    ///< of the corrected p-values (Benjamini and Yekutieli: slices overlap)
  std::int64_t least = 100;      ///< rows of a slice below which nothing is said of it
  std::int64_t sample = 500;     ///< rows of a slice that are kept, 10 .. 2000
  std::int64_t max_slices = 64;  ///< rows of further ones count under "overflow"
  std::int64_t permutations = 0; ///< of MMD over all numbers at once; 0: it is left out. At most 10^4
  std::uint64_t seed = 1;
  friend bool operator==(const DriftOptions&, const DriftOptions&) = default;
};
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const DriftOptions& options);
/// Schema "mcomp-drift-options-1"; what is absent is at its default. Errors: corrupt, version_mismatch.
[[nodiscard]] MCOMP_WORKFLOW_API Result<DriftOptions> drift_options_from_json(std::string_view json,
                                                                              const std::string& subject = "drift");

/// One feature in one slice.
struct FeatureDrift {
  std::string feature{}, slice{}; ///< slice "" is all rows
  std::int64_t count = 0;
  double population_stability = 0, jensen_shannon = 0;
  double chi_squared_p = 1;
  std::optional<double> kolmogorov_smirnov{}, kolmogorov_smirnov_p{}, wasserstein{}; ///< of numbers
  double p_value = 1; ///< of both tests together, corrected for all features and slices
  double moved = 0;   ///< the largest of the distances over their thresholds
  bool drifted = false;

  friend bool operator==(const FeatureDrift&, const FeatureDrift&) = default;
};
/// All numbers of a slice at once: MMD on standardized rows.
struct JointDrift {
  std::string slice{};
  std::int64_t count = 0;
  double squared_mmd = 0, p_value = 1; ///< corrected for all slices
  bool drifted = false;                ///< p_value <= significance

  friend bool operator==(const JointDrift&, const JointDrift&) = default;
};

struct DriftAnswer {
  std::vector<FeatureDrift> features{}; ///< those that drifted first, then by `moved`, descending
  std::vector<JointDrift> joint{};
  std::vector<std::string> too_few{}; ///< slices with fewer than `least` rows, of which nothing is known
  std::int64_t rows = 0;

  [[nodiscard]] MCOMP_WORKFLOW_API bool drifted() const noexcept;
  /// What moved most, or null where nothing drifted.
  [[nodiscard]] MCOMP_WORKFLOW_API const FeatureDrift* most_moved() const noexcept;
  friend bool operator==(const DriftAnswer&, const DriftAnswer&) = default;
};
/// "drift: brightness in region=eu moved most (PSI 0.83, JS 0.31, KS 0.42, 0.9 deviations; p 1e-20); ..."
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_string(const DriftAnswer& answer);
/// {"schema": "mcomp-drift-answer-1", "drifted", "rows", "features": [...], "joint": [...], "too_few"}
[[nodiscard]] MCOMP_WORKFLOW_API std::string to_json(const DriftAnswer& answer);

/// The window that is filled now: counts and a seeded sample for each slice. Not safe from several threads.
class MCOMP_WORKFLOW_API DriftWindow {
 public:
  /// Errors: invalid_argument for options out of range, corrupt for a reference that contradicts itself.
  [[nodiscard]] static Result<DriftWindow> create(DriftReference reference, const DriftOptions& options = {});

  /// A row counts among all rows, and in its slice where one is given. Allocates where a slice is new. Error:
  /// invalid_shape for another number of features.
  [[nodiscard]] Status add(std::span<const double> row, std::string_view slice = {});
  [[nodiscard]] Result<DriftAnswer> answer() const;
  void clear();
  [[nodiscard]] std::int64_t rows() const noexcept;

 private:
  struct Part {
    std::int64_t count = 0;
    std::vector<std::int64_t> counts; ///< of all features' bins
    std::vector<double> sample;
    Random random{0};
  };
  DriftWindow(DriftReference reference, const DriftOptions& options);
  void add(Part& part, std::span<const double> row);
  [[nodiscard]] Part& part(std::string_view slice);

  DriftReference reference_;
  DriftOptions options_;
  std::vector<std::size_t> first_bin_; ///< of each feature
  std::size_t bins_ = 0;
  std::map<std::string, Part, std::less<>> parts_;
};

} // namespace mcomp::inline v0::monitor

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<monitor::DriftAnswer> = true;
}
