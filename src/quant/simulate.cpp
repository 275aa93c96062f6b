#include <cmath>
#include <numeric>

#include "core/try.hpp"
#include "graph/im2col.hpp"
#include "graph/reference_layers.hpp"
#include "mcomp/core/eigen.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/quant/program.hpp"
#include "quant/epilogue.hpp"

namespace mcomp::inline v0::quant {

namespace {

using graph::Convolution;
using graph::Linear;
using graph::Pooling;
using graph::PoolingKind;

using Matrix = RowMajorMatrix<float>;
using ConstMap = Eigen::Map<const Matrix>;

/// Code minus zero point, of codes stored as bytes.
struct CodeReader {
  const std::uint8_t* bytes;
  bool is_signed;
  std::int32_t zero;
  [[nodiscard]] std::int32_t operator[](std::int64_t i) const {
    return (is_signed ? static_cast<std::int8_t>(bytes[i]) : static_cast<std::int32_t>(bytes[i])) - zero;
  }
};

CodeReader reader(const Tensor& codes, const Parameters& p) {
  return {static_cast<const std::uint8_t*>(codes.data()), p.dtype == DType::int8, p.zero_point};
}

/// Exact integer products through f32: with |x| <= 255 and |w| <= 128 a sum of 512 products stays below 2^24, where f32
/// holds every integer; longer sums are cut and added as int32.
void exact_product(const Matrix& weights, const Matrix& columns, std::int32_t* accumulators) {
  constexpr Eigen::Index longest = 512;
  static_assert(longest * 255 * 128 < (1 << 24));
  const Eigen::Index depth = weights.cols(), n = columns.cols();
  std::fill_n(accumulators, weights.rows() * n, 0);
  for (Eigen::Index k = 0; k < depth; k += longest) {
    const Eigen::Index part = std::min(longest, depth - k);
    const Matrix sums = weights.middleCols(k, part) * columns.middleRows(k, part);
    for (Eigen::Index i = 0; i < sums.size(); ++i) accumulators[i] += static_cast<std::int32_t>(sums.data()[i]);
  }
}

class SimulatedRunner final : public ProgramRunner {
 public:
  SimulatedRunner(Program program, SimulationOptions options)
      : program_(std::move(program)), options_(std::move(options)) {
    if (!options_.float_step)
      options_.float_step = [this](const Step& step, const std::vector<const Tensor*>& inputs) {
        return reference_step(step, inputs);
      };
    last_use_.assign(program_.values.size(), 0);
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      for (const std::size_t input : program_.steps[s].inputs) last_use_[input] = s;
      if (program_.steps[s].residual) last_use_[*program_.steps[s].residual] = s;
    }
  }

  [[nodiscard]] const graph::Network& network() const noexcept override { return program_.network; }
  [[nodiscard]] const Program& program() const noexcept override { return program_; }
  void observe_accumulators(AccumulatorTap tap) override { accumulator_tap_ = std::move(tap); }

  [[nodiscard]] Result<Tensor> run(const TensorView& input, const graph::Tap& tap) override {
    MCOMP_CHECK(require(input, "input", DType::f32, program_.network.input.shape.rank() + 1));
    if (input.shape() != graph::with_samples(input.size(0), program_.network.input.shape))
      return Error(ErrorCode::invalid_shape, "input",
                   fmt::format("shape {} is not [samples] + {}", input.shape(), program_.network.input.shape),
                   "pass samples of the network's input shape");
    values_.assign(program_.values.size(), Tensor());
    MCOMP_TRY(first, Tensor::copy_of(input));
    if (tap) tap(graph::network_input, first);
    MCOMP_TRY(stored, store(program_.values[0], std::move(first)));
    values_[0] = std::move(stored);
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      const Step& step = program_.steps[s];
      MCOMP_TRY(output, step.integer ? integer_step(step) : on_codes(step) ? code_step(step) : float_step(step));
      values_[step.output] = std::move(output);
      if (tap) {
        MCOMP_TRY(real, as_f32(step.output));
        tap(program_.values[step.output].name, real);
      }
      for (std::size_t v = 0; v < values_.size(); ++v)
        if (last_use_[v] == s && v != step.output && v != program_.output) values_[v] = Tensor();
    }
    return as_f32(program_.output);
  }

 private:
  [[nodiscard]] Result<Tensor> as_f32(std::size_t value) const {
    const auto& codes = program_.values[value].codes;
    return codes ? dequantize_activations(values_[value], *codes) : Tensor::copy_of(values_[value]);
  }

  [[nodiscard]] static Result<Tensor> store(const Value& value, Tensor real) {
    if (!value.codes) return real;
    return quantize_activations(real, *value.codes);
  }

  [[nodiscard]] bool on_codes(const Step& step) const {
    const auto &in = program_.values[step.inputs[0]].codes, &out = program_.values[step.output].codes;
    if (!in) return false;
    if (const auto* p = std::get_if<Pooling>(&step.operation); p && p->kind == PoolingKind::average) return true;
    return out == in &&
           (std::holds_alternative<graph::SubsamplePad>(step.operation) ||
            std::holds_alternative<graph::Flatten>(step.operation) || std::holds_alternative<Pooling>(step.operation));
  }

  [[nodiscard]] Executor& executor() const { return options_.executor ? *options_.executor : serial_executor(); }

  Result<Tensor> integer_step(const Step& step) {
    const Value &in = program_.values[step.inputs[0]], &out = program_.values[step.output];
    const Tensor& x = values_[step.inputs[0]];
    const std::int64_t samples = x.size(0);
    MCOMP_TRY(accumulators, Tensor::uninitialized(DType::int32, graph::with_samples(samples, out.shape)));
    auto* sums = static_cast<std::int32_t*>(accumulators.data());
    const IntegerWeights& integer = *step.integer;
    const std::int64_t out_channels = integer.codes.size(0), depth = integer.codes.elements() / out_channels;
    MCOMP_TRY(weights_f32, to_f32(integer.codes, step.layer));
    const float* w = static_cast<const float*>(weights_f32.data());
    const CodeReader codes = reader(x, *in.codes);
    const std::int64_t plane = out.shape.elements() / out_channels;
    if (const auto* c = std::get_if<Convolution>(&step.operation)) {
      const std::int64_t channels = in.shape[0], group_in = channels / c->groups, group_out = out_channels / c->groups;
      const graph::detail::ConvolutionSizes sizes{group_in,     in.shape[1], in.shape[2], out.shape[1],
                                                  out.shape[2], c->kernel,   c->stride,   c->padding};
      executor().run(static_cast<std::size_t>(samples), [&](std::size_t sample) {
        const auto n = static_cast<std::int64_t>(sample);
        std::vector<float> image(static_cast<std::size_t>(group_in * in.shape[1] * in.shape[2]));
        Matrix columns(sizes.rows(), sizes.columns());
        for (std::int64_t g = 0; g < c->groups; ++g) {
          const std::int64_t first = (n * channels + g * group_in) * in.shape[1] * in.shape[2];
          for (std::size_t i = 0; i < image.size(); ++i)
            image[i] = static_cast<float>(codes[first + static_cast<std::int64_t>(i)]);
          graph::detail::im2col(image.data(), sizes, 0.0f, columns.data());
          exact_product(ConstMap(w + g * group_out * depth, group_out, depth), columns,
                        sums + (n * out_channels + g * group_out) * plane);
        }
      });
    } else {
      executor().run(static_cast<std::size_t>(samples), [&](std::size_t sample) {
        Matrix column(depth, 1);
        for (std::int64_t k = 0; k < depth; ++k)
          column(k, 0) = static_cast<float>(codes[static_cast<std::int64_t>(sample) * depth + k]);
        exact_product(ConstMap(w, out_channels, depth), column,
                      sums + static_cast<std::int64_t>(sample) * out_channels);
      });
    }
    if (accumulator_tap_) accumulator_tap_(step.layer, accumulators);
    return finish(step, accumulators, plane);
  }

  Result<Tensor> finish(const Step& step, const Tensor& accumulators, std::int64_t plane) const {
    const Value& out = program_.values[step.output];
    const IntegerWeights& integer = *step.integer;
    Tensor residual;
    if (step.residual) {
      MCOMP_TRY(real, as_f32(*step.residual));
      residual = std::move(real);
    }
    const detail::ActivationBounds bounds(step.activation);
    MCOMP_TRY(result, Tensor::uninitialized(DType::f32, accumulators.shape()));
    auto y = result.mutable_values<float>();
    const auto* sums = static_cast<const std::int32_t*>(accumulators.data());
    const auto* r = static_cast<const float*>(residual.data());
    const auto channels = static_cast<std::int64_t>(integer.bias.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto c = static_cast<std::size_t>(static_cast<std::int64_t>(i) / plane % channels);
      float v = detail::scaled(sums[i], integer.multiplier[c], integer.bias[c]);
      if (r) v = v + r[i];
      y[i] = detail::activated(v, bounds);
    }
    return store(out, std::move(result));
  }

  /// Movement and pooling of codes.
  Result<Tensor> code_step(const Step& step) {
    const Value &in = program_.values[step.inputs[0]], &out = program_.values[step.output];
    const Tensor& x = values_[step.inputs[0]];
    const std::int64_t samples = x.size(0);
    if (std::holds_alternative<graph::Flatten>(step.operation)) {
      MCOMP_TRY(copy, Tensor::copy_of(x));
      return std::move(copy).reshaped(graph::with_samples(samples, out.shape));
    }
    if (const auto* s = std::get_if<graph::SubsamplePad>(&step.operation)) {
      MCOMP_TRY(y, Tensor::uninitialized(x.dtype(), graph::with_samples(samples, out.shape)));
      auto* to = static_cast<std::uint8_t*>(y.data());
      const auto* from = static_cast<const std::uint8_t*>(x.data());
      for (std::int64_t n = 0; n < samples; ++n)
        for (std::int64_t c = 0; c < out.shape[0]; ++c) {
          const std::int64_t source = c - s->channels_before;
          for (std::int64_t oy = 0; oy < out.shape[1]; ++oy)
            for (std::int64_t ox = 0; ox < out.shape[2]; ++ox)
              *to++ = source < 0 || source >= in.shape[0]
                          ? static_cast<std::uint8_t>(in.codes->zero_point)
                          : from[((n * in.shape[0] + source) * in.shape[1] + oy * s->stride[0]) * in.shape[2] +
                                 ox * s->stride[1]];
        }
      return std::move(y);
    }
    return pool(std::get<Pooling>(step.operation), in, out, x);
  }

  static Result<Tensor> pool(const Pooling& p, const Value& in, const Value& out, const Tensor& x) {
    const std::int64_t h = in.shape[1], w = in.shape[2], planes = x.size(0) * in.shape[0];
    const graph::Pair kernel = p.global ? graph::Pair{h, w} : p.kernel,
                      stride = p.global ? graph::Pair{1, 1} : p.stride,
                      padding = p.global ? graph::Pair{0, 0} : p.padding;
    const CodeReader codes = reader(x, *in.codes);
    const float factor = in.codes->scale / static_cast<float>(kernel[0] * kernel[1]);
    MCOMP_TRY(result, Tensor::uninitialized(DType::f32, graph::with_samples(x.size(0), out.shape)));
    float* to = static_cast<float*>(result.data());
    for (std::int64_t plane = 0; plane < planes; ++plane)
      for (std::int64_t oy = 0; oy < out.shape[1]; ++oy)
        for (std::int64_t ox = 0; ox < out.shape[2]; ++ox) {
          const std::int64_t y0 = oy * stride[0] - padding[0], x0 = ox * stride[1] - padding[1];
          std::int32_t sum = p.kind == PoolingKind::max ? std::numeric_limits<std::int32_t>::min() : 0;
          for (std::int64_t yy = std::max<std::int64_t>(y0, 0); yy < std::min(y0 + kernel[0], h); ++yy)
            for (std::int64_t xx = std::max<std::int64_t>(x0, 0); xx < std::min(x0 + kernel[1], w); ++xx) {
              const std::int32_t code = codes[(plane * h + yy) * w + xx];
              sum = p.kind == PoolingKind::max ? std::max(sum, code) : sum + code;
            }
          *to++ = static_cast<float>(sum) * (p.kind == PoolingKind::max ? in.codes->scale : factor);
        }
    return store(out, std::move(result));
  }

  Result<Tensor> float_step(const Step& step) {
    std::vector<Tensor> reals;
    std::vector<std::size_t> sources = step.inputs;
    if (step.residual) sources.push_back(*step.residual);
    for (const std::size_t source : sources) {
      MCOMP_TRY(real, as_f32(source));
      reals.push_back(std::move(real));
    }
    std::vector<const Tensor*> inputs;
    for (const Tensor& real : reals) inputs.push_back(&real);
    const bool weights =
        std::holds_alternative<Convolution>(step.operation) || std::holds_alternative<Linear>(step.operation);
    MCOMP_TRY(result, weights ? options_.float_step(step, inputs) : reference_step(step, inputs));
    return store(program_.values[step.output], std::move(result));
  }

  Result<Tensor> reference_step(const Step& step, const std::vector<const Tensor*>& inputs) const {
    const graph::Layer layer{step.layer, step.operation, {}};
    const Shape& shape = program_.values[step.output].shape;
    MCOMP_TRY(result, graph::detail::run_reference_layer({layer, program_.weights, shape, executor()}, inputs));
    auto y = result.mutable_values<float>();
    if (step.residual) {
      const float* r = static_cast<const float*>(inputs.back()->data());
      for (std::size_t i = 0; i < y.size(); ++i) y[i] += r[i];
    }
    if (step.activation)
      for (float& v : y) v = graph::activate(*step.activation, v);
    return std::move(result);
  }

  Program program_;
  SimulationOptions options_;
  AccumulatorTap accumulator_tap_;
  std::vector<Tensor> values_;
  std::vector<std::size_t> last_use_;
};

} // namespace

Result<std::unique_ptr<ProgramRunner>> simulated_runner(Program program, const SimulationOptions& options) {
  return std::unique_ptr<ProgramRunner>(new SimulatedRunner(std::move(program), options));
}

} // namespace mcomp::inline v0::quant
