#include "oracle/llama.hpp"

#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include <dlfcn.h>

#include "data.hpp"
#include "oracle/ggml.hpp"

namespace mcomp_test {

namespace {

using mcomp::Error;
using mcomp::ErrorCode;

/// An option struct of the engine, larger than any of them: it is only passed on, by value, as its functions return and
/// take it; single members are set by their place.
struct alignas(8) Options {
  unsigned char bytes[512];

  template <class T> [[nodiscard]] T get(std::size_t at) const {
    T value;
    std::memcpy(&value, bytes + at, sizeof(T));
    return value;
  }
  template <class T> void set(std::size_t at, T value) { std::memcpy(bytes + at, &value, sizeof(T)); }
};

// Places in llama_context_params (flash_attn_type, type_k, type_v) and llama_model_quantize_params (ftype,
// allow_requantize ... pure) of the pinned version; `load` holds them against the values that the defaults must have.
constexpr std::size_t flash_attention_at = 52, key_type_at = 104, value_type_at = 108;
constexpr std::size_t threads_at = 0, file_type_at = 4, pure_at = 19;
constexpr std::int32_t automatic = -1, disabled = 0, type_f32 = 0, type_f16 = 1;

struct Batch {
  std::int32_t count;
  std::int32_t* token;
  float* embedding;
  std::int32_t* position;
  std::int32_t* sequence_count;
  std::int32_t** sequence;
  std::int8_t* output;
};

void be_silent(int, const char*, void*) {}

} // namespace

struct Llama::Functions {
  Options (*model_defaults)();
  Options (*context_defaults)();
  Options (*quantize_defaults)();
  void* (*load_model)(const char* path, Options);
  void (*free_model)(void* model);
  void* (*make_context)(void* model, Options);
  void (*free_context)(void* context);
  void (*set_threads)(void* context, std::int32_t one, std::int32_t many);
  void* (*memory)(const void* context);
  void (*clear_memory)(void* memory, bool data);
  Batch (*make_batch)(std::int32_t tokens, std::int32_t embedding, std::int32_t sequences);
  void (*free_batch)(Batch);
  std::int32_t (*decode)(void* context, Batch);
  float* (*logits)(void* context);
  const void* (*vocabulary)(const void* model);
  std::int32_t (*token_count)(const void* vocabulary);
  std::uint32_t (*quantize)(const char* from, const char* to, const Options*);
};

const Llama* Llama::load() {
  static std::string problem;
  static Functions functions{};
  static const bool loaded = [] {
    const auto fail = [](std::string why) { return problem = std::move(why), false; };
    const auto path = oracle_file("libllama.v0.5.0.so");
    const auto backends = oracle_file("libggml.v0.5.0.so");
    if (!path || !backends) return fail("not loaded (test/oracle/fetch.sh DIR, MCOMP_TEST_ORACLE_DIR)");
    void* library = dlopen(path->c_str(), RTLD_NOW | RTLD_LOCAL);
    void* ggml = dlopen(backends->c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library || !ggml) return fail(dlerror());
    bool complete = true;
    const auto bind = [&](auto& function, const char* name, void* from) {
      void* address = dlsym(from, name);
      complete = complete && address;
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
    };
    void (*silence)(void (*)(int, const char*, void*), void*) = nullptr;
    void (*load_backends)(const char*) = nullptr;
    bind(silence, "llama_log_set", library);
    bind(load_backends, "ggml_backend_load_all_from_path", ggml);
    bind(functions.model_defaults, "llama_model_default_params", library);
    bind(functions.context_defaults, "llama_context_default_params", library);
    bind(functions.quantize_defaults, "llama_model_quantize_default_params", library);
    bind(functions.load_model, "llama_model_load_from_file", library);
    bind(functions.free_model, "llama_model_free", library);
    bind(functions.make_context, "llama_init_from_model", library);
    bind(functions.free_context, "llama_free", library);
    bind(functions.set_threads, "llama_set_n_threads", library);
    bind(functions.memory, "llama_get_memory", library);
    bind(functions.clear_memory, "llama_memory_clear", library);
    bind(functions.make_batch, "llama_batch_init", library);
    bind(functions.free_batch, "llama_batch_free", library);
    bind(functions.decode, "llama_decode", library);
    bind(functions.logits, "llama_get_logits", library);
    bind(functions.vocabulary, "llama_model_get_vocab", library);
    bind(functions.token_count, "llama_vocab_n_tokens", library);
    bind(functions.quantize, "llama_model_quantize", library);
    if (!complete) return fail("it lacks a function");
    const Options context = functions.context_defaults();
    if (context.get<std::int32_t>(flash_attention_at) != automatic ||
        context.get<std::int32_t>(key_type_at) != type_f16 || context.get<std::int32_t>(value_type_at) != type_f16)
      return fail("its options are laid out otherwise than those of the pinned version");
    silence(be_silent, nullptr);
    load_backends(path->parent_path().c_str());
    return true;
  }();
  if (!loaded) {
    skip("llama.cpp's library: " + problem);
    return nullptr;
  }
  static Llama llama;
  llama.functions_ = &functions;
  return &llama;
}

mcomp::Result<mcomp::Tensor> Llama::logits(const std::filesystem::path& file, const mcomp::TensorView& tokens) const {
  const Functions& f = *functions_;
  const auto refused = [&](const char* what) {
    return Error(ErrorCode::corrupt, file.string(), what, "see the engine's log");
  };
  const std::unique_ptr<void, void (*)(void*)> model(f.load_model(file.c_str(), f.model_defaults()), f.free_model);
  if (!model) return refused("the engine does not load it");
  Options options = f.context_defaults();
  options.set(flash_attention_at, disabled);
  options.set(key_type_at, type_f32);
  options.set(value_type_at, type_f32);
  const std::unique_ptr<void, void (*)(void*)> context(f.make_context(model.get(), options), f.free_context);
  if (!context) return refused("the engine makes no context for it");
  f.set_threads(context.get(), 1, 1); // its threads wait in loops: on a busy machine several are far slower
  const std::int64_t samples = tokens.size(0), length = tokens.size(1);
  const std::int64_t vocabulary = f.token_count(f.vocabulary(model.get()));
  const auto ids = tokens.values<std::int32_t>("tokens");
  if (!ids) return ids.error();
  auto result = mcomp::Tensor::zeros(mcomp::DType::f32, {samples, length, vocabulary});
  if (!result) return result;
  Batch batch = f.make_batch(static_cast<std::int32_t>(length), 0, 1);
  bool good = true;
  for (std::int64_t n = 0; n < samples && good; ++n) {
    f.clear_memory(f.memory(context.get()), true);
    batch.count = static_cast<std::int32_t>(length);
    for (std::int64_t i = 0; i < length; ++i) {
      batch.token[i] = (*ids)[static_cast<std::size_t>(n * length + i)];
      batch.position[i] = static_cast<std::int32_t>(i);
      batch.sequence_count[i] = 1;
      batch.sequence[i][0] = 0;
      batch.output[i] = 1;
    }
    good = f.decode(context.get(), batch) == 0;
    if (good)
      std::memcpy(static_cast<float*>(result->data()) + n * length * vocabulary, f.logits(context.get()),
                  static_cast<std::size_t>(length * vocabulary) * sizeof(float));
  }
  f.free_batch(batch);
  if (!good) return refused("the engine does not decode with it");
  return result;
}

mcomp::Status Llama::quantize(const std::filesystem::path& from, const std::filesystem::path& to,
                              std::int32_t file_type) const {
  Options options = functions_->quantize_defaults();
  options.set<std::int32_t>(threads_at, 1);
  options.set(file_type_at, file_type);
  options.set(pure_at, true);
  if (functions_->quantize(from.c_str(), to.c_str(), &options) == 0) return {};
  return Error(ErrorCode::corrupt, from.string(), "the engine does not quantize it", "see the engine's log");
}

} // namespace mcomp_test
