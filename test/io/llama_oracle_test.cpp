// Files of mcomp in llama.cpp's own library: they load, and the engine computes what mcomp predicts.

#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/gguf_llama.hpp"
#include "mcomp/io/safetensors.hpp"
#include "oracle/llama.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::io;

namespace {

const graph::LlamaOptions small{.vocabulary = 40,
                                .features = 64,
                                .hidden = 96,
                                .layers = 2,
                                .heads = 6,
                                .kv_heads = 2,
                                .head_size = 32,
                                .context = 64,
                                .epsilon = 1e-6,
                                .theta = 500000};

TensorStore random_weights(const graph::LlamaOptions& model) {
  Random random(1);
  return mcomp_test::random_weights(graph::llama(model).value(), random);
}

Tensor random_tokens(std::int64_t samples, std::int64_t length, std::int64_t vocabulary) {
  Random random(7);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(samples * length));
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
  return Tensor::from(ids, {samples, length}).value();
}

struct Trained {
  SafetensorsFile file;
  LlamaGgufOptions options;
  Tensor text;
};

Trained trained(const std::string& name) {
  Trained result{.file = read_safetensors(mcomp_test::data("language/" + name + ".safetensors").value()).value(),
                 .options = {},
                 .text = {}};
  result.options.model = graph::llama_options(result.file.tensors, result.file.metadata).value();
  result.options.model.name = name;
  result.options.tokenizer = read_token_list(mcomp_test::data("language/tok512.txt").value()).value();
  const auto tokens = read_safetensors(mcomp_test::data("language/tinystories_tokens.safetensors").value()).value();
  result.text = Tensor::copy_of(tokens.tensors.find("evaluation").value()).value();
  return result;
}

/// Writes a file, holds the perplexity that mcomp predicts for it against the engine's, and returns the latter.
double check_perplexity(const mcomp_test::Llama& llama, const Trained& model, GgufType type,
                        std::map<std::string, GgufType> types = {}) {
  LlamaGgufOptions options = model.options;
  options.type = type;
  options.types = std::move(types);
  options.search = quant::BlockSearch::fast;
  const auto path = mcomp_test::temporary_folder() / "model.gguf";
  const LlamaGgufPlan plan = plan_llama_gguf(options).value();
  write_llama_gguf(path, plan, model.file.tensors).value();
  CHECK(static_cast<std::int64_t>(std::filesystem::file_size(path)) == plan.file_bytes);
  ThreadPool pool(2);
  const auto runner = engine_runner(llama_from_gguf(read_gguf(path).value()).value(), &pool).value();
  evaluate::NextTokenLoss predicted, engine;
  predicted.update(runner->run(model.text).value(), model.text).value();
  engine.update(llama.logits(path, model.text).value(), model.text).value();
  const double ours = predicted.report()->perplexity, theirs = engine.report()->perplexity;
  fmt::print("{} {}{}: predicted {:.5f}, llama.cpp {:.5f}, relative {:+.1e}\n", options.model.name, type,
             options.types.empty() ? "" : " mixed", ours, theirs, ours / theirs - 1);
  CHECK(ours == Approx(theirs).epsilon(1e-3));
  return theirs;
}

} // namespace

TEST_CASE("the engine computes the logits of a file of either pairing, with or without a head of its own") {
  const auto* llama = mcomp_test::Llama::load();
  if (!llama) return;
  for (const auto pairing : {graph::RotaryPairing::interleaved, graph::RotaryPairing::half_split})
    for (const bool tied : {false, true}) {
      graph::LlamaOptions model = small;
      model.pairing = pairing;
      model.tied = tied;
      const TensorStore weights = random_weights(model);
      const auto path = mcomp_test::temporary_folder() / "model.gguf";
      write_llama_gguf(path, plan_llama_gguf({.model = model}).value(), weights).value();
      const Tensor tokens = random_tokens(3, 30, model.vocabulary);
      const auto runner = graph::reference_runner(graph::llama(model).value(), weights).value();
      CHECK(mcomp_test::largest_difference(llama->logits(path, tokens).value(), runner->run(tokens).value()) < 1e-3);
    }
}

TEST_CASE("substitutes for rows that blocks do not divide are those of the engine") {
  const auto* llama = mcomp_test::Llama::load();
  if (!llama) return;
  const auto folder = mcomp_test::temporary_folder();
  const std::map<std::int32_t, GgufType> file_types{{10, GgufType::q2_k}, {11, GgufType::q3_k}, {14, GgufType::q4_k},
                                                    {16, GgufType::q5_k}, {18, GgufType::q6_k}, {30, GgufType::iq4_xs}};
  for (const std::int64_t hidden : {96, 72}) {
    graph::LlamaOptions model = small;
    model.hidden = hidden;
    write_llama_gguf(folder / "f32.gguf", plan_llama_gguf({.model = model}).value(), random_weights(model)).value();
    for (const auto& [number, type] : file_types) {
      INFO(fmt::format("{} {}", type, hidden));
      llama->quantize(folder / "f32.gguf", folder / "engine.gguf", number).value();
      const GgufFile engine = read_gguf(folder / "engine.gguf").value();
      for (const auto& planned : plan_llama_gguf({.model = model, .type = type}).value().tensors)
        CHECK(to_string(engine.find_tensor(planned.stored).value().type) == to_string(planned.type));
    }
  }
}

TEST_CASE("the engine's perplexity of a small decoder is the predicted one") {
  const auto* llama = mcomp_test::Llama::load();
  if (!llama || !mcomp_test::data("language/stories260k.safetensors")) return;
  Trained model = trained("stories260k");
  model.text = Tensor::copy_of(model.text.view().rows(0, 20).value()).value();
  for (const auto type : {GgufType::f32, GgufType::q4_0}) check_perplexity(*llama, model, type);
}

TEST_CASE("the engine's perplexity of the trained decoders is the predicted one, in every type", "[slow]") {
  const auto* llama = mcomp_test::Llama::load();
  if (!llama || !mcomp_test::data("language/wide256.safetensors")) return;
  const Trained stories = trained("stories260k"), wide = trained("wide256");
  CHECK(check_perplexity(*llama, stories, GgufType::f32) == Approx(4.4988).margin(5e-5)); // data/README.md
  for (const auto type : {GgufType::f16, GgufType::bf16, GgufType::q8_0, GgufType::q4_0, GgufType::q4_k})
    check_perplexity(*llama, stories, type);
  CHECK(check_perplexity(*llama, wide, GgufType::f32) == Approx(5.2962).margin(5e-5));
  for (const auto type : {GgufType::q8_0, GgufType::q4_0, GgufType::q4_k}) check_perplexity(*llama, wide, type);
  // Mixed: a type of its own for each kind of matrix, the tied head among them.
  const auto mixed = [](const graph::LlamaOptions& model) {
    std::map<std::string, GgufType> types{{"model.embed_tokens.weight", GgufType::q6_k}};
    for (std::int64_t layer = 0; layer < model.layers; ++layer) {
      const std::string block = fmt::format("model.layers.{}.", layer);
      types[block + "self_attn.v_proj.weight"] = GgufType::q8_0;
      types[block + "self_attn.o_proj.weight"] = GgufType::f16;
      types[block + "mlp.down_proj.weight"] = layer == 0 ? GgufType::q5_1 : GgufType::q3_k;
      types[block + "mlp.up_proj.weight"] = GgufType::iq4_nl;
    }
    return types;
  };
  check_perplexity(*llama, stories, GgufType::q4_k, mixed(stories.options.model));
  check_perplexity(*llama, wide, GgufType::q4_k, mixed(wide.options.model));
}
