#include "mcomp/graph/runner.hpp"

#include <algorithm>
#include <cstring>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::graph {

Runner::~Runner() = default;

Result<std::vector<std::int32_t>> predicted_classes(const TensorView& logits) {
  MCOMP_CHECK(require(logits, "logits", DType::f32, 2));
  MCOMP_TRY(values, logits.values<float>("logits"));
  const auto classes = static_cast<std::size_t>(logits.size(1));
  if (classes == 0) return Error(ErrorCode::invalid_shape, "logits", "there are no classes", "pass at least one");
  std::vector<std::int32_t> result;
  for (std::size_t begin = 0; begin < values.size(); begin += classes) {
    std::size_t best = 0;
    for (std::size_t c = 1; c < classes; ++c) {
      const float x = values[begin + c], top = values[begin + best];
      if (x > top || (top != top && x == x)) best = c;
    }
    result.push_back(static_cast<std::int32_t>(best));
  }
  return result;
}

Result<Tensor> run_batches(Runner& runner, const TensorView& raw, std::int64_t batch_size,
                           const std::function<void(std::int64_t)>& done) {
  if (raw.rank() == 0 || raw.size(0) == 0 || batch_size <= 0)
    return Error(ErrorCode::invalid_argument, "samples", fmt::format("{} in batches of {}", raw.shape(), batch_size),
                 "pass at least one sample and a positive batch size");
  Tensor all;
  const std::int64_t count = raw.size(0);
  for (std::int64_t begin = 0; begin < count; begin += batch_size) {
    const std::int64_t end = std::min(count, begin + batch_size);
    MCOMP_TRY(rows, raw.rows(begin, end));
    MCOMP_TRY(input, normalize(runner.network().input, rows));
    MCOMP_TRY(output, runner.run(input));
    if (begin == 0) {
      Shape shape = output.shape();
      shape[0] = count;
      MCOMP_TRY(memory, Tensor::uninitialized(DType::f32, std::move(shape)));
      all = std::move(memory);
    }
    const std::int64_t row_bytes = all.bytes() / count;
    std::memcpy(static_cast<std::byte*>(all.data()) + begin * row_bytes, output.data(),
                static_cast<std::size_t>(output.bytes()));
    if (done) done(end);
  }
  return all;
}

} // namespace mcomp::inline v0::graph
