// Llama decoders as GGUF files: what is planned, written and read, and what llama.cpp makes of it.

#include "mcomp/io/gguf_llama.hpp"

#include <numeric>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/safetensors.hpp"
#include "oracle/llama.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::io;

namespace {

const graph::LlamaOptions small{.vocabulary = 40,
                                .features = 64,
                                .hidden = 72,
                                .layers = 2,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_size = 32,
                                .context = 64};

TensorStore random_weights(const graph::LlamaOptions& model, std::uint64_t seed = 1) {
  Random random(seed);
  return mcomp_test::random_weights(graph::llama(model).value(), random);
}

Tensor random_tokens(std::int64_t samples, std::int64_t length, std::int64_t vocabulary) {
  Random random(7);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(samples * length));
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
  return Tensor::from(ids, {samples, length}).value();
}

Tensor run(graph::Runner& runner, const TensorView& tokens) {
  return runner.run(tokens).value();
}

LlamaGguf written_and_read(const LlamaGgufOptions& options, const TensorStore& weights) {
  const auto path = mcomp_test::temporary_folder() / "model.gguf";
  const LlamaGgufPlan plan = plan_llama_gguf(options).value();
  write_llama_gguf(path, plan, weights).value();
  CHECK(static_cast<std::int64_t>(std::filesystem::file_size(path)) == plan.file_bytes);
  return llama_from_gguf(read_gguf(path).value()).value();
}

} // namespace

TEST_CASE("a decoder of either pairing keeps its function through a file") {
  for (const auto pairing : {graph::RotaryPairing::interleaved, graph::RotaryPairing::half_split})
    for (const bool tied : {false, true}) {
      graph::LlamaOptions model = small;
      model.pairing = pairing;
      model.tied = tied;
      model.theta = 500000;
      const TensorStore weights = random_weights(model);
      const LlamaGguf read = written_and_read({.model = model}, weights);
      graph::LlamaOptions expected = model;
      expected.pairing = graph::RotaryPairing::interleaved;
      expected.epsilon = static_cast<double>(1e-5f); // the file holds it as float32
      CHECK(read.model == expected);
      CHECK(read.blocks.empty());
      const Tensor tokens = random_tokens(2, 20, model.vocabulary);
      const auto before = graph::reference_runner(graph::llama(model).value(), weights).value();
      const auto after = graph::reference_runner(graph::llama(read.model).value(), read.weights).value();
      CHECK(mcomp_test::largest_difference(run(*before, tokens), run(*after, tokens)) < 1e-4);
      // In floating point the engine rounds nothing.
      CHECK(run(*engine_runner(read).value(), tokens) == run(*after, tokens));
    }
}

TEST_CASE("types that a row cannot have are replaced, and the plan says so") {
  CHECK(gguf_type_for_rows(GgufType::q4_k, 512).type == GgufType::q4_k);
  CHECK(gguf_type_for_rows(GgufType::q4_k, 512).reason.empty());
  const auto fallback = [](GgufType wanted, std::int64_t row) {
    const auto choice = gguf_type_for_rows(wanted, row);
    CHECK_FALSE(choice.reason.empty());
    return choice.type;
  };
  CHECK(fallback(GgufType::q4_k, 64) == GgufType::q5_0);
  CHECK(fallback(GgufType::q5_k, 64) == GgufType::q5_1);
  CHECK(fallback(GgufType::q6_k, 64) == GgufType::q8_0);
  CHECK(fallback(GgufType::q2_k, 64) == GgufType::q4_0);
  CHECK(fallback(GgufType::q3_k, 64) == GgufType::q4_0);
  CHECK(fallback(GgufType::iq4_xs, 64) == GgufType::iq4_nl);
  CHECK(fallback(GgufType::q4_k, 72) == GgufType::f16);
  CHECK(fallback(GgufType::q4_0, 72) == GgufType::f16);
  CHECK(fallback(GgufType::iq4_nl, 16) == GgufType::f16);

  LlamaGgufOptions options{.model = small, .type = GgufType::q4_k};
  options.types["model.layers.0.mlp.up_proj.weight"] = GgufType::q8_0;
  options.types["lm_head.weight"] = GgufType::bf16;
  const LlamaGgufPlan plan = plan_llama_gguf(options).value();
  std::map<std::string, GgufPlannedTensor> planned;
  std::int64_t bytes = 0, elements = 0;
  for (const GgufPlannedTensor& tensor : plan.tensors) {
    planned[tensor.name] = tensor;
    bytes += tensor.bytes;
    elements += tensor.shape.elements();
  }
  CHECK(planned["model.layers.0.mlp.up_proj.weight"].type == GgufType::q8_0);
  CHECK(planned["lm_head.weight"].type == GgufType::bf16);
  CHECK(planned["model.layers.1.mlp.down_proj.weight"].type == GgufType::f16); // rows of 72
  CHECK(planned["model.layers.1.self_attn.q_proj.weight"].type == GgufType::q5_0);
  CHECK(planned["model.norm.weight"].type == GgufType::f32);
  CHECK_FALSE(planned["model.norm.weight"].reason.empty());
  CHECK(plan.bits_per_weight == Approx(8.0 * static_cast<double>(bytes) / static_cast<double>(elements)));
  CHECK(fmt::format("{}", plan).find("substitute") != std::string::npos);
  const LlamaGguf read = written_and_read(options, random_weights(small));
  CHECK(read.blocks.at("model.layers.1.self_attn.q_proj.weight").format == quant::BlockFormat::q5_0);
  CHECK(read.weights.find("lm_head.weight").value().dtype() == DType::bf16);
}

TEST_CASE("blocks of the caller stand in the file, rows reordered where the pairing demands it") {
  graph::LlamaOptions model = small; // half-split
  const TensorStore weights = random_weights(model);
  LlamaGgufOptions options{.model = model};
  TensorStore simulated = weights;
  for (const std::string name : {"model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.gate_proj.weight"}) {
    options.blocks.emplace(name, quant::quantize_blocks(weights.find(name).value(), quant::BlockFormat::q4_0).value());
    simulated.put(name, quant::dequantize_blocks(options.blocks.at(name)).value());
  }
  const LlamaGguf read = written_and_read(options, weights);
  CHECK(read.blocks.at("model.layers.1.mlp.gate_proj.weight").bytes ==
        options.blocks.at("model.layers.1.mlp.gate_proj.weight").bytes);
  const Tensor tokens = random_tokens(2, 20, model.vocabulary);
  const auto before = graph::reference_runner(graph::llama(model).value(), simulated).value();
  const auto after = graph::reference_runner(graph::llama(read.model).value(), read.weights).value();
  CHECK(mcomp_test::largest_difference(run(*before, tokens), run(*after, tokens)) < 1e-4);
  // The engine rounds what enters these layers: a little off, not far.
  const double off = mcomp_test::largest_difference(run(*engine_runner(read).value(), tokens), run(*after, tokens));
  CHECK(off > 1e-4);
  CHECK(off < 1);
}

TEST_CASE("plans and files that cannot be are refused") {
  const auto folder = mcomp_test::temporary_folder();
  const auto code = [](const LlamaGgufOptions& options) {
    const auto plan = plan_llama_gguf(options);
    REQUIRE_FALSE(plan);
    CHECK(mcomp_test::well_formed(plan.error()));
    return plan.error().code();
  };
  CHECK(code({}) == ErrorCode::invalid_argument);
  CHECK(code({.model = small, .types = {{"lm_heat.weight", GgufType::f16}}}) == ErrorCode::not_found);
  CHECK(code({.model = small, .type = GgufType::iq2_xxs, .types = {}, .blocks = {{"x", {}}}}) == ErrorCode::not_found);
  graph::LlamaOptions wide = small;
  wide.features = 256;
  CHECK(code({.model = wide, .type = GgufType::iq2_xxs}) == ErrorCode::unsupported);
  CHECK(code({.model = small, .tokenizer = TokenList{.tokens = {{"a", 0, TokenKind::normal}}}}) ==
        ErrorCode::invalid_argument);
  const TensorStore weights = random_weights(small);
  quant::BlockTensor other =
      quant::quantize_blocks(weights.find("lm_head.weight").value(), quant::BlockFormat::q8_0).value();
  CHECK(code({.model = small, .blocks = {{"model.layers.0.mlp.up_proj.weight", other}}}) == ErrorCode::invalid_shape);
  CHECK(code({.model = small, .blocks = {{"model.norm.weight", other}}}) == ErrorCode::unsupported);
  // Weights that do not fit the plan leave no file.
  const auto write = [&](GgufType type, const std::string& name, Tensor tensor) {
    TensorStore wrong = weights;
    wrong.put(name, std::move(tensor));
    const Status status =
        write_llama_gguf(folder / "x.gguf", plan_llama_gguf({.model = small, .type = type}).value(), wrong);
    REQUIRE_FALSE(status);
    CHECK(mcomp_test::well_formed(status.error()));
    return status.error().code();
  };
  Tensor large = Tensor::zeros(DType::f32, {40, 64}).value();
  large.mutable_values<float>()[7] = 70000;
  CHECK(write(GgufType::f16, "lm_head.weight", large) == ErrorCode::invalid_value);
  large.mutable_values<float>()[7] = NAN;
  CHECK(write(GgufType::q4_0, "lm_head.weight", large) == ErrorCode::invalid_value);
  CHECK(write(GgufType::f32, "lm_head.weight", Tensor::zeros(DType::f32, {40, 63}).value()) ==
        ErrorCode::invalid_shape);
  Context cancelled;
  cancelled.cancellation.cancel();
  CHECK(write_llama_gguf(folder / "x.gguf", plan_llama_gguf({.model = small}).value(), weights, cancelled)
            .error()
            .code() == ErrorCode::cancelled);
  CHECK(std::filesystem::is_empty(folder));
}

TEST_CASE("files that are no Llama decoder are refused with what is wrong") {
  const auto path = mcomp_test::temporary_folder() / "model.gguf";
  write_llama_gguf(path, plan_llama_gguf({.model = small}).value(), random_weights(small)).value();
  const GgufFile good = read_gguf(path).value();
  const auto code = [&](auto change) {
    GgufFile file = good;
    change(file);
    const auto decoder = llama_from_gguf(file);
    REQUIRE_FALSE(decoder);
    CHECK(mcomp_test::well_formed(decoder.error()));
    return decoder.error().code();
  };
  const auto set = [](GgufFile& file, const std::string& key, GgufValue value) {
    for (auto& entry : file.metadata)
      if (entry.first == key) return entry.second = std::move(value), void();
    file.metadata.emplace_back(key, std::move(value));
  };
  CHECK(code([&](GgufFile& f) { set(f, "general.architecture", std::string("qwen2")); }) == ErrorCode::unsupported);
  CHECK(code([&](GgufFile& f) { set(f, "llama.rope.scaling.type", std::string("linear")); }) == ErrorCode::unsupported);
  CHECK(code([&](GgufFile& f) { set(f, "llama.rope.dimension_count", std::uint32_t{16}); }) == ErrorCode::unsupported);
  CHECK(code([&](GgufFile& f) { set(f, "llama.block_count", std::uint32_t{3}); }) == ErrorCode::not_found);
  CHECK(code([&](GgufFile& f) { set(f, "llama.block_count", std::uint32_t{1}); }) == ErrorCode::unsupported);
  CHECK(code([&](GgufFile& f) { set(f, "llama.block_count", std::uint32_t{9999}); }) == ErrorCode::not_found);
  CHECK(code([&](GgufFile& f) { set(f, "llama.block_count", ~std::uint64_t{0}); }) == ErrorCode::invalid_value);
  CHECK(code([&](GgufFile& f) { set(f, "llama.block_count", std::int32_t{-1}); }) == ErrorCode::invalid_argument);
  CHECK(code([&](GgufFile& f) { set(f, "llama.block_count", 2.0f); }) == ErrorCode::invalid_dtype);
  CHECK(code([&](GgufFile& f) { set(f, "llama.attention.head_count", std::uint32_t{0}); }) ==
        ErrorCode::invalid_argument);
  CHECK(code([&](GgufFile& f) { set(f, "llama.embedding_length", std::uint32_t{128}); }) == ErrorCode::invalid_shape);
  CHECK(code([&](GgufFile& f) { set(f, "llama.attention.layer_norm_rms_epsilon", -1.0f); }) ==
        ErrorCode::invalid_argument);
  CHECK(code([&](GgufFile& f) { f.tensors.front().name = "rope_freqs.weight"; }) == ErrorCode::not_found);
  CHECK(code([&](GgufFile& f) { f.tensors[1].name = "blk.0.attn_q.bias"; }) == ErrorCode::not_found);
  CHECK(code([&](GgufFile& f) {
          f.tensors.push_back(f.tensors[1]);
          f.tensors.back().name = "rope_freqs.weight";
        }) == ErrorCode::unsupported);
  CHECK(code([&](GgufFile& f) {
          set(f, "tokenizer.ggml.model", std::string("llama"));
          set(f, "tokenizer.ggml.tokens", GgufArray(std::vector<std::string>{"a"}));
          set(f, "tokenizer.ggml.scores", GgufArray(std::vector<float>{}));
          set(f, "tokenizer.ggml.token_type", GgufArray(std::vector<std::int32_t>{1}));
        }) == ErrorCode::corrupt);
}

TEST_CASE("a token list is read as Python wrote it") {
  const TokenList list = parse_token_list("b'<unk>'\t0.0\nb'\\n<s>\\n'\t0.0\nb'\\n</s>\\n'\t-0.5\nb'<0x0A>'\t0.0\n"
                                          "b\" it's\"\t-6.0\nb'\\xe2\\x80\\x8a'\t-252.0\nb'\\\\\\'\\t'\t1e1",
                                          "list")
                             .value();
  CHECK(list.tokens == std::vector<Token>{{"<unk>", 0, TokenKind::unknown},
                                          {"<s>", 0, TokenKind::control},
                                          {"</s>", -0.5f, TokenKind::control},
                                          {"<0x0A>", 0, TokenKind::byte},
                                          {"\xe2\x96\x81it's", -6, TokenKind::normal},
                                          {"\xe2\x80\x8a", -252, TokenKind::normal},
                                          {"\\'\t", 10, TokenKind::normal}});
  CHECK(list.begin == 1);
  CHECK(list.end == 2);
  for (const char* wrong : {"", "token\t0", "b'a'", "b'a' 0", "b'a\t0", "b'\\x4'\t0", "b'\\q'\t0", "b'a'\tx", "b'a'\t",
                            "b'a'\tinf", "b'a'\t1 2", "b'a'\t0\n\nb'b'\t0", "b'\\", "b\"a'\t0"}) {
    INFO(wrong);
    const auto bad = parse_token_list(wrong, "list");
    REQUIRE_FALSE(bad);
    CHECK(bad.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(bad.error()));
  }
}

TEST_CASE("the vocabulary of the trained decoders is read and stored") {
  const auto path = mcomp_test::data("language/tok512.txt");
  if (!path) return;
  const TokenList list = read_token_list(*path).value();
  REQUIRE(list.tokens.size() == 512);
  CHECK(list.tokens[0].kind == TokenKind::unknown);
  CHECK(list.tokens[3] == Token{"<0x00>", 0, TokenKind::byte});
  CHECK(list.tokens[265] == Token{"\xe2\x96\x81the", -6, TokenKind::normal});
  graph::LlamaOptions model = small;
  model.vocabulary = 512;
  CHECK(written_and_read({.model = model, .tokenizer = list}, random_weights(model)).tokenizer == list);
}
