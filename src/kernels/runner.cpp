#include "mcomp/kernels/runner.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/try.hpp"
#include "kernels/channels_last.hpp"
#include "kernels/layer_kernel.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::kernels {

namespace {

using detail::LayerKernel;
using detail::LayerSpec;
using detail::Plane;
using detail::Workspace;
using quant::Parameters;
using quant::Program;
using quant::Step;
using quant::Value;

/// Codes as uint8: int8 codes shifted by 128 mean the same numbers.
std::optional<Parameters> as_unsigned(std::optional<Parameters> codes) {
  if (!codes || codes->dtype == DType::uint8) return codes;
  // The lowest code of a symmetric int8 range, -127, becomes 1: the lowest of symmetric uint8.
  codes->dtype = DType::uint8;
  codes->zero_point += 128;
  return codes;
}

/// The kernel of a convolution or linear step.
Result<std::unique_ptr<LayerKernel>> make_kernel(const Program& program, const Step& step, bool codes_outside) {
  const Shape &in = program.values[step.inputs[0]].shape, &out = program.values[step.output].shape;
  detail::PrimitiveShape s;
  s.in_channels = in[0];
  s.out_channels = out[0];
  const graph::WeightNames names = graph::weight_names(step.operation);
  if (const auto* c = std::get_if<graph::Convolution>(&step.operation)) {
    s.in_height = in[1], s.in_width = in[2], s.out_height = out[1], s.out_width = out[2];
    s.kernel_height = c->kernel[0], s.kernel_width = c->kernel[1];
    s.stride_height = c->stride[0], s.stride_width = c->stride[1];
    s.pad_top = s.pad_bottom = c->padding[0], s.pad_left = s.pad_right = c->padding[1];
    s.groups = c->groups;
  }
  LayerSpec spec{s, std::nullopt, step.activation, step.residual.has_value(), std::nullopt, std::nullopt};
  if (codes_outside) {
    if (step.residual) spec.residual_codes = as_unsigned(program.values[*step.residual].codes);
    spec.output_codes = as_unsigned(program.values[step.output].codes);
  }
  const auto named = [&](const Error& error) { return error.within(fmt::format("layer '{}'", step.layer)); };
  if (step.integer) {
    spec.input_codes = as_unsigned(program.values[step.inputs[0]].codes);
    auto kernel =
        LayerKernel::integer(std::move(spec), step.integer->codes, step.integer->multiplier, step.integer->bias);
    if (!kernel) return named(kernel.error());
    return kernel;
  }
  MCOMP_TRY(view, program.weights.find(*names.weight));
  MCOMP_TRY(weights, Tensor::copy_of(view));
  std::vector<float> bias;
  if (!names.bias->empty()) {
    MCOMP_TRY(bias_view, program.weights.find(*names.bias));
    MCOMP_TRY(values, bias_view.values<float>(*names.bias));
    bias.assign(values.begin(), values.end());
  }
  auto kernel = LayerKernel::real(std::move(spec), std::move(weights), std::move(bias));
  if (!kernel) return named(kernel.error());
  return kernel;
}

/// Memory of one task: the slots that values live in, and what layers need.
struct Memory {
  std::vector<Tensor> slots;
  std::vector<float> first, second, third; ///< f32 copies of inputs and of the output
  Workspace workspace;
};

class ExecutedRunner final : public quant::ProgramRunner {
 public:
  ExecutedRunner(Program program, const ExecutionOptions& options) : program_(std::move(program)), options_(options) {}

  Status build() {
    for (Value& value : program_.values) value.codes = as_unsigned(value.codes);
    for (const Step& step : program_.steps) {
      kernels_.emplace_back();
      if (!graph::weight_names(step.operation)) continue;
      MCOMP_TRY(kernel, make_kernel(program_, step, true));
      kernels_.back() = std::move(kernel);
    }
    assign_slots();
    if (options_.micro_batch == 0) options_.micro_batch = kernels::micro_batch(program_);
    return {};
  }

  [[nodiscard]] const graph::Network& network() const noexcept override { return program_.network; }
  [[nodiscard]] const Program& program() const noexcept override { return program_; }
  void observe_accumulators(quant::AccumulatorTap tap) override { accumulator_tap_ = std::move(tap); }

  [[nodiscard]] Result<Tensor> run(const TensorView& input, const graph::Tap& tap) override {
    MCOMP_CHECK(check_input(input));
    const std::int64_t samples = input.size(0);
    const Value& out = program_.values[program_.output];
    MCOMP_TRY(output, Tensor::uninitialized(DType::f32, graph::with_samples(samples, out.shape)));
    const bool observed = tap || accumulator_tap_;
    const std::int64_t part = std::min(samples, options_.micro_batch);
    const std::int64_t parts = (samples + part - 1) / part;
    std::mutex mutex;
    std::optional<Error> first_error;
    const auto run_part = [&](std::size_t index) {
      const std::int64_t begin = static_cast<std::int64_t>(index) * part, count = std::min(part, samples - begin);
      const auto* x = static_cast<const float*>(input.data()) + begin * program_.network.input.shape.elements();
      float* y = static_cast<float*>(output.data()) + begin * out.shape.elements();
      std::unique_ptr<Memory> memory = borrow();
      const Status status = run_samples(count, x, y, *memory, tap);
      give_back(std::move(memory));
      if (status) return;
      const std::lock_guard lock(mutex);
      if (!first_error) first_error = status.error();
    };
    if (options_.executor && parts > 1 && !observed) {
      options_.executor->run(static_cast<std::size_t>(parts), [&](std::size_t i) {
        const detail::ThreadBound bound(1);
        run_part(i);
      });
    } else {
      const detail::ThreadBound bound(options_.threads);
      for (std::int64_t i = 0; i < parts && !first_error; ++i) run_part(static_cast<std::size_t>(i));
    }
    if (first_error) return *first_error;
    return std::move(output);
  }

  /// Seconds of each step over a batch, added up over its parts.
  Result<std::vector<double>> time_once(const TensorView& input) {
    times_.assign(program_.steps.size(), 0.0);
    timing_ = true;
    Executor* executor = std::exchange(options_.executor, nullptr);
    auto output = run(input, {});
    options_.executor = executor;
    timing_ = false;
    if (!output) return output.error();
    return times_;
  }
  Result<std::string> implementation(std::size_t step, std::int64_t samples) const {
    return kernels_[step] ? kernels_[step]->implementation(std::min(samples, options_.micro_batch))
                          : std::string("own");
  }

 private:
  Status check_input(const TensorView& input) const {
    MCOMP_TRY(values, input.values<float>("input"));
    static_cast<void>(values);
    if (input.rank() == 0 || input.size(0) == 0 ||
        input.shape() != graph::with_samples(input.size(0), program_.network.input.shape))
      return Error(ErrorCode::invalid_shape, "input",
                   fmt::format("shape {} is not [samples] + {} with at least one sample", input.shape(),
                               program_.network.input.shape),
                   "pass samples of the network's input shape");
    return {};
  }

  [[nodiscard]] std::int64_t value_bytes(std::size_t value) const {
    return program_.values[value].shape.elements() * (program_.values[value].codes ? 1 : 4);
  }

  /// Gives values memory, which they leave after their last use; a residual in f32 is added in place.
  void assign_slots() {
    std::vector<std::size_t> last_use(program_.values.size(), 0);
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      for (const std::size_t input : program_.steps[s].inputs) last_use[input] = s;
      if (program_.steps[s].residual) last_use[*program_.steps[s].residual] = s;
    }
    last_use[program_.output] = program_.steps.size();
    slot_.assign(program_.values.size(), 0);
    std::vector<std::size_t> free;
    const auto take = [&](std::int64_t bytes) {
      std::size_t slot = slot_bytes_.size();
      if (free.empty())
        slot_bytes_.push_back(0);
      else
        slot = free.back(), free.pop_back();
      slot_bytes_[slot] = std::max(slot_bytes_[slot], bytes);
      return slot;
    };
    slot_[0] = take(value_bytes(0));
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      const Step& step = program_.steps[s];
      const bool f32_sum = step.residual && graph::weight_names(step.operation) && !step.integer &&
                           !program_.values[step.output].codes && !program_.values[*step.residual].codes &&
                           last_use[*step.residual] == s && *step.residual != step.inputs[0];
      slot_[step.output] = f32_sum ? slot_[*step.residual] : take(value_bytes(step.output));
      std::vector<std::size_t> read = step.inputs;
      if (step.residual) read.push_back(*step.residual);
      std::sort(read.begin(), read.end());
      read.erase(std::unique(read.begin(), read.end()), read.end());
      for (const std::size_t value : read)
        if (last_use[value] == s && slot_[value] != slot_[step.output]) free.push_back(slot_[value]);
      if (last_use[step.output] == 0 && step.output != program_.output) free.push_back(slot_[step.output]);
    }
  }

  std::unique_ptr<Memory> borrow() {
    const std::lock_guard lock(memory_mutex_);
    if (idle_.empty()) return std::make_unique<Memory>();
    std::unique_ptr<Memory> memory = std::move(idle_.back());
    idle_.pop_back();
    return memory;
  }
  void give_back(std::unique_ptr<Memory> memory) {
    const std::lock_guard lock(memory_mutex_);
    idle_.push_back(std::move(memory));
  }

  [[nodiscard]] void* data(Memory& m, std::size_t value) const { return m.slots[slot_[value]].data(); }

  Status run_samples(std::int64_t samples, const float* x, float* y, Memory& m, const graph::Tap& tap) {
    m.slots.resize(slot_bytes_.size());
    for (std::size_t i = 0; i < slot_bytes_.size(); ++i)
      if (m.slots[i].bytes() < samples * slot_bytes_[i]) {
        MCOMP_TRY(memory, Tensor::uninitialized(DType::uint8, {samples * slot_bytes_[i]}));
        m.slots[i] = std::move(memory);
      }
    const Value& first = program_.values[0];
    if (first.codes) {
      m.first.resize(static_cast<std::size_t>(samples * first.shape.elements()));
      detail::channels_to_last(x, samples, Plane(first.shape), m.first.data());
      detail::quantize_rows(m.first.data(), samples * first.shape.elements(), *first.codes,
                            static_cast<std::uint8_t*>(data(m, 0)));
    } else {
      detail::channels_to_last(x, samples, Plane(first.shape), static_cast<float*>(data(m, 0)));
    }
    if (tap) MCOMP_CHECK(report(samples, 0, m, tap));
    for (std::size_t s = 0; s < program_.steps.size(); ++s) {
      const auto begin = timing_ ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
      MCOMP_CHECK(kernels_[s] ? run_weights(samples, s, m) : run_other(samples, program_.steps[s], m));
      if (timing_) times_[s] += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      if (tap) MCOMP_CHECK(report(samples, program_.steps[s].output, m, tap));
    }
    const Value& out = program_.values[program_.output];
    const float* result = as_f32(samples, program_.output, m, m.first);
    detail::channels_to_first(result, samples, Plane(out.shape), y);
    return {};
  }

  /// The value as f32, in the slot itself or in `copy`.
  const float* as_f32(std::int64_t samples, std::size_t value, Memory& m, std::vector<float>& copy) const {
    const Value& v = program_.values[value];
    if (!v.codes) return static_cast<const float*>(data(m, value));
    copy.resize(static_cast<std::size_t>(samples * v.shape.elements()));
    detail::dequantize_rows(static_cast<const std::uint8_t*>(data(m, value)), samples * v.shape.elements(), *v.codes,
                            copy.data());
    return copy.data();
  }

  Status report(std::int64_t samples, std::size_t value, Memory& m, const graph::Tap& tap) const {
    const Value& v = program_.values[value];
    MCOMP_TRY(real, Tensor::uninitialized(DType::f32, graph::with_samples(samples, v.shape)));
    detail::channels_to_first(as_f32(samples, value, m, m.third), samples, Plane(v.shape),
                              static_cast<float*>(real.data()));
    tap(v.name, real);
    return {};
  }

  Status run_weights(std::int64_t samples, std::size_t index, Memory& m) {
    const Step& step = program_.steps[index];
    const void* x = data(m, step.inputs[0]);
    if (!step.integer) x = as_f32(samples, step.inputs[0], m, m.first);
    const void* residual = step.residual ? data(m, *step.residual) : nullptr;
    if (!step.integer || !accumulator_tap_)
      return kernels_[index]->run(samples, x, residual, data(m, step.output), m.workspace);
    const Shape& shape = program_.values[step.output].shape;
    MCOMP_TRY(last, Tensor::uninitialized(DType::int32, graph::with_samples(samples, shape)));
    MCOMP_TRY(sums, Tensor::uninitialized(DType::int32, graph::with_samples(samples, shape)));
    MCOMP_CHECK(kernels_[index]->run(samples, x, residual, data(m, step.output), m.workspace,
                                     static_cast<std::int32_t*>(last.data())));
    detail::channels_to_first(static_cast<const std::int32_t*>(last.data()), samples, Plane(shape),
                              static_cast<std::int32_t*>(sums.data()));
    accumulator_tap_(step.layer, sums);
    return {};
  }

  Status run_other(std::int64_t samples, const Step& step, Memory& m) {
    const Value &in = program_.values[step.inputs[0]], &out = program_.values[step.output];
    const Plane from(in.shape), to(out.shape);
    const std::int64_t count = samples * out.shape.elements();
    const auto* pooling = std::get_if<graph::Pooling>(&step.operation);
    if (in.codes && in.codes == out.codes) { // movement of codes
      const auto* x = static_cast<const std::uint8_t*>(data(m, step.inputs[0]));
      auto* y = static_cast<std::uint8_t*>(data(m, step.output));
      if (const auto* s = std::get_if<graph::SubsamplePad>(&step.operation))
        return detail::subsample_pad(x, samples, from, to, *s, static_cast<std::uint8_t>(in.codes->zero_point), y),
               Status();
      if (std::holds_alternative<graph::Flatten>(step.operation))
        return detail::channels_to_first(x, samples, from, y), Status();
      if (pooling && pooling->kind == graph::PoolingKind::max)
        return detail::max_codes(x, samples, from, to, *pooling, y), Status();
    }
    float* y = static_cast<float*>(data(m, step.output));
    if (out.codes) {
      m.third.resize(static_cast<std::size_t>(count));
      y = m.third.data();
    }
    if (pooling && in.codes && pooling->kind == graph::PoolingKind::average) {
      detail::average_codes(static_cast<const std::uint8_t*>(data(m, step.inputs[0])), samples, from, to, *pooling,
                            in.codes->zero_point, in.codes->scale, y);
    } else {
      const float* x = as_f32(samples, step.inputs[0], m, m.first);
      const float* other = step.inputs.size() > 1 ? as_f32(samples, step.inputs[1], m, m.second) : nullptr;
      MCOMP_CHECK(compute(samples, step, x, other, from, to, y));
    }
    if (out.codes) detail::quantize_rows(y, count, *out.codes, static_cast<std::uint8_t*>(data(m, step.output)));
    return {};
  }

  /// One operation without kernels, in f32 and in the order of the reference runner.
  Status compute(std::int64_t samples, const Step& step, const float* x, const float* other, const Plane& from,
                 const Plane& to, float* y) const {
    const std::int64_t count = samples * to.elements();
    if (const auto* a = std::get_if<graph::Activation>(&step.operation)) {
      std::transform(x, x + count, y, [&](float v) { return graph::activate(a->kind, v); });
    } else if (std::holds_alternative<graph::Add>(step.operation)) {
      std::transform(x, x + count, other, y, std::plus<>());
    } else if (const auto* b = std::get_if<graph::BatchNorm>(&step.operation)) {
      MCOMP_TRY(gamma, program_.weights.find(b->weight));
      MCOMP_TRY(beta, program_.weights.find(b->bias));
      MCOMP_TRY(mean, program_.weights.find(b->running_mean));
      MCOMP_TRY(var, program_.weights.find(b->running_var));
      const auto at = [](const TensorView& t, std::int64_t c) { return static_cast<const float*>(t.data())[c]; };
      for (std::int64_t c = 0; c < to.channels; ++c) {
        const float factor = at(gamma, c) / std::sqrt(at(var, c) + static_cast<float>(b->epsilon));
        for (std::int64_t i = c; i < count; i += to.channels) y[i] = (x[i] - at(mean, c)) * factor + at(beta, c);
      }
    } else if (const auto* p = std::get_if<graph::Pooling>(&step.operation)) {
      detail::pool_f32(x, samples, from, to, *p, y);
    } else if (std::holds_alternative<graph::Flatten>(step.operation)) {
      detail::channels_to_first(x, samples, from, y);
    } else if (const auto* s = std::get_if<graph::SubsamplePad>(&step.operation)) {
      detail::subsample_pad(x, samples, from, to, *s, 0.0f, y);
    } else { // softmax
      for (std::int64_t n = 0; n < samples; ++n, x += to.channels, y += to.channels) {
        const float top = *std::max_element(x, x + to.channels);
        float sum = 0;
        for (std::int64_t c = 0; c < to.channels; ++c) sum += y[c] = std::exp(x[c] - top);
        for (std::int64_t c = 0; c < to.channels; ++c) y[c] /= sum;
      }
    }
    return {};
  }

  Program program_;
  ExecutionOptions options_;
  std::vector<std::unique_ptr<LayerKernel>> kernels_; ///< one a step; null for steps without weights
  std::vector<std::size_t> slot_;                     ///< of each value
  std::vector<std::int64_t> slot_bytes_;              ///< for one sample
  std::mutex memory_mutex_;
  std::vector<std::unique_ptr<Memory>> idle_;
  quant::AccumulatorTap accumulator_tap_;
  bool timing_ = false;
  std::vector<double> times_;
};

Result<std::unique_ptr<ExecutedRunner>> build(Program program, const ExecutionOptions& options) {
  MCOMP_CHECK(require_execution());
  constexpr int most_threads = 4096;
  if (options.threads < 1 || options.threads > most_threads || options.micro_batch < 0)
    return Error(ErrorCode::invalid_argument, "execution options",
                 fmt::format("{} threads, micro batch {}", options.threads, options.micro_batch),
                 "give 1 to 4096 threads and a micro batch of 0 (automatic) or more");
  auto runner = std::make_unique<ExecutedRunner>(std::move(program), options);
  MCOMP_CHECK(runner->build());
  return runner;
}

} // namespace

std::int64_t micro_batch(const Program& program) {
  constexpr std::int64_t cache = 512 * 1024;
  std::int64_t largest = 1;
  for (const Value& value : program.values) largest = std::max(largest, value.shape.elements() * 4);
  return std::clamp<std::int64_t>(cache / largest, 1, 64);
}

Result<std::unique_ptr<quant::ProgramRunner>> executed_runner(Program program, const ExecutionOptions& options) {
  MCOMP_TRY(runner, build(std::move(program), options));
  return std::unique_ptr<quant::ProgramRunner>(std::move(runner));
}

Result<quant::FloatStep> float_step(const Program& program, const ExecutionOptions& options) {
  MCOMP_CHECK(require_execution());
  auto kernels = std::make_shared<std::map<std::string, std::unique_ptr<LayerKernel>>>();
  for (const Step& step : program.steps)
    if (graph::weight_names(step.operation) && !step.integer) {
      MCOMP_TRY(kernel, make_kernel(program, step, false));
      kernels->emplace(step.layer, std::move(kernel));
    }
  const int threads = options.threads;
  const std::int64_t part = options.micro_batch > 0 ? options.micro_batch : micro_batch(program);
  return quant::FloatStep([kernels, threads, part](const Step& step,
                                                   const std::vector<const Tensor*>& inputs) -> Result<Tensor> {
    const auto found = kernels->find(step.layer);
    if (found == kernels->end())
      return Error(ErrorCode::not_found, fmt::format("layer '{}'", step.layer),
                   "it is not an f32 step of the program given to float_step", "simulate the same program");
    const LayerKernel& kernel = *found->second;
    const auto& s = kernel.spec().shape;
    const std::int64_t samples = inputs[0]->size(0);
    const Plane in(Shape{s.in_channels, s.in_height, s.in_width}),
        out(Shape{s.out_channels, s.out_height, s.out_width});
    MCOMP_TRY(result, Tensor::uninitialized(DType::f32,
                                            s.linear() ? Shape{samples, s.out_channels}
                                                       : Shape{samples, s.out_channels, s.out_height, s.out_width}));
    const auto last = [](const Tensor& t, std::int64_t begin, std::int64_t count, const Plane& plane) {
      std::vector<float> copy(static_cast<std::size_t>(count * plane.elements()));
      detail::channels_to_last(static_cast<const float*>(t.data()) + begin * plane.elements(), count, plane,
                               copy.data());
      return copy;
    };
    Workspace workspace;
    const detail::ThreadBound bound(threads);
    // In the same parts as the runner: how oneDNN orders an f32 sum may depend on the number of samples.
    for (std::int64_t begin = 0; begin < samples; begin += part) {
      const std::int64_t count = std::min(part, samples - begin);
      const std::vector<float> x = last(*inputs[0], begin, count, in);
      const std::vector<float> residual =
          inputs.size() > 1 ? last(*inputs[1], begin, count, out) : std::vector<float>();
      std::vector<float> y(static_cast<std::size_t>(count * out.elements()));
      MCOMP_CHECK(kernel.run(count, x.data(), residual.empty() ? nullptr : residual.data(), y.data(), workspace));
      detail::channels_to_first(y.data(), count, out, static_cast<float*>(result.data()) + begin * out.elements());
    }
    return std::move(result);
  });
}

Result<std::vector<StepTime>> time_steps(const Program& program, const TensorView& input, int repeats,
                                         const ExecutionOptions& options) {
  if (repeats < 1)
    return Error(ErrorCode::invalid_argument, "repeats", fmt::format("{}", repeats), "measure at least once");
  MCOMP_TRY(runner, build(program, options));
  MCOMP_TRY(warm, runner->time_once(input)); // makes primitives and touches memory
  std::vector<std::vector<double>> samples(warm.size());
  for (int i = 0; i < repeats; ++i) {
    MCOMP_TRY(times, runner->time_once(input));
    for (std::size_t s = 0; s < times.size(); ++s) samples[s].push_back(times[s]);
  }
  std::vector<StepTime> result;
  for (std::size_t s = 0; s < samples.size(); ++s) {
    auto& seconds = samples[s];
    std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
    MCOMP_TRY(implementation, runner->implementation(s, input.size(0)));
    result.push_back({program.steps[s].layer, program.steps[s].integer != nullptr, seconds[seconds.size() / 2],
                      std::move(implementation)});
  }
  return result;
}

} // namespace mcomp::inline v0::kernels
