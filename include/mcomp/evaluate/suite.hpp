#pragma once

// A benchmark suite that does not move: what every candidate is measured on, so that numbers of different days may be
// put side by side. An evaluation carries the fingerprint of its suite, and evaluations of different fingerprints
// refuse to be compared.
//
//     auto suite = evaluate::Suite::freeze({.name = "cifar10-a", .version = "2", .inputs = images, .labels = labels,
//                                           .slicings = {region}}).value();
//     fmt::print("{}\n", suite); // name, version, rows, slices, fingerprint

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mcomp/core/tensor.hpp"
#include "mcomp/evaluate/slices.hpp"

namespace mcomp::inline v0::evaluate {

struct SuiteParts {
  std::string name{};
  std::string version{};
  Tensor inputs{}; ///< [rows, ...] of any type; empty (no elements) where only recorded outputs are compared
  Tensor labels{}; ///< int32 or int64 [rows], not negative
  std::vector<Slicing> slicings{}; ///< by different dimensions
  /// Where the parts come from: "inputs", "labels", "slices" -> a version or source, and whatever else belongs to it.
  std::map<std::string, std::string> versions{};
};

/// Cannot be changed once it is made; copies share their content.
class Suite {
 public:
  /// Checks the parts and takes their fingerprint.
  /// Errors: invalid_argument for no name or two slicings of one dimension; insufficient_data without rows;
  /// invalid_dtype, invalid_shape; invalid_value for a negative label; those of `check` of a slicing.
  [[nodiscard]] MCOMP_API static Result<Suite> freeze(SuiteParts parts);

  [[nodiscard]] const std::string& name() const noexcept { return parts_->name; }
  [[nodiscard]] const std::string& version() const noexcept { return parts_->version; }
  [[nodiscard]] bool has_inputs() const noexcept { return parts_->inputs.elements() != 0; }
  [[nodiscard]] const Tensor& inputs() const noexcept { return parts_->inputs; }
  [[nodiscard]] const Tensor& labels() const noexcept { return parts_->labels; }
  [[nodiscard]] const std::vector<Slicing>& slicings() const noexcept { return parts_->slicings; }
  [[nodiscard]] const std::map<std::string, std::string>& versions() const noexcept { return parts_->versions; }
  [[nodiscard]] std::int64_t rows() const noexcept { return parts_->labels.size(0); }
  /// Hexadecimal SHA-256 over everything above but the name: equal for equal content.
  [[nodiscard]] const std::string& fingerprint() const noexcept { return fingerprint_; }
  /// The slicing of that dimension. Error: not_found, with those there are.
  [[nodiscard]] MCOMP_API Result<const Slicing*> slicing(std::string_view dimension) const;

 private:
  Suite(std::shared_ptr<const SuiteParts> parts, std::string fingerprint);

  std::shared_ptr<const SuiteParts> parts_;
  std::string fingerprint_;
};

[[nodiscard]] MCOMP_API std::string to_string(const Suite& suite);

} // namespace mcomp::inline v0::evaluate

namespace mcomp::inline v0 {
template <> inline constexpr bool enable_format<evaluate::Suite> = true;
} // namespace mcomp::inline v0
