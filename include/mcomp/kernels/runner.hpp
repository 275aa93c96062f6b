#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mcomp/kernels/capabilities.hpp"
#include "mcomp/quant/program.hpp"

// Executes a lowered program on oneDNN: what `quant::simulated_runner` simulates.
//
//     auto program = mcomp::quant::lower(network, weights, quantization).value();
//     auto runner = mcomp::kernels::executed_runner(program, {.threads = 2}).value();
//     mcomp::Tensor logits = runner->run(images).value();

namespace mcomp::inline v0::kernels {

struct ExecutionOptions {
  int threads = 1;              ///< threads of oneDNN that one call may use; one inside an executor's task
  Executor* executor = nullptr; ///< runs parts of a batch side by side
  /// Samples that go through the network together, so that activations stay in the cache; 0 chooses by their size.
  std::int64_t micro_batch = 0;
};

/// The samples that a runner with `micro_batch` 0 takes through the network together: as many as keep the largest
/// activations, with their accumulators, within a second-level cache.
[[nodiscard]] MCOMP_KERNELS_API std::int64_t micro_batch(const quant::Program& program);

/// Errors: unsupported (no oneDNN, or a step it cannot run exactly), version_mismatch, invalid_argument.
[[nodiscard]] MCOMP_KERNELS_API Result<std::unique_ptr<quant::ProgramRunner>>
executed_runner(quant::Program program, const ExecutionOptions& options = {});

/// The kernels' own computation of the convolutions and linear layers of `program` that stayed in f32: given to
/// `quant::simulated_runner`, the simulation equals the execution bit for bit.
/// @param options threads and micro_batch of the runner to be compared with: the order of an f32 sum may depend on them
[[nodiscard]] MCOMP_KERNELS_API Result<quant::FloatStep> float_step(const quant::Program& program,
                                                                    const ExecutionOptions& options = {});

/// Median seconds of one step for a whole batch, and what oneDNN chose for it.
struct StepTime {
  std::string layer;
  bool integer = false;
  double seconds = 0;
  std::string implementation;
};

/// Runs `input` (f32, [samples, input shape]) `repeats` times and times every step. Errors: those of `run`.
[[nodiscard]] MCOMP_KERNELS_API Result<std::vector<StepTime>> time_steps(const quant::Program& program,
                                                                         const TensorView& input, int repeats = 15,
                                                                         const ExecutionOptions& options = {});

} // namespace mcomp::inline v0::kernels
