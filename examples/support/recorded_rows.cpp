#include "recorded_rows.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "mcomp/calibrate/calibrator.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/io/safetensors.hpp"

namespace example {

using mcomp::DType;
using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::Tensor;
using mcomp::TensorView;

namespace {

constexpr std::int64_t most_groups = 10'000;

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || text.empty() || value < 0) return std::nullopt;
  return value;
}

template <class T> Result<std::vector<std::int64_t>> widened(const TensorView& tensor, const std::string& subject) {
  auto values = tensor.values<T>(subject);
  if (!values) return values.error();
  return std::vector<std::int64_t>(values->begin(), values->end());
}

/// Integers as int64.
Result<std::vector<std::int64_t>> integers(const TensorView& tensor, const std::string& subject) {
  switch (tensor.dtype()) {
  case DType::int64:
    return widened<std::int64_t>(tensor, subject);
  case DType::int32:
    return widened<std::int32_t>(tensor, subject);
  case DType::int16:
    return widened<std::int16_t>(tensor, subject);
  case DType::int8:
    return widened<std::int8_t>(tensor, subject);
  case DType::uint8:
    return widened<std::uint8_t>(tensor, subject);
  default:
    return Error(ErrorCode::invalid_dtype, subject,
                 fmt::format("integers are needed, it is {}", to_string(tensor.dtype())), "convert it to int32");
  }
}

/// What the metadata says about columns and groups. These forms are understood: a list of the names of groups (of one
/// column) or of columns (of several), a list of such lists, and an object whose keys name columns or, of one column,
/// are numbers of groups.
struct Names {
  std::vector<std::string> columns{};
  std::vector<std::vector<std::string>> groups{};
};

std::vector<std::string> texts(const nlohmann::ordered_json& list) {
  std::vector<std::string> result;
  for (const auto& item : list) result.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  return result;
}

/// {"0": "day", "1": "night"} or ["day", "night"].
std::optional<std::vector<std::string>> group_names(const nlohmann::ordered_json& json) {
  if (json.is_array()) {
    for (const auto& item : json)
      if (item.is_structured()) return std::nullopt;
    return texts(json);
  }
  if (!json.is_object()) return std::nullopt;
  std::vector<std::string> result;
  for (const auto& item : json.items()) {
    const auto number = whole_number(item.key());
    if (!number || *number >= most_groups || !item.value().is_string()) return std::nullopt;
    if (result.size() <= static_cast<std::size_t>(*number)) result.resize(static_cast<std::size_t>(*number) + 1);
    result[static_cast<std::size_t>(*number)] = item.value().get<std::string>();
  }
  return result;
}

Result<Names> slice_names(const std::string& text, std::size_t columns, const std::string& file) {
  const auto wrong = [&] {
    return Error(
        ErrorCode::invalid_value, file + ": metadata slices",
        fmt::format("it is no list of names for {} column{}: {}", columns, columns == 1 ? "" : "s", text),
        "write a JSON list of the groups' names, of several columns a list of such lists or an object by column");
  };
  const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded()) return wrong();
  Names names;
  if (columns == 1) {
    if (auto groups = group_names(json)) {
      names.groups.push_back(std::move(*groups));
      return names;
    }
  }
  if (json.size() != columns) return wrong();
  if (json.is_array()) {
    for (const auto& item : json) {
      if (item.is_string()) {
        names.columns.push_back(item.get<std::string>());
        continue;
      }
      auto groups = group_names(item);
      if (!groups) return wrong();
      names.groups.push_back(std::move(*groups));
    }
    if (!names.columns.empty() && !names.groups.empty()) return wrong();
    return names;
  }
  if (!json.is_object()) return wrong();
  for (const auto& item : json.items()) {
    auto groups = group_names(item.value());
    if (!groups) return wrong();
    names.columns.push_back(item.key());
    names.groups.push_back(std::move(*groups));
  }
  return names;
}

Result<std::vector<mcomp::evaluate::Slicing>> read_slices(const TensorView& tensor,
                                                          const mcomp::io::SafetensorsFile& file,
                                                          const RowSource& source, std::int64_t file_rows) {
  const std::string subject = source.file + ": slices";
  if (tensor.rank() < 1 || tensor.rank() > 2 || tensor.size(0) != file_rows ||
      (tensor.rank() == 2 && tensor.size(1) < 1))
    return Error(ErrorCode::invalid_shape, subject,
                 fmt::format("[{0}] or [{0}, k] is needed, it is {1}", file_rows, to_string(tensor.shape())),
                 "give every row the numbers of its slices");
  auto values = integers(tensor, subject);
  if (!values) return values.error();
  const std::size_t columns = tensor.rank() == 1 ? 1 : static_cast<std::size_t>(tensor.size(1));
  Names names;
  if (const auto text = file.metadata.find("slices"); text != file.metadata.end()) {
    auto read = slice_names(text->second, columns, source.file);
    if (!read) return read.error();
    names = std::move(*read);
  }
  std::vector<mcomp::evaluate::Slicing> result;
  for (std::size_t c = 0; c < columns; ++c) {
    mcomp::evaluate::Slicing column;
    if (c < names.columns.size())
      column.dimension = names.columns[c];
    else
      column.dimension = columns == 1 ? "slice" : fmt::format("slice {}", c);
    if (c < names.groups.size()) column.groups = names.groups[c];
    for (std::int64_t i = *source.first; i <= *source.last; ++i) {
      const std::int64_t group = (*values)[static_cast<std::size_t>(i) * columns + c];
      if (group >= most_groups)
        return Error(ErrorCode::invalid_value, subject,
                     fmt::format("row {} is in slice {}, and {} are possible", i, group, most_groups),
                     "number slices from 0 without gaps");
      column.group.push_back(static_cast<std::int32_t>(std::max<std::int64_t>(group, -1)));
      while (static_cast<std::int64_t>(column.groups.size()) <= group)
        column.groups.push_back(fmt::format("{}", column.groups.size()));
    }
    for (std::size_t g = 0; g < column.groups.size(); ++g)
      if (column.groups[g].empty()) column.groups[g] = fmt::format("{}", g);
    if (const auto valid = mcomp::evaluate::check(column, column.rows()); !valid) return valid.error().within(subject);
    result.push_back(std::move(column));
  }
  return result;
}

} // namespace

Result<RowSource> row_source(const std::string& text, const std::string& option) {
  RowSource source{.file = text};
  const auto colon = text.rfind(':');
  // A colon may be part of a file's name.
  if (colon == std::string::npos || std::filesystem::exists(text)) return source;
  const std::string range = text.substr(colon + 1);
  const auto dash = range.find('-');
  if (dash != std::string::npos) {
    source.first = whole_number(range.substr(0, dash));
    source.last = whole_number(range.substr(dash + 1));
  }
  if (!source.first || !source.last || *source.first > *source.last)
    return Error(ErrorCode::invalid_argument, option, "\"" + range + "\" is no range of rows",
                 "write FILE:A-B with A at most B, such as outputs.safetensors:0-4999; both ends are included");
  source.file = text.substr(0, colon);
  return source;
}

Result<Rows> read_rows(const RowSource& source, const TensorNames& names) {
  auto file = mcomp::io::read_safetensors(source.file);
  if (!file) return file.error();
  Rows rows{.source = source};
  const auto& tensors = file->tensors;
  if (!names.probabilities.empty())
    rows.tensor = names.probabilities, rows.are_probabilities = true;
  else if (!names.logits.empty())
    rows.tensor = names.logits;
  else if (tensors.contains("logits"))
    rows.tensor = "logits";
  else if (tensors.contains("probabilities"))
    rows.tensor = "probabilities", rows.are_probabilities = true;
  else {
    std::string known;
    for (const std::string& name : tensors.names()) known += (known.empty() ? "" : ", ") + name;
    return Error(ErrorCode::not_found, source.file, "there is neither a tensor logits nor probabilities, but " + known,
                 "name it with --logits or --probabilities");
  }
  const std::string subject = source.file + ": " + rows.tensor;
  const auto outputs = tensors.find(rows.tensor);
  if (!outputs) return outputs.error().within(source.file);
  if (outputs->rank() != 2 || outputs->size(0) == 0 || outputs->size(1) == 0 || !is_floating(outputs->dtype()))
    return Error(ErrorCode::invalid_shape, subject,
                 fmt::format("floating [rows, classes] is needed, it is {}", to_string(*outputs)),
                 "pass the outputs of a classifier");
  const std::int64_t file_rows = outputs->size(0);
  rows.source.first = source.first.value_or(0);
  rows.source.last = source.last.value_or(file_rows - 1);
  if (*rows.source.last == file_rows && *rows.source.first < file_rows) --*rows.source.last;
  if (*rows.source.last >= file_rows)
    return Error(
        ErrorCode::invalid_argument, subject,
        fmt::format("rows {}-{} are asked, the file has 0-{}", *rows.source.first, *rows.source.last, file_rows - 1),
        "both ends are included and counted from 0");
  auto part = outputs->rows(*rows.source.first, *rows.source.last + 1);
  if (!part) return part.error();
  auto copy = outputs->dtype() == DType::f32 || outputs->dtype() == DType::f64 ? Tensor::copy_of(*part)
                                                                               : to_f32(*part, subject);
  if (!copy) return copy.error();
  rows.outputs = std::move(*copy);

  const auto labels = tensors.find(names.labels);
  if (!labels) return labels.error().within(source.file);
  if (labels->rank() != 1 || labels->size(0) != file_rows)
    return Error(ErrorCode::invalid_shape, source.file + ": " + names.labels,
                 fmt::format("[{}] is needed, one for each row, it is {}", file_rows, to_string(labels->shape())),
                 "name the labels of the same rows with --labels");
  auto numbers = integers(*labels, source.file + ": " + names.labels);
  if (!numbers) return numbers.error();
  const std::vector<std::int64_t> chosen(numbers->begin() + *rows.source.first,
                                         numbers->begin() + *rows.source.last + 1);
  auto label_tensor = Tensor::from(chosen, {static_cast<std::int64_t>(chosen.size())});
  if (!label_tensor) return label_tensor.error();
  rows.labels = std::move(*label_tensor);

  // All rules of values at once: rows, NaN and labels.
  const auto checked = rows.are_probabilities ? mcomp::calibrate::outcomes_of_probabilities(rows.outputs, rows.labels)
                                              : mcomp::calibrate::outcomes_of_logits(rows.outputs, rows.labels);
  if (!checked)
    return checked.error().within(fmt::format("{}, rows {}-{}", source.file, *rows.source.first, *rows.source.last));
  if (rows.are_probabilities) {
    auto logits = mcomp::calibrate::log_probabilities(rows.outputs);
    if (!logits) return logits.error();
    rows.logits = std::move(*logits);
  } else {
    rows.logits = rows.outputs;
  }
  if (tensors.contains(names.slices) || names.slices_required) {
    const auto slices = tensors.find(names.slices);
    if (!slices) return slices.error().within(source.file);
    auto columns = read_slices(*slices, *file, rows.source, file_rows);
    if (!columns) return columns.error();
    rows.slices = std::move(*columns);
  }
  return rows;
}

Result<mcomp::evaluate::RowScores> scores_of(const Rows& rows, double temperature) {
  return rows.are_probabilities ? mcomp::evaluate::score_probabilities(rows.outputs, rows.labels)
                                : mcomp::evaluate::score_logits(rows.outputs, rows.labels, temperature);
}

} // namespace example
