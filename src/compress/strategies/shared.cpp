#include <algorithm>
#include <cstring>

#include "compress/strategies/builtin.hpp"

namespace mcomp::inline v0::compress::detail {

using mcomp::detail::Json;
using mcomp::detail::ObjectReader;

Status check_no_options(const std::string& strategy, const std::string& options) {
  MCOMP_TRY(json, mcomp::detail::parse_json(options, strategy));
  return ObjectReader(json, strategy).finish();
}

Result<Tensor> gather_rows(const TensorView& view, const std::vector<std::int64_t>& rows, std::int64_t begin,
                           std::int64_t end) {
  Shape shape = view.shape();
  shape[0] = end - begin;
  MCOMP_TRY(result, Tensor::uninitialized(view.dtype(), std::move(shape)));
  const std::int64_t row_bytes = (end - begin) == 0 ? 0 : result.bytes() / (end - begin);
  auto* to = static_cast<std::byte*>(result.data());
  for (std::int64_t i = begin; i < end; ++i, to += row_bytes) {
    const std::int64_t row = rows[static_cast<std::size_t>(i)];
    MCOMP_TRY(source, view.rows(row, row + 1));
    MCOMP_TRY(copy, Tensor::copy_of(source));
    std::memcpy(to, copy.data(), static_cast<std::size_t>(row_bytes));
  }
  return std::move(result);
}

Status run_rows(const Workbench& bench, graph::Runner& runner, const std::vector<std::int64_t>& rows, const char* stage,
                const graph::Tap& tap, const std::function<Status(const Tensor& output)>& each) {
  MCOMP_TRY(images, bench.calibration->images());
  constexpr std::int64_t batch = 32; // a constant: what observers see must not depend on the machine
  const auto count = static_cast<std::int64_t>(rows.size());
  for (std::int64_t begin = 0; begin < count; begin += batch) {
    MCOMP_CHECK(bench.context.check(stage));
    const std::int64_t end = std::min(count, begin + batch);
    MCOMP_TRY(raw, gather_rows(images, rows, begin, end));
    MCOMP_TRY(input, graph::normalize(runner.network().input, raw));
    MCOMP_TRY(output, runner.run(input, tap));
    if (each) MCOMP_CHECK(each(output));
    bench.context.report(stage, end, count);
  }
  return {};
}

Json to_json_value(const quant::Parameters& p) {
  return {{"dtype", to_string(p.dtype)},
          {"scale", static_cast<double>(p.scale)},
          {"zero_point", p.zero_point},
          {"symmetric", p.symmetric}};
}

Result<quant::Parameters> parameters_from_json(const Json& json, const std::string& where) {
  ObjectReader reader(json, where);
  quant::Parameters p;
  const std::string dtype = reader.text("dtype");
  p.scale = static_cast<float>(reader.number("scale"));
  p.zero_point = static_cast<std::int32_t>(std::clamp<std::int64_t>(reader.integer("zero_point"), -1024, 1024));
  p.symmetric = reader.boolean("symmetric", false);
  MCOMP_CHECK(reader.finish());
  const auto type = dtype_from_string(dtype);
  if (!type) return type.error().within(where);
  p.dtype = *type;
  return p;
}

} // namespace mcomp::inline v0::compress::detail
