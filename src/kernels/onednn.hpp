#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mcomp/core/result.hpp"
#include "mcomp/graph/network.hpp"

// The one door to oneDNN. Behind it lie the differences between its major versions, its exceptions and its threads;
// nothing else in the project includes its headers.

namespace mcomp::inline v0::kernels::detail {

/// Everything that shapes a primitive. A linear layer is `kernel_height == 0`: a product [samples, in] x [out, in].
struct PrimitiveShape {
  std::int64_t samples = 1;
  std::int64_t in_channels = 0, in_height = 1, in_width = 1;
  std::int64_t out_channels = 0, out_height = 1, out_width = 1;
  std::int64_t kernel_height = 0, kernel_width = 0;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  std::int64_t groups = 1;

  [[nodiscard]] bool linear() const noexcept { return kernel_height == 0; }
};

enum class Arithmetic {
  f32,       ///< f32 x f32 -> f32, with bias, sum and activation
  u8_s8_s32, ///< exact integers, nothing after the sum
};

struct PrimitiveOptions {
  Arithmetic arithmetic = Arithmetic::f32;
  bool bias = false;
  bool accumulate = false; ///< adds to what the destination holds
  std::optional<graph::ActivationKind> activation{};
};

/// A created primitive with its packed weights, executed through calls. Activations are channels last.
class Primitive {
 public:
  /// @param weights plain [out, in / groups, kernel] or [out, in], f32 or int8
  static Result<std::shared_ptr<const Primitive>> create(const PrimitiveShape& shape, const PrimitiveOptions& options,
                                                         const void* weights);
  ~Primitive();

  [[nodiscard]] const std::string& implementation() const noexcept;
  [[nodiscard]] std::size_t scratchpad_bytes() const noexcept;

 private:
  friend class Call;
  struct State;
  explicit Primitive(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Execution of one primitive in one thread. Its arguments are made once and only pointed at the buffers of each run:
/// making them anew would take longer than a small layer itself.
class Call {
 public:
  explicit Call(std::shared_ptr<const Primitive> primitive);
  ~Call();

  struct Buffers {
    const void* source;
    const float* bias; ///< null without
    void* destination;
    void* scratchpad;
  };
  Status execute(const Buffers& buffers);

 private:
  struct State;
  std::shared_ptr<const Primitive> primitive_;
  std::unique_ptr<State> state_;
};

/// Bounds the threads that oneDNN uses for calls from this thread, for the life of the object.
class ThreadBound {
 public:
  explicit ThreadBound(int threads) noexcept;
  ~ThreadBound();
  ThreadBound(const ThreadBound&) = delete;
  ThreadBound& operator=(const ThreadBound&) = delete;

 private:
  [[maybe_unused]] int before_ = 0;
};
/// How many threads a call of this thread may use now; 1 where that is not known.
[[nodiscard]] int bound_threads() noexcept;

} // namespace mcomp::inline v0::kernels::detail
