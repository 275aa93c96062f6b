#include "kernels/onednn.hpp"

#include <cstring>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/kernels/capabilities.hpp"

#ifdef MCOMP_WITH_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP && defined(MCOMP_WITH_OPENMP_RUNTIME)
// The two functions of the OpenMP runtime that oneDNN itself uses; declared here because this file is compiled without
// OpenMP, so that no pragma of a header starts threads.
extern "C" {
void omp_set_num_threads(int);
int omp_get_max_threads(void);
}
#define MCOMP_BOUNDS_THREADS 1
#endif
#endif

namespace mcomp::inline v0::kernels {

#ifdef MCOMP_WITH_ONEDNN

namespace {

std::string instruction_set_name(dnnl::cpu_isa isa) {
  switch (isa) {
  case dnnl::cpu_isa::sse41:
    return "SSE4.1";
  case dnnl::cpu_isa::avx:
    return "AVX";
  case dnnl::cpu_isa::avx2:
    return "AVX2";
  case dnnl::cpu_isa::avx2_vnni:
    return "AVX2 VNNI";
  case dnnl::cpu_isa::avx512_core:
    return "AVX-512";
  case dnnl::cpu_isa::avx512_core_vnni:
    return "AVX-512 VNNI";
  case dnnl::cpu_isa::avx512_core_bf16:
    return "AVX-512 VNNI BF16";
  default:
    return "AVX-512 VNNI or later";
  }
}

} // namespace

Capabilities capabilities() {
  Capabilities result;
  const dnnl::version_t* version = dnnl::version();
  result.onednn = version->major == DNNL_VERSION_MAJOR;
  result.onednn_version = fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
  result.instruction_set = instruction_set_name(dnnl::get_effective_cpu_isa());
#ifdef MCOMP_BOUNDS_THREADS
  result.bounds_threads = true;
#endif
  return result;
}

Status require_execution() {
  // Argument numbers differ between major versions, so a mismatch would be undefined behaviour, not a wrong result.
  const dnnl::version_t* version = dnnl::version();
  if (version->major != DNNL_VERSION_MAJOR)
    return Error(ErrorCode::version_mismatch, "oneDNN",
                 fmt::format("version {}.{} is loaded, the library was compiled for {}.{}", version->major,
                             version->minor, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR),
                 "load the major version it was compiled for, or compile it anew");
  return {};
}

namespace detail {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

memory::dim dim(std::int64_t size) {
  return static_cast<memory::dim>(size);
}

struct Descriptions {
  memory::desc source, weights, plain_weights, bias, destination;
};

Descriptions describe(const PrimitiveShape& s, const PrimitiveOptions& options) {
  const bool integer = options.arithmetic == Arithmetic::u8_s8_s32;
  const Type x = integer ? Type::u8 : Type::f32, w = integer ? Type::s8 : Type::f32,
             y = integer ? Type::s32 : Type::f32;
  Descriptions d;
  if (s.linear()) {
    const memory::dims weights{dim(s.in_channels), dim(s.out_channels)};
    d.source = {{dim(s.samples), dim(s.in_channels)}, x, Tag::ab};
    d.plain_weights = {weights, w, Tag::ba}; // stored [out, in]
    d.weights = {weights, w, Tag::any};
    d.bias = {{1, dim(s.out_channels)}, Type::f32, Tag::ab};
    d.destination = {{dim(s.samples), dim(s.out_channels)}, y, Tag::ab};
    return d;
  }
  const memory::dims weights =
      s.groups == 1 ? memory::dims{dim(s.out_channels), dim(s.in_channels), dim(s.kernel_height), dim(s.kernel_width)}
                    : memory::dims{dim(s.groups), dim(s.out_channels / s.groups), dim(s.in_channels / s.groups),
                                   dim(s.kernel_height), dim(s.kernel_width)};
  d.source = {{dim(s.samples), dim(s.in_channels), dim(s.in_height), dim(s.in_width)}, x, Tag::nhwc};
  d.plain_weights = {weights, w, s.groups == 1 ? Tag::oihw : Tag::goihw};
  d.weights = {weights, w, Tag::any};
  d.bias = {{dim(s.out_channels)}, Type::f32, Tag::a};
  d.destination = {{dim(s.samples), dim(s.out_channels), dim(s.out_height), dim(s.out_width)}, y, Tag::nhwc};
  return d;
}

dnnl::primitive_attr attributes(const PrimitiveOptions& options) {
  dnnl::primitive_attr attr;
  // The library's own scratchpad would be allocated at the first call and shared by all threads.
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops post;
  if (options.accumulate) post.append_sum(1.0f);
  const auto eltwise = [&](dnnl::algorithm algorithm, float alpha, float beta) {
#if DNNL_VERSION_MAJOR >= 3
    post.append_eltwise(algorithm, alpha, beta);
#else
    post.append_eltwise(1.0f, algorithm, alpha, beta);
#endif
  };
  if (options.activation == graph::ActivationKind::relu) eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
  if (options.activation == graph::ActivationKind::relu6) eltwise(dnnl::algorithm::eltwise_clip, 0.0f, 6.0f);
  attr.set_post_ops(post);
  return attr;
}

dnnl::convolution_forward::primitive_desc convolution(const PrimitiveShape& s, const PrimitiveOptions& options,
                                                      const Descriptions& d) {
  const memory::dims strides{dim(s.stride_height), dim(s.stride_width)}, before{dim(s.pad_top), dim(s.pad_left)},
      after{dim(s.pad_bottom), dim(s.pad_right)};
  constexpr auto kind = dnnl::prop_kind::forward_inference;
  constexpr auto direct = dnnl::algorithm::convolution_direct;
  const dnnl::primitive_attr attr = attributes(options);
  // An empty description of the bias means none, in both versions.
  const memory::desc bias = options.bias ? d.bias : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), kind, direct, d.source, d.weights, bias, d.destination, strides, before, after, attr};
#else
  return {
      dnnl::convolution_forward::desc(kind, direct, d.source, d.weights, bias, d.destination, strides, before, after),
      attr, engine()};
#endif
}

dnnl::matmul::primitive_desc product(const PrimitiveOptions& options, const Descriptions& d) {
  const dnnl::primitive_attr attr = attributes(options);
#if DNNL_VERSION_MAJOR >= 3
  if (options.bias) return {engine(), d.source, d.weights, d.bias, d.destination, attr};
  return {engine(), d.source, d.weights, d.destination, attr};
#else
  if (options.bias) return {dnnl::matmul::desc(d.source, d.weights, d.bias, d.destination), attr, engine()};
  return {dnnl::matmul::desc(d.source, d.weights, d.destination), attr, engine()};
#endif
}

Error failure(const dnnl::error& error, const PrimitiveShape& s) {
  return {ErrorCode::unsupported, "oneDNN",
          fmt::format("it refuses a {} of {} to {} channels on {} x {}: {}", s.linear() ? "product" : "convolution",
                      s.in_channels, s.out_channels, s.in_height, s.in_width, error.what()),
          "leave this layer to another runner"};
}

#if DNNL_VERSION_MAJOR >= 3
/// Packs weights by the layout that the description spells out; false where it spells out none. oneDNN 3.7's own
/// reorder was seen to write only the first row of a block where a size does not fill its block, in fp32 and in int8.
bool pack(const memory::desc& plain, const void* data, const memory::desc& packed, void* target) {
  const std::size_t width = memory::data_type_size(packed.get_data_type());
  const memory::dims sizes = packed.get_dims(), padded = packed.get_padded_dims(), blocks = packed.get_inner_blks(),
                     block_axes = packed.get_inner_idxs();
  std::size_t elements = 1, count = 1;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    elements *= static_cast<std::size_t>(padded[axis]);
    count *= static_cast<std::size_t>(sizes[axis]);
  }
  if (packed.get_format_kind() != memory::format_kind::blocked || packed.get_size() != elements * width) return false;
  std::memset(target, 0, packed.get_size());
  const memory::dims from_strides = plain.get_strides(), to_strides = packed.get_strides();
  memory::dims index(sizes.size(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    memory::dim from = 0, to = 0, inner = 1;
    memory::dims position = index;
    for (std::size_t b = blocks.size(); b-- > 0;) {
      memory::dim& p = position[static_cast<std::size_t>(block_axes[b])];
      to += p % blocks[b] * inner;
      p /= blocks[b];
      inner *= blocks[b];
    }
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
      from += index[axis] * from_strides[axis];
      to += position[axis] * to_strides[axis];
    }
    std::memcpy(static_cast<char*>(target) + static_cast<std::size_t>(to) * width,
                static_cast<const char*>(data) + static_cast<std::size_t>(from) * width, width);
    for (std::size_t axis = sizes.size(); axis-- > 0;) {
      if (++index[axis] < sizes[axis]) break;
      index[axis] = 0;
    }
  }
  return true;
}
#endif

} // namespace

struct Primitive::State {
  PrimitiveShape shape;
  dnnl::primitive primitive;
  memory weights;
  memory::desc source, bias, destination, scratchpad;
  std::string implementation;

  template <class Description>
  void take(const Description& description, const memory::desc& plain, const void* data, bool has_bias) {
    source = description.src_desc();
    destination = description.dst_desc();
    scratchpad = description.scratchpad_desc();
    if (has_bias) bias = description.bias_desc();
    implementation = description.impl_info_str();
    weights = memory(description.weights_desc(), engine());
#if DNNL_VERSION_MAJOR >= 3
    if (pack(plain, data, description.weights_desc(), weights.get_data_handle())) return;
#endif
    // oneDNN takes non-const pointers everywhere; it does not write to a source.
    memory from(plain, engine(), const_cast<void*>(data));
    dnnl::stream stream(engine());
    dnnl::reorder(from, weights).execute(stream, from, weights);
    stream.wait();
  }
};

Primitive::Primitive(std::unique_ptr<State> state) : state_(std::move(state)) {}
Primitive::~Primitive() = default;

Result<std::shared_ptr<const Primitive>> Primitive::create(const PrimitiveShape& shape, const PrimitiveOptions& options,
                                                           const void* weights) {
  MCOMP_CHECK(require_execution());
  try {
    const Descriptions d = describe(shape, options);
    auto state = std::make_unique<State>();
    state->shape = shape;
    if (shape.linear()) {
      const auto description = product(options, d);
      state->take(description, d.plain_weights, weights, options.bias);
      state->primitive = dnnl::matmul(description);
    } else {
      const auto description = convolution(shape, options, d);
      state->take(description, d.plain_weights, weights, options.bias);
      state->primitive = dnnl::convolution_forward(description);
    }
    return std::shared_ptr<const Primitive>(new Primitive(std::move(state)));
  } catch (const dnnl::error& error) {
    return failure(error, shape);
  }
}

const std::string& Primitive::implementation() const noexcept {
  return state_->implementation;
}
std::size_t Primitive::scratchpad_bytes() const noexcept {
  return state_->scratchpad.get_size();
}

struct Call::State {
  dnnl::stream stream{engine()};
  memory source, bias, destination, scratchpad;
  std::unordered_map<int, memory> arguments;
};

Call::Call(std::shared_ptr<const Primitive> primitive) : primitive_(std::move(primitive)) {}
Call::~Call() = default;

Status Call::execute(const Buffers& b) {
  const Primitive::State& made = *primitive_->state_;
  try {
    if (!state_) {
      auto state = std::make_unique<State>();
      const auto place = [](const memory::desc& description) { return memory(description, engine(), nullptr); };
      state->source = place(made.source);
      state->destination = place(made.destination);
      state->scratchpad = place(made.scratchpad);
      // Copies of a memory object share its handle, so the map follows what is set below.
      state->arguments = {{DNNL_ARG_SRC, state->source},
                          {DNNL_ARG_WEIGHTS, made.weights},
                          {DNNL_ARG_DST, state->destination},
                          {DNNL_ARG_SCRATCHPAD, state->scratchpad}};
      if (b.bias) {
        state->bias = place(made.bias);
        state->arguments.emplace(DNNL_ARG_BIAS, state->bias);
      }
      state_ = std::move(state);
    }
    // oneDNN takes non-const pointers everywhere; it does not write to a source.
    state_->source.set_data_handle(const_cast<void*>(b.source));
    state_->destination.set_data_handle(b.destination);
    state_->scratchpad.set_data_handle(b.scratchpad);
    if (b.bias) state_->bias.set_data_handle(const_cast<float*>(b.bias));
    made.primitive.execute(state_->stream, state_->arguments);
    state_->stream.wait();
    return {};
  } catch (const dnnl::error& error) {
    return failure(error, made.shape);
  }
}

} // namespace detail

#else // without oneDNN

namespace {
Error without_onednn() {
  return {ErrorCode::unsupported, "mcomp::kernels", "this build has no oneDNN to execute layers with",
          "build with MCOMP_WITH_ONEDNN and oneDNN 2.6 or later, or use quant::simulated_runner"};
}
} // namespace

Capabilities capabilities() {
  return {};
}
Status require_execution() {
  return without_onednn();
}

namespace detail {
struct Primitive::State {
  std::string implementation;
};
Primitive::Primitive(std::unique_ptr<State> state) : state_(std::move(state)) {}
Primitive::~Primitive() = default;
Result<std::shared_ptr<const Primitive>> Primitive::create(const PrimitiveShape&, const PrimitiveOptions&,
                                                           const void*) {
  return without_onednn();
}
const std::string& Primitive::implementation() const noexcept {
  return state_->implementation;
}
std::size_t Primitive::scratchpad_bytes() const noexcept {
  return 0;
}
struct Call::State {};
Call::Call(std::shared_ptr<const Primitive> primitive) : primitive_(std::move(primitive)) {}
Call::~Call() = default;
Status Call::execute(const Buffers&) {
  return without_onednn();
}
} // namespace detail

#endif

std::string to_string(const Capabilities& c) {
  if (!c.onednn)
    return c.onednn_version.empty() ? "without oneDNN: scalar references only"
                                    : "oneDNN " + c.onednn_version + " does not match";
  return fmt::format("oneDNN {}, {}", c.onednn_version, c.instruction_set);
}

namespace detail {
#ifdef MCOMP_BOUNDS_THREADS
ThreadBound::ThreadBound(int threads) noexcept : before_(omp_get_max_threads()) {
  if (threads > 0 && threads != before_) omp_set_num_threads(threads);
}
ThreadBound::~ThreadBound() {
  omp_set_num_threads(before_);
}
int bound_threads() noexcept {
  return omp_get_max_threads();
}
#else
ThreadBound::ThreadBound(int) noexcept {}
ThreadBound::~ThreadBound() = default;
int bound_threads() noexcept {
  return 1;
}
#endif
} // namespace detail

} // namespace mcomp::inline v0::kernels
