#include "calibrate/labelled_rows.hpp"

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::calibrate::detail {

namespace {

template <class Label>
Result<std::vector<std::size_t>> checked_labels(std::span<const Label> labels, std::size_t classes) {
  std::vector<std::size_t> result(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || static_cast<std::uint64_t>(labels[i]) >= classes)
      return Error(ErrorCode::invalid_value, "labels",
                   fmt::format("label {} of row {} is outside 0 .. {}", labels[i], i, classes - 1),
                   "number the classes from 0 in the order of the columns, and leave out rows without a label");
    result[i] = static_cast<std::size_t>(labels[i]);
  }
  return result;
}

} // namespace

Error invalid_row(const char* subject, std::size_t row) {
  return Error(ErrorCode::invalid_value, subject,
               fmt::format("row {} has NaN, plus infinity, a number beyond 1e300, or nothing but minus infinity", row),
               "find out why the model gives it, and leave it out");
}

Status check_rows(const TensorView& rows, const char* subject) {
  if (rows.dtype() != DType::f32 && rows.dtype() != DType::f64)
    return Error(ErrorCode::invalid_dtype, subject, fmt::format("f32 or f64 is needed, it is {}", rows.dtype()),
                 "convert it, for example with to_f32");
  MCOMP_CHECK(require(rows, subject, rows.dtype(), 2));
  if (rows.size(0) == 0)
    return Error(ErrorCode::insufficient_data, subject, "there are no rows", "pass at least one sample");
  if (rows.size(1) == 0)
    return Error(ErrorCode::invalid_shape, subject, "there are no classes", "pass [samples, classes]");
  return {};
}

Result<std::vector<std::size_t>> read_labels(const TensorView& labels, std::size_t rows, std::size_t classes) {
  if (labels.rank() != 1 || labels.elements() != static_cast<std::int64_t>(rows))
    return Error(ErrorCode::invalid_shape, "labels",
                 fmt::format("[{}] is needed, one for each row, it is {}", rows, labels.shape()),
                 "pass the labels of the same samples");
  if (labels.dtype() == DType::int32) {
    MCOMP_TRY(values, labels.values<std::int32_t>("labels"));
    return checked_labels(values, classes);
  }
  if (labels.dtype() == DType::int64) {
    MCOMP_TRY(values, labels.values<std::int64_t>("labels"));
    return checked_labels(values, classes);
  }
  return Error(ErrorCode::invalid_dtype, "labels", fmt::format("int32 or int64 is needed, it is {}", labels.dtype()),
               "convert them");
}

Status check_bins(int bins) {
  constexpr int most = 1 << 20;
  if (bins >= 1 && bins <= most) return {};
  return Error(ErrorCode::invalid_argument, "bins", fmt::format("1 .. {} are possible, {} are asked", most, bins),
               "take 15, as most papers do");
}

Status check_temperature(double temperature) {
  if (temperature >= 0) return {};
  return Error(ErrorCode::invalid_argument, "temperature", fmt::format("it must be at least 0, it is {}", temperature),
               "pass the temperature that fit_temperature found");
}

template <class T>
Result<LabelledRows<T>> read_labelled_rows(const TensorView& logits, const TensorView& labels, Executor* executor) {
  MCOMP_CHECK(check_rows(logits, "logits"));
  MCOMP_TRY(values, logits.values<T>("logits"));
  LabelledRows<T> data{.values = values,
                       .rows = static_cast<std::size_t>(logits.size(0)),
                       .classes = static_cast<std::size_t>(logits.size(1))};
  MCOMP_TRY(label, read_labels(labels, data.rows, data.classes));
  data.label = std::move(label);
  data.range.resize(data.rows);
  data.gap.resize(data.rows);
  const RowKernels<T>& kernels = row_kernels<T>();
  for_each_row_block(executor, data.rows, [&](std::size_t, std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      data.range[i] = kernels.range(data.row(i), data.classes);
      data.gap[i] = static_cast<double>(data.row(i)[data.label[i]]) - data.range[i].maximum;
    }
  });
  for (std::size_t i = 0; i < data.rows; ++i)
    if (!data.range[i].valid) return invalid_row("logits", i);
  return data;
}

template Result<LabelledRows<float>> read_labelled_rows<float>(const TensorView&, const TensorView&, Executor*);
template Result<LabelledRows<double>> read_labelled_rows<double>(const TensorView&, const TensorView&, Executor*);

} // namespace mcomp::inline v0::calibrate::detail
