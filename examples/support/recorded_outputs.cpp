#include "recorded_outputs.hpp"

#include <charconv>
#include <limits>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mcomp/io/safetensors.hpp"

namespace example {

namespace {

using mcomp::DType;
using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::Shape;
using mcomp::Tensor;
using mcomp::TensorView;
using Json = nlohmann::ordered_json;

/// A non-negative number, or nothing.
std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

template <class T> void append(const TensorView& view, std::vector<std::int64_t>& values) {
  const auto from = view.values<T>("integers");
  if (!from) return;
  for (const T value : *from) {
    if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>) {
      // Beyond int64 it is beyond int32 too, which is what is checked behind.
      values.push_back(value > static_cast<T>(std::numeric_limits<std::int64_t>::max())
                           ? std::numeric_limits<std::int64_t>::max()
                           : static_cast<std::int64_t>(value));
    } else {
      values.push_back(static_cast<std::int64_t>(value));
    }
  }
}

/// Integers of any type as int32.
Result<std::vector<std::int32_t>> integers(const TensorView& view, const std::string& subject) {
  std::vector<std::int64_t> wide;
  switch (view.dtype()) {
  case DType::uint8:
    append<std::uint8_t>(view, wide);
    break;
  case DType::int8:
    append<std::int8_t>(view, wide);
    break;
  case DType::int16:
    append<std::int16_t>(view, wide);
    break;
  case DType::int32:
    append<std::int32_t>(view, wide);
    break;
  case DType::int64:
    append<std::int64_t>(view, wide);
    break;
  default:
    return Error(ErrorCode::invalid_dtype, subject, fmt::format("{}: integers are needed", to_string(view)),
                 "write it as int32");
  }
  std::vector<std::int32_t> values;
  for (const std::int64_t value : wide) {
    if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
      return Error(ErrorCode::invalid_value, subject, fmt::format("{} is no 32-bit number", value),
                   "write it as int32");
    values.push_back(static_cast<std::int32_t>(value));
  }
  return values;
}

/// Names of the groups of every column, as the metadata has them.
struct ColumnNames {
  std::string dimension;
  std::vector<std::string> groups;
};

Result<std::vector<ColumnNames>> column_names(const std::string& text, std::size_t columns,
                                              const std::string& subject) {
  const auto wrong = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, subject + ": metadata 'slices'", rule,
                 R"(write {"region": ["eu", "us"]}, one key for every column)");
  };
  std::vector<ColumnNames> names;
  for (std::size_t c = 0; c < columns; ++c) names.push_back({columns == 1 ? "slice" : fmt::format("slice{}", c), {}});
  if (text.empty()) return names;
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return wrong("it is no JSON");
  const auto groups = [](const Json& list, std::vector<std::string>& into) {
    if (list.is_object()) { // {"0": "eu", "1": "us"}
      for (const auto& [key, value] : list.items()) {
        const auto index = number(key);
        if (!index || *index > 1000000 || !value.is_string()) return false;
        if (into.size() <= static_cast<std::size_t>(*index)) into.resize(static_cast<std::size_t>(*index) + 1);
        into[static_cast<std::size_t>(*index)] = value.get<std::string>();
      }
      return true;
    }
    if (!list.is_array()) return false;
    for (const Json& name : list) {
      if (!name.is_string()) return false;
      into.push_back(name.get<std::string>());
    }
    return true;
  };
  if (json.is_array() && columns == 1 && (json.empty() || json[0].is_string()))
    return groups(json, names[0].groups) ? Result(names) : Result<std::vector<ColumnNames>>(wrong("names are texts"));
  const bool numbered = json.is_object() && columns == 1 && !json.empty() && json.begin()->is_string();
  if (numbered)
    return groups(json, names[0].groups) ? Result(names)
                                         : Result<std::vector<ColumnNames>>(wrong("keys are group numbers"));
  if (!(json.is_array() || json.is_object()) || json.size() != columns)
    return wrong(fmt::format("{} columns have to be named", columns));
  std::size_t c = 0;
  for (const auto& [key, list] : json.items()) {
    if (json.is_object()) names[c].dimension = key;
    if (!groups(list, names[c].groups)) return wrong(fmt::format("column {} has no list of texts", c));
    ++c;
  }
  return names;
}

Result<std::vector<mcomp::evaluate::Slicing>> read_slicings(const TensorView& tensor, const std::string& metadata,
                                                            std::int64_t rows, const std::string& subject) {
  if ((tensor.rank() != 1 && tensor.rank() != 2) || tensor.size(0) != rows)
    return Error(ErrorCode::invalid_shape, subject,
                 fmt::format("{} for {} rows: [rows] or [rows, k] is needed", to_string(tensor), rows),
                 "give the groups of every row");
  const auto columns = tensor.rank() == 1 ? std::size_t{1} : static_cast<std::size_t>(tensor.size(1));
  const auto values = integers(tensor, subject);
  if (!values) return values.error();
  auto names = column_names(metadata, columns, subject);
  if (!names) return names.error();
  std::vector<mcomp::evaluate::Slicing> slicings;
  for (std::size_t c = 0; c < columns; ++c) {
    mcomp::evaluate::Slicing slicing{.dimension = (*names)[c].dimension, .groups = (*names)[c].groups, .group = {}};
    std::int32_t last = -1;
    for (std::size_t i = c; i < values->size(); i += columns) {
      slicing.group.push_back((*values)[i]);
      last = std::max(last, (*values)[i]);
    }
    if (last > 1000000)
      return Error(ErrorCode::invalid_value, subject, fmt::format("group {} is no small number", last),
                   "number groups from 0");
    for (auto g = static_cast<std::int32_t>(slicing.groups.size()); g <= last; ++g)
      slicing.groups.push_back(fmt::format("{}", g));
    for (std::size_t g = 0; g < slicing.groups.size(); ++g)
      if (slicing.groups[g].empty()) slicing.groups[g] = fmt::format("{}", g);
    if (const auto valid = mcomp::evaluate::check(slicing, rows); !valid) return valid.error().within(subject);
    slicings.push_back(std::move(slicing));
  }
  return slicings;
}

} // namespace

Result<RowRange> parse_row_range(const std::string& text) {
  RowRange range{.path = text, .begin = std::nullopt, .end = std::nullopt};
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return range;
  const std::string_view rows = std::string_view(text).substr(colon + 1);
  const auto dash = rows.find('-');
  if (dash == std::string_view::npos || rows.find_first_not_of("0123456789-") != std::string_view::npos) return range;
  const std::string_view from = rows.substr(0, dash), to = rows.substr(dash + 1);
  range.path = text.substr(0, colon);
  range.begin = number(from);
  range.end = number(to);
  const bool wrong = (!from.empty() && !range.begin) || (!to.empty() && !range.end) || (from.empty() && to.empty()) ||
                     (range.begin && range.end && *range.begin >= *range.end);
  if (wrong)
    return Error(ErrorCode::invalid_argument, text, fmt::format("'{}' is no range of rows", rows),
                 "write FILE:A-B for rows A to B - 1, with A below B");
  return range;
}

Result<RecordedOutputs> read_outputs(const RowRange& rows, const RecordedNames& names) {
  const auto file = mcomp::io::read_safetensors(rows.path);
  if (!file) return file.error();
  const auto subject = [&](const std::string& tensor) { return rows.path + ": " + tensor; };
  const auto find = [&](const std::string& tensor) -> Result<TensorView> {
    auto found = file->tensors.find(tensor);
    if (!found) return found.error().within(rows.path);
    return found;
  };
  RecordedOutputs recorded;
  std::string name = names.logits;
  if (!names.probabilities.empty()) {
    if (!names.logits.empty())
      return Error(ErrorCode::invalid_argument, rows.path, "both logits and probabilities are named",
                   "name one of them");
    name = names.probabilities;
    recorded.probabilities = true;
  } else if (names.logits.empty()) {
    const bool logits = file->tensors.contains("logits"), probabilities = file->tensors.contains("probabilities");
    if (logits && probabilities)
      return Error(ErrorCode::invalid_argument, rows.path, "it has logits and probabilities", "name one of them");
    if (!logits && !probabilities)
      return Error(
          ErrorCode::not_found, rows.path,
          fmt::format("it has neither 'logits' nor 'probabilities', but {}", fmt::join(file->tensors.names(), ", ")),
          "name the tensor that holds the outputs");
    recorded.probabilities = probabilities;
    name = probabilities ? "probabilities" : "logits";
  }
  const auto outputs = find(name);
  if (!outputs) return outputs.error();
  if (outputs->rank() != 2)
    return Error(ErrorCode::invalid_shape, subject(name),
                 fmt::format("{}: [rows, classes] is needed", to_string(*outputs)),
                 "write one row of outputs for every row");
  const auto labels = find(names.labels);
  if (!labels) return labels.error();
  const std::int64_t count = outputs->size(0);
  if (labels->rank() != 1 || labels->size(0) != count)
    return Error(ErrorCode::invalid_shape, subject(names.labels),
                 fmt::format("{} for {} rows of outputs: [rows] is needed", to_string(*labels), count),
                 "write one label for every row");
  const std::int64_t begin = rows.begin.value_or(0), end = rows.end.value_or(count);
  if (begin >= end || end > count)
    return Error(ErrorCode::invalid_argument, rows.path,
                 fmt::format("rows {} to {} are asked for, it has {}", begin, end - 1, count), "name rows that it has");
  const auto label_rows = labels->rows(begin, end), output_rows = outputs->rows(begin, end);
  if (!label_rows) return label_rows.error();
  if (!output_rows) return output_rows.error();
  const auto label_values = integers(*label_rows, subject(names.labels));
  if (!label_values) return label_values.error();
  auto label_tensor = Tensor::from(*label_values, Shape{end - begin});
  if (!label_tensor) return label_tensor.error();
  recorded.labels = std::move(*label_tensor);
  const bool wide = outputs->dtype() == DType::f64;
  auto copy = wide ? Tensor::copy_of(*output_rows) : mcomp::to_f32(*output_rows, subject(name));
  if (!copy) return copy.error();
  recorded.outputs = std::move(*copy);
  if (file->tensors.contains(names.slices)) {
    const auto slices = find(names.slices);
    if (!slices) return slices.error();
    if (slices->rank() == 0 || slices->size(0) != count)
      return Error(ErrorCode::invalid_shape, subject(names.slices),
                   fmt::format("{} for {} rows", to_string(*slices), count), "give the groups of every row");
    const auto slice_rows = slices->rows(begin, end);
    if (!slice_rows) return slice_rows.error();
    const auto metadata = file->metadata.find(names.slices);
    auto slicings = read_slicings(*slice_rows, metadata == file->metadata.end() ? "" : metadata->second, end - begin,
                                  subject(names.slices));
    if (!slicings) return slicings.error();
    recorded.slicings = std::move(*slicings);
  } else if (names.slices != "slices") {
    return find(names.slices).error();
  }
  return recorded;
}

Result<mcomp::evaluate::RowScores> scores_of(const RecordedOutputs& outputs, double temperature) {
  return outputs.probabilities ? mcomp::evaluate::score_probabilities(outputs.outputs, outputs.labels)
                               : mcomp::evaluate::score_logits(outputs.outputs, outputs.labels, temperature);
}

} // namespace example
