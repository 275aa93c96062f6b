// Llama decoders from their tensors, and the trained test models.

#include "mcomp/graph/llama.hpp"

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/safetensors.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::graph;

namespace {

const LlamaOptions wide{.vocabulary = 13,
                        .features = 8,
                        .hidden = 6,
                        .layers = 3,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_size = 6,
                        .context = 32,
                        .epsilon = 1e-6,
                        .theta = 500000,
                        .tied = false};

TensorStore weights_of(const LlamaOptions& options) {
  Random random(1);
  return mcomp_test::random_weights(llama(options).value(), random);
}

evaluate::NextTokenReport perplexity(const std::string& model) {
  const auto file = io::read_safetensors(mcomp_test::data("language/" + model).value()).value();
  const auto text =
      io::read_safetensors(mcomp_test::data("language/tinystories_tokens.safetensors").value()).value().tensors;
  const Network network = llama(llama_options(file.tensors, file.metadata).value()).value();
  ThreadPool pool(2);
  const auto runner = reference_runner(network, file.tensors, &pool).value();
  const TensorView rows = text.find("evaluation").value();
  evaluate::NextTokenLoss loss;
  for (std::int64_t begin = 0; begin < rows.size(0); begin += 19) {
    const TensorView batch = rows.rows(begin, begin + 19).value();
    loss.update(runner->run(batch).value(), batch).value();
  }
  return loss.report().value();
}

} // namespace

TEST_CASE("the options of a decoder follow from its tensors") {
  const TensorStore weights = weights_of(wide);
  CHECK(llama_options(weights, {}, {.heads = 4, .context = 32, .epsilon = 1e-6, .theta = 500000}).value() == wide);
  LlamaOptions tied = wide;
  tied.tied = true;
  const std::map<std::string, std::string> metadata{{"heads", "4"},
                                                    {"kv_heads", "2"},
                                                    {"context", "32"},
                                                    {"norm", "RMSNorm eps 1e-6"},
                                                    {"rope", "interleaved pairs (2j,2j+1), theta 500000"}};
  LlamaOptions expected = tied;
  expected.pairing = RotaryPairing::interleaved;
  CHECK(llama_options(weights_of(tied), metadata).value() == expected);
  // A hint is stronger than metadata.
  CHECK(llama_options(weights_of(tied), metadata, {.pairing = RotaryPairing::half_split}).value() == tied);
}

TEST_CASE("tensors and metadata that are no Llama decoder are refused") {
  const LlamaHints hints{.heads = 4};
  const TensorStore weights = weights_of(wide);
  const auto code = [&](const TensorStore& store, const std::map<std::string, std::string>& metadata = {},
                        LlamaHints given = {.heads = 4}) {
    const auto options = llama_options(store, metadata, given);
    REQUIRE_FALSE(options);
    CHECK(mcomp_test::well_formed(options.error()));
    return options.error().code();
  };
  CHECK(code(weights, {}, {}) == ErrorCode::not_found); // heads
  CHECK(code(weights, {}, {.heads = 5}) == ErrorCode::invalid_shape);
  CHECK(code(weights, {}, {.heads = 24}) == ErrorCode::invalid_shape); // heads of one feature do not pair up
  CHECK(code(weights, {}, {.heads = -4}) == ErrorCode::invalid_shape);
  CHECK(code(weights, {{"kv_heads", "4"}}) == ErrorCode::corrupt);
  CHECK(code(weights, {{"context", "many"}}) == ErrorCode::corrupt);
  CHECK(llama_options(weights, {{"tied_head", "0"}}, hints));
  CHECK(code(weights, {{"context", "0"}}) == ErrorCode::corrupt);
  TensorStore wrong = weights;
  wrong.erase("model.layers.1.mlp.up_proj.weight");
  CHECK(code(wrong) == ErrorCode::not_found);
  wrong = weights;
  wrong.erase("lm_head.weight");
  CHECK(code(wrong, {{"tied_head", "0"}}) == ErrorCode::not_found);
  wrong = weights;
  wrong.put("model.layers.2.self_attn.q_proj.bias", Tensor::zeros(DType::f32, {24}).value());
  CHECK(code(wrong) == ErrorCode::unsupported);
  wrong = weights;
  wrong.erase("model.layers.1.self_attn.q_proj.weight"); // two layers remain unreachable
  CHECK(code(wrong) == ErrorCode::unsupported);
  wrong = weights;
  wrong.put("model.layers.1.mlp.up_proj.weight", Tensor::zeros(DType::f32, {6, 7}).value());
  CHECK(code(wrong) == ErrorCode::invalid_shape);
  wrong = weights;
  wrong.put("model.embed_tokens.weight", Tensor::zeros(DType::f32, {13}).value());
  CHECK(code(wrong) == ErrorCode::invalid_shape);
  wrong = weights;
  wrong.put("model.layers.0.self_attn.rotary_emb.inv_freq", Tensor::zeros(DType::f32, {3}).value());
  CHECK(llama_options(wrong, {}, hints));
}

TEST_CASE("the trained decoders have their published perplexity") {
  if (!mcomp_test::data("language/stories260k.safetensors")) return;
  const auto stories = perplexity("stories260k.safetensors");
  CHECK(stories.positions == 133 * 128);
  CHECK(stories.nll == Approx(1.5038).margin(5e-5)); // data/README.md
  CHECK(stories.perplexity == Approx(4.4988).margin(5e-5));
}

TEST_CASE("the wide decoder has its published perplexity", "[slow]") {
  if (!mcomp_test::data("language/wide256.safetensors")) return;
  CHECK(perplexity("wide256.safetensors").perplexity == Approx(5.2962).margin(5e-5)); // data/README.md
}
