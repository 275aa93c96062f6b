#include "graph/decoder_layers.hpp"

#include <algorithm>
#include <cmath>

#include "mcomp/core/format.hpp"
#include "mcomp/core/eigen.hpp"

namespace mcomp::inline v0::graph::detail {

namespace {

using Matrix = RowMajorMatrix<float>;
using ConstMap = Eigen::Map<const Matrix>;
using Map = Eigen::Map<Matrix>;
/// The columns of one head in rows of all heads.
using ConstHead = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;
using Head = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;

const float* data(const Tensor& t) {
  return static_cast<const float*>(t.data());
}
float* data(Tensor& t) {
  return static_cast<float*>(t.data());
}
const float* weight(const LayerInputs& context, const std::string& name) {
  return static_cast<const float*>(context.weights.find(name)->data());
}

Result<Tensor> output_for(const LayerInputs& context, const Tensor& x) {
  return Tensor::uninitialized(DType::f32, with_samples(x.size(0), context.output_shape));
}

void for_samples(const LayerInputs& context, const Tensor& x, const std::function<void(std::int64_t)>& body) {
  context.executor.run(static_cast<std::size_t>(x.size(0)), [&](std::size_t n) { body(static_cast<std::int64_t>(n)); });
}

} // namespace

Result<Tensor> linear_rows(const LayerInputs& context, const Linear& linear, const Tensor& x) {
  MCOMP_TRY(y, output_for(context, x));
  const std::int64_t length = x.size(1), in = x.size(2), out = linear.out_features;
  const ConstMap w(weight(context, linear.weight), out, in);
  const float* bias = linear.bias.empty() ? nullptr : weight(context, linear.bias);
  for_samples(context, x, [&](std::int64_t n) {
    Map rows(data(y) + n * length * out, length, out);
    const float* from = data(x) + n * length * in;
    std::vector<float> changed;
    if (context.before_linear) {
      changed.assign(from, from + length * in);
      (*context.before_linear)(context.layer, changed, in);
      from = changed.data();
    }
    rows.noalias() = ConstMap(from, length, in) * w.transpose();
    if (bias) rows.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(bias, out);
  });
  return std::move(y);
}

Result<Tensor> embed(const LayerInputs& context, const Embedding& embedding, const Tensor& tokens) {
  MCOMP_TRY(y, output_for(context, tokens));
  const auto* token = static_cast<const std::int32_t*>(tokens.data());
  const float* table = weight(context, embedding.weight);
  float* to = data(y);
  for (std::int64_t i = 0; i < tokens.elements(); ++i, to += embedding.features) {
    if (token[i] < 0 || token[i] >= embedding.vocabulary)
      return Error(ErrorCode::invalid_value, fmt::format("layer '{}'", context.layer.name),
                   fmt::format("token {} of sample {}, position {} is not in a vocabulary of {}", token[i],
                               i / tokens.size(1), i % tokens.size(1), embedding.vocabulary),
                   "use the tokens of this network's vocabulary");
    std::copy_n(table + token[i] * embedding.features, embedding.features, to);
  }
  return std::move(y);
}

Result<Tensor> normalize_rms(const LayerInputs& context, const RmsNorm& norm, const Tensor& x) {
  MCOMP_TRY(y, output_for(context, x));
  const std::int64_t features = x.shape().sizes().back(), rows = features == 0 ? 0 : x.elements() / features;
  const float* gamma = weight(context, norm.weight);
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = data(x) + row * features;
    float* to = data(y) + row * features;
    double squares = 0;
    for (std::int64_t i = 0; i < features; ++i) squares += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    const auto factor = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(features) + norm.epsilon));
    for (std::int64_t i = 0; i < features; ++i) to[i] = from[i] * factor * gamma[i];
  }
  return std::move(y);
}

Result<Tensor> rotate(const LayerInputs& context, const RotaryEmbedding& rotary, const Tensor& x) {
  MCOMP_TRY(y, output_for(context, x));
  const std::int64_t length = x.size(1), features = x.size(2), size = features / rotary.heads, pairs = size / 2;
  std::vector<float> cosine(static_cast<std::size_t>(length * pairs)), sine(cosine.size());
  for (std::int64_t p = 0; p < length; ++p)
    for (std::int64_t j = 0; j < pairs; ++j) {
      const double exponent = -2.0 * static_cast<double>(j) / static_cast<double>(size);
      const double angle = static_cast<double>(p) * std::pow(rotary.theta, exponent);
      cosine[static_cast<std::size_t>(p * pairs + j)] = static_cast<float>(std::cos(angle));
      sine[static_cast<std::size_t>(p * pairs + j)] = static_cast<float>(std::sin(angle));
    }
  const bool interleaved = rotary.pairing == RotaryPairing::interleaved;
  const std::int64_t step = interleaved ? 2 : 1, apart = interleaved ? 1 : pairs;
  for_samples(context, x, [&](std::int64_t n) {
    for (std::int64_t p = 0; p < length; ++p) {
      const float *c = cosine.data() + p * pairs, *s = sine.data() + p * pairs;
      for (std::int64_t h = 0; h < rotary.heads; ++h) {
        const std::int64_t begin = (n * length + p) * features + h * size;
        const float* from = data(x) + begin;
        float* to = data(y) + begin;
        for (std::int64_t j = 0; j < pairs; ++j) {
          const float a = from[j * step], b = from[j * step + apart];
          to[j * step] = a * c[j] - b * s[j];
          to[j * step + apart] = a * s[j] + b * c[j];
        }
      }
    }
  });
  return std::move(y);
}

Result<Tensor> attend(const LayerInputs& context, const Attention& attention, const Tensor& queries, const Tensor& keys,
                      const Tensor& values) {
  MCOMP_TRY(y, output_for(context, queries));
  const std::int64_t length = queries.size(1), features = queries.size(2), kv_features = keys.size(2);
  const std::int64_t size = features / attention.heads, shared = attention.heads / attention.kv_heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(size)));
  constexpr std::int64_t block = 64; // queries at a time, so that memory grows with the length, not with its square
  const Eigen::OuterStride<> stride(features), kv_stride(kv_features);
  for_samples(context, queries, [&](std::int64_t n) {
    Matrix scores;
    for (std::int64_t h = 0; h < attention.heads; ++h)
      for (std::int64_t begin = 0; begin < length; begin += block) {
        const std::int64_t end = std::min(begin + block, length);
        const std::int64_t q = (n * length + begin) * features + h * size;
        const std::int64_t kv = n * length * kv_features + h / shared * size;
        // No query of the block sees a key behind its last one.
        scores.noalias() = ConstHead(data(queries) + q, end - begin, size, stride) *
                           ConstHead(data(keys) + kv, end, size, kv_stride).transpose();
        for (std::int64_t row = 0; row < end - begin; ++row) {
          float* score = scores.data() + row * end;
          const std::int64_t seen = begin + row + 1;
          const float top = *std::max_element(score, score + seen);
          float sum = 0;
          for (std::int64_t k = 0; k < seen; ++k) sum += score[k] = std::exp((score[k] - top) * scale);
          for (std::int64_t k = 0; k < seen; ++k) score[k] /= sum;
          std::fill(score + seen, score + end, 0.0f);
        }
        Head(data(y) + q, end - begin, size, stride).noalias() =
            scores * ConstHead(data(values) + kv, end, size, kv_stride);
      }
  });
  return std::move(y);
}

} // namespace mcomp::inline v0::graph::detail
