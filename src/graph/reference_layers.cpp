#include "graph/reference_layers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/decoder_layers.hpp"
#include "graph/im2col.hpp"
#include "mcomp/core/eigen.hpp"

namespace mcomp::inline v0::graph::detail {

namespace {

using Matrix = RowMajorMatrix<float>;
using ConstMap = Eigen::Map<const Matrix>;
using Map = Eigen::Map<Matrix>;

struct Reference {
  const LayerInputs& context;
  const std::vector<const Tensor*>& inputs;

  [[nodiscard]] const Tensor& x() const { return *inputs[0]; }
  [[nodiscard]] std::int64_t samples() const { return x().size(0); }
  [[nodiscard]] Result<Tensor> output() const {
    Shape shape{samples()};
    for (const std::int64_t size : context.output_shape.sizes()) shape.push_back(size);
    return Tensor::uninitialized(DType::f32, std::move(shape));
  }
  [[nodiscard]] const float* weight(const std::string& name) const {
    return static_cast<const float*>(context.weights.find(name)->data());
  }
  static const float* data(const Tensor& t) { return static_cast<const float*>(t.data()); }
  static float* data(Tensor& t) { return static_cast<float*>(t.data()); }
  void for_samples(const std::function<void(std::int64_t)>& body) const {
    context.executor.run(static_cast<std::size_t>(samples()),
                         [&](std::size_t i) { body(static_cast<std::int64_t>(i)); });
  }

  Result<Tensor> operator()(const Convolution& c) const {
    MCOMP_TRY(y, output());
    const std::int64_t channels = x().size(1), group_in = channels / c.groups, group_out = c.out_channels / c.groups;
    const ConvolutionSizes sizes{group_in,  x().size(2), x().size(3), y.size(2),
                                 y.size(3), c.kernel,    c.stride,    c.padding};
    const float *w = weight(c.weight), *b = c.bias.empty() ? nullptr : weight(c.bias);
    for_samples([&](std::int64_t n) {
      std::vector<float> columns(static_cast<std::size_t>(sizes.rows() * sizes.columns()));
      for (std::int64_t g = 0; g < c.groups; ++g) {
        im2col(data(x()) + (n * channels + g * group_in) * x().size(2) * x().size(3), sizes, 0.0f, columns.data());
        Map out(data(y) + (n * c.out_channels + g * group_out) * sizes.columns(), group_out, sizes.columns());
        out.noalias() = ConstMap(w + g * group_out * sizes.rows(), group_out, sizes.rows()) *
                        ConstMap(columns.data(), sizes.rows(), sizes.columns());
        if (b) out.colwise() += Eigen::Map<const Eigen::VectorXf>(b + g * group_out, group_out);
      }
    });
    return std::move(y);
  }

  Result<Tensor> operator()(const Linear& l) const {
    if (x().rank() == 3) return linear_rows(context, l, x());
    MCOMP_TRY(y, output());
    const std::int64_t features = x().size(1);
    Map out(data(y), samples(), l.out_features);
    out.noalias() =
        ConstMap(data(x()), samples(), features) * ConstMap(weight(l.weight), l.out_features, features).transpose();
    if (!l.bias.empty()) out.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(weight(l.bias), l.out_features);
    return std::move(y);
  }

  Result<Tensor> operator()(const BatchNorm& b) const {
    MCOMP_TRY(y, output());
    const std::int64_t channels = x().size(1), plane = channels == 0 ? 0 : context.output_shape.elements() / channels;
    const float *gamma = weight(b.weight), *beta = weight(b.bias), *mean = weight(b.running_mean),
                *var = weight(b.running_var);
    for_samples([&](std::int64_t n) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const float factor = gamma[c] / std::sqrt(var[c] + static_cast<float>(b.epsilon));
        const float* from = data(x()) + (n * channels + c) * plane;
        float* to = data(y) + (n * channels + c) * plane;
        for (std::int64_t i = 0; i < plane; ++i) to[i] = (from[i] - mean[c]) * factor + beta[c];
      }
    });
    return std::move(y);
  }

  Result<Tensor> operator()(const Activation& a) const {
    MCOMP_TRY(y, output());
    std::transform(data(x()), data(x()) + x().elements(), data(y), [&](float v) { return activate(a.kind, v); });
    return std::move(y);
  }

  Result<Tensor> operator()(const Add&) const {
    MCOMP_TRY(y, output());
    std::transform(data(x()), data(x()) + x().elements(), data(*inputs[1]), data(y), std::plus<>());
    return std::move(y);
  }

  Result<Tensor> operator()(const Multiply&) const {
    MCOMP_TRY(y, output());
    std::transform(data(x()), data(x()) + x().elements(), data(*inputs[1]), data(y), std::multiplies<>());
    return std::move(y);
  }

  Result<Tensor> operator()(const Embedding& e) const { return embed(context, e, x()); }
  Result<Tensor> operator()(const RmsNorm& n) const { return normalize_rms(context, n, x()); }
  Result<Tensor> operator()(const RotaryEmbedding& r) const { return rotate(context, r, x()); }
  Result<Tensor> operator()(const Attention& a) const { return attend(context, a, x(), *inputs[1], *inputs[2]); }

  Result<Tensor> operator()(const Pooling& p) const {
    MCOMP_TRY(y, output());
    const std::int64_t channels = x().size(1), h = x().size(2), w = x().size(3), oh = y.size(2), ow = y.size(3);
    const Pair kernel = p.global ? Pair{h, w} : p.kernel, stride = p.global ? Pair{1, 1} : p.stride,
               padding = p.global ? Pair{0, 0} : p.padding;
    const bool max = p.kind == PoolingKind::max;
    for_samples([&](std::int64_t n) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const float* from = data(x()) + (n * channels + c) * h * w;
        float* to = data(y) + (n * channels + c) * oh * ow;
        for (std::int64_t oy = 0; oy < oh; ++oy)
          for (std::int64_t ox = 0; ox < ow; ++ox) {
            const std::int64_t y0 = oy * stride[0] - padding[0], x0 = ox * stride[1] - padding[1];
            float sum = max ? -std::numeric_limits<float>::infinity() : 0.0f;
            for (std::int64_t yy = std::max<std::int64_t>(y0, 0); yy < std::min(y0 + kernel[0], h); ++yy)
              for (std::int64_t xx = std::max<std::int64_t>(x0, 0); xx < std::min(x0 + kernel[1], w); ++xx)
                sum = max ? std::max(sum, from[yy * w + xx]) : sum + from[yy * w + xx];
            *to++ = max ? sum : sum / static_cast<float>(kernel[0] * kernel[1]);
          }
      }
    });
    return std::move(y);
  }

  Result<Tensor> operator()(const Flatten&) const {
    MCOMP_TRY(y, Tensor::copy_of(x()));
    return std::move(y).reshaped({samples(), context.output_shape[0]});
  }

  Result<Tensor> operator()(const SubsamplePad& s) const {
    MCOMP_TRY(y, output());
    const std::int64_t channels = x().size(1), h = x().size(2), w = x().size(3);
    const std::int64_t out_channels = y.size(1), oh = y.size(2), ow = y.size(3);
    float* to = data(y);
    for (std::int64_t n = 0; n < samples(); ++n)
      for (std::int64_t c = 0; c < out_channels; ++c) {
        const std::int64_t source = c - s.channels_before;
        const bool zero = source < 0 || source >= channels;
        for (std::int64_t oy = 0; oy < oh; ++oy)
          for (std::int64_t ox = 0; ox < ow; ++ox)
            *to++ = zero ? 0.0f : data(x())[((n * channels + source) * h + oy * s.stride[0]) * w + ox * s.stride[1]];
      }
    return std::move(y);
  }

  Result<Tensor> operator()(const Softmax&) const {
    MCOMP_TRY(y, output());
    const std::int64_t classes = x().size(1);
    for (std::int64_t n = 0; n < samples(); ++n) {
      const float* from = data(x()) + n * classes;
      float* to = data(y) + n * classes;
      const float top = *std::max_element(from, from + classes);
      float sum = 0;
      for (std::int64_t c = 0; c < classes; ++c) sum += to[c] = std::exp(from[c] - top);
      for (std::int64_t c = 0; c < classes; ++c) to[c] /= sum;
    }
    return std::move(y);
  }
};

} // namespace

Result<Tensor> run_reference_layer(const LayerInputs& context, const std::vector<const Tensor*>& inputs) {
  return std::visit(Reference{context, inputs}, context.layer.operation);
}

Result<TensorStore> weights_as_f32(const Network& network, const TensorStore& weights) {
  MCOMP_CHECK(check_weights(network, weights));
  TensorStore result = weights;
  for (const std::string& name : tensor_names(network)) {
    MCOMP_TRY(tensor, weights.find(name));
    if (tensor.dtype() == DType::f32 && tensor.contiguous()) continue;
    MCOMP_TRY(converted, to_f32(tensor, name));
    result.put(name, std::move(converted));
  }
  return result;
}

} // namespace mcomp::inline v0::graph::detail
