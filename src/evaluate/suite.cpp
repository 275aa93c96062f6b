#include "mcomp/evaluate/suite.hpp"

#include <set>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/sha256.hpp"

namespace mcomp::inline v0::evaluate {

namespace {

/// Text with its length in front, so that no two lists of texts are the same bytes.
void hash_text(Sha256& hash, std::string_view text) {
  hash.update(fmt::format("{}:", text.size()));
  hash.update(text);
}

std::string fingerprint_of(const SuiteParts& parts) {
  Sha256 hash;
  hash_text(hash, "mcomp-suite-1");
  hash_text(hash, parts.version);
  hash_text(hash, parts.inputs.elements() == 0 ? "" : fingerprint(parts.inputs));
  hash_text(hash, fingerprint(parts.labels));
  hash_text(hash, fmt::format("{}", parts.slicings.size()));
  for (const Slicing& slicing : parts.slicings) {
    hash_text(hash, slicing.dimension);
    hash_text(hash, fmt::format("{}", slicing.groups.size()));
    for (const std::string& group : slicing.groups) hash_text(hash, group);
    for (const std::int32_t group : slicing.group) hash.update(fmt::format("{},", group));
  }
  for (const auto& [what, version] : parts.versions) {
    hash_text(hash, what);
    hash_text(hash, version);
  }
  return to_hex(hash.finish());
}

template <class T> Status check_labels(const Tensor& labels) {
  MCOMP_TRY(values, labels.values<T>("labels"));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] < 0)
      return Error(ErrorCode::invalid_value, "labels", fmt::format("row {} has label {}", i, values[i]),
                   "number classes from 0, and leave out rows without a label");
  return {};
}

} // namespace

Suite::Suite(std::shared_ptr<const SuiteParts> parts, std::string fingerprint)
    : parts_(std::move(parts)), fingerprint_(std::move(fingerprint)) {}

Result<Suite> Suite::freeze(SuiteParts parts) {
  if (parts.name.empty()) return Error(ErrorCode::invalid_argument, "suite", "it has no name", "name it");
  if (parts.labels.dtype() != DType::int64) MCOMP_CHECK(require(parts.labels, "labels", DType::int32, 1));
  MCOMP_CHECK(require(parts.labels, "labels", parts.labels.dtype(), 1));
  const std::int64_t rows = parts.labels.size(0);
  if (rows == 0) return Error(ErrorCode::insufficient_data, "labels", "the suite has no rows", "add labelled rows");
  MCOMP_CHECK(parts.labels.dtype() == DType::int64 ? check_labels<std::int64_t>(parts.labels)
                                                   : check_labels<std::int32_t>(parts.labels));
  if (parts.inputs.elements() != 0 && (parts.inputs.rank() == 0 || parts.inputs.size(0) != rows))
    return Error(ErrorCode::invalid_shape, "inputs",
                 fmt::format("{} for {} labels: the first axis counts the rows", parts.inputs, rows),
                 "give one input for every label");
  std::set<std::string_view> dimensions;
  for (const Slicing& slicing : parts.slicings) {
    MCOMP_CHECK(check(slicing, rows));
    if (!dimensions.insert(slicing.dimension).second)
      return Error(ErrorCode::invalid_argument, "slicings",
                   fmt::format("two of them divide by '{}'", slicing.dimension),
                   "give every slicing its own dimension");
  }
  std::string hash = fingerprint_of(parts);
  return Suite(std::make_shared<const SuiteParts>(std::move(parts)), std::move(hash));
}

Result<const Slicing*> Suite::slicing(std::string_view dimension) const {
  std::string known;
  for (const Slicing& slicing : parts_->slicings) {
    if (slicing.dimension == dimension) return &slicing;
    known += (known.empty() ? "" : ", ") + slicing.dimension;
  }
  return Error(ErrorCode::not_found, fmt::format("slicing '{}'", dimension),
               fmt::format("the suite divides by {}", known.empty() ? "nothing" : known), "name one of these");
}

std::string to_string(const Suite& suite) {
  std::string text = fmt::format("suite {}{}{}: {} rows", suite.name(), suite.version().empty() ? "" : " ",
                                 suite.version(), suite.rows());
  if (suite.has_inputs()) text += fmt::format(" of {}", suite.inputs());
  for (const Slicing& slicing : suite.slicings()) text += fmt::format("; {}", slicing);
  return text + fmt::format("; sha256 {}", suite.fingerprint());
}

} // namespace mcomp::inline v0::evaluate
