#include "calibrate/finite_rows.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "calibrate/labelled_rows.hpp"
#include "calibrate/multinomial_fit.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"

namespace mcomp::inline v0::calibrate::detail {

namespace {

template <class T> Result<std::vector<double>> finite_values(const TensorView& rows, const char* subject) {
  MCOMP_TRY(values, rows.values<T>(subject));
  std::vector<double> result(values.begin(), values.end());
  for (std::size_t i = 0; i < result.size(); ++i)
    if (!(std::abs(result[i]) <= 1e300))
      return Error(ErrorCode::invalid_value, subject,
                   fmt::format("row {} has {} at {}", i / static_cast<std::size_t>(rows.size(1)), result[i],
                               i % static_cast<std::size_t>(rows.size(1))),
                   "leave the row out, or make logits with log_probabilities, which raises probabilities of zero");
  return result;
}

} // namespace

Result<std::vector<double>> read_finite(const TensorView& rows, const char* subject) {
  MCOMP_CHECK(check_rows(rows, subject));
  return rows.dtype() == DType::f32 ? finite_values<float>(rows, subject) : finite_values<double>(rows, subject);
}

Result<FiniteRows> read_finite_rows(const TensorView& logits, const TensorView& labels) {
  MCOMP_TRY(values, read_finite(logits, "logits"));
  FiniteRows result{.rows = static_cast<std::size_t>(logits.size(0)),
                    .classes = static_cast<std::size_t>(logits.size(1)),
                    .values = std::move(values)};
  MCOMP_TRY(label, read_labels(labels, result.rows, result.classes));
  result.label = std::move(label);
  return result;
}

FiniteRows subset(const FiniteRows& rows, std::span<const std::size_t> which) {
  FiniteRows result{.rows = which.size(), .classes = rows.classes};
  result.values.reserve(which.size() * rows.classes);
  for (const std::size_t i : which) {
    result.values.insert(result.values.end(), rows.row(i), rows.row(i) + rows.classes);
    result.label.push_back(rows.label[i]);
  }
  return result;
}

void log_softmax_in_place(std::vector<double>& values, std::size_t classes) {
  std::vector<double> row(classes);
  for (std::size_t at = 0; at < values.size(); at += classes) {
    std::copy_n(values.data() + at, classes, row.data());
    const double log_sum = softmax_in_place(row.data(), classes);
    for (std::size_t k = 0; k < classes; ++k) values[at + k] -= log_sum;
  }
}

Status require_all_classes(const FiniteRows& rows) {
  std::vector<bool> seen(rows.classes);
  for (const std::size_t label : rows.label) seen[label] = true;
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing == seen.end()) return {};
  return Error(ErrorCode::insufficient_data, "labels",
               fmt::format("no row has class {}, whose fitted probability would be zero", missing - seen.begin()),
               "fit on rows of every class, penalize the biases, or take a temperature");
}

std::vector<int> stratified_parts(std::span<const std::size_t> label, std::size_t classes, int parts,
                                  std::uint64_t seed) {
  std::vector<std::vector<std::size_t>> members(classes);
  for (std::size_t i = 0; i < label.size(); ++i) members[label[i]].push_back(i);
  Random random(seed);
  std::vector<int> part(label.size());
  int next = 0; // carried on from class to class, so that the parts are of equal size
  for (std::vector<std::size_t>& rows : members) {
    random.shuffle(std::span(rows));
    for (const std::size_t i : rows) part[i] = next, next = (next + 1) % parts;
  }
  return part;
}

} // namespace mcomp::inline v0::calibrate::detail
