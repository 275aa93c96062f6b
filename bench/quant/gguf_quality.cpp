// What error compensation gains in GGUF files: perplexity and mean KL divergence to the fp32 outputs on `evaluation` of
// tinystories_tokens, every linear layer but the head quantized, embedding and head in fp32. Gram matrices are those of
// the fp32 network over `calibration`.
//
//     bench_gguf_quality DATA_FOLDER

#include <filesystem>
#include <map>

#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/quant/gptq.hpp"

namespace {

using namespace mcomp;

struct Decoder {
  graph::Network network;
  TensorStore weights;
  std::map<std::string, stats::Gram> inputs; ///< by the layer that makes them
  std::vector<Tensor> logits;                ///< of the fp32 network, by batch
};

/// Rows of tokens in batches.
template <class Use> void for_batches(const Tensor& tokens, const Use& use) {
  constexpr std::int64_t batch = 19; // divides 133
  const std::int64_t length = tokens.size(1);
  const auto from = tokens.values<std::int32_t>("tokens").value();
  for (std::int64_t at = 0; at < tokens.size(0); at += batch) {
    const TensorView all = tokens.view().rows(at, at + batch).value();
    Tensor input = Tensor::zeros(DType::int32, {batch, length - 1}).value(); // the last token predicts nothing
    for (std::int64_t r = 0; r < batch; ++r)
      std::copy_n(from.begin() + (at + r) * length, length - 1,
                  input.mutable_values<std::int32_t>().begin() + r * (length - 1));
    use(input, all);
  }
}

bool quantized(const graph::Network& network, const graph::Layer& layer) {
  return std::holds_alternative<graph::Linear>(layer.operation) && layer.name != network.output;
}

Decoder read(const std::filesystem::path& folder, const std::string& name, const Tensor& calibration,
             const Tensor& evaluation, const Context& context) {
  const auto model = io::read_safetensors(folder / "language" / (name + ".safetensors")).value();
  Decoder d{graph::llama(graph::llama_options(model.tensors, model.metadata).value()).value(), model.tensors, {}, {}};
  const auto runner = graph::reference_runner(d.network, d.weights, context.executor).value();
  for (const graph::Layer& layer : d.network.layers)
    if (quantized(d.network, layer)) {
      const auto& l = std::get<graph::Linear>(layer.operation);
      d.inputs.try_emplace(layer.inputs[0], d.weights.find(l.weight).value().size(1));
    }
  for_batches(calibration, [&](const Tensor& input, const TensorView&) {
    const auto tap = [&](std::string_view layer, const TensorView& output) {
      const auto found = d.inputs.find(std::string(layer));
      if (found == d.inputs.end()) return;
      const std::int64_t features = output.size(output.rank() - 1);
      const Tensor rows = Tensor::copy_of(output).value().reshaped({output.elements() / features, features}).value();
      found->second.update(rows, context).value();
    };
    runner->run(input, tap).value();
  });
  for_batches(evaluation,
              [&](const Tensor& input, const TensorView&) { d.logits.push_back(runner->run(input).value()); });
  return d;
}

void measure(const std::string& title, const Decoder& d, const TensorStore& weights, const Tensor& evaluation,
             const Context& context) {
  const auto runner = graph::reference_runner(d.network, weights, context.executor).value();
  evaluate::NextTokenLoss loss;
  evaluate::LogitsDivergence divergence;
  std::size_t i = 0;
  for_batches(evaluation, [&](const Tensor& input, const TensorView& tokens) {
    const Tensor logits = runner->run(input).value();
    loss.update(logits, tokens).value();
    divergence.update(d.logits[i++], logits).value();
  });
  fmt::print("| {} | {:.4f} | {:.6f} |\n", title, loss.report().value().perplexity,
             divergence.report().value().mean_kl);
}

/// The weights with every linear layer made by `method`, where blocks divide its rows.
template <class Method> TensorStore replaced(const Decoder& d, quant::BlockFormat format, const Method& method) {
  TensorStore weights = d.weights;
  for (const graph::Layer& layer : d.network.layers) {
    if (!quantized(d.network, layer)) continue;
    const std::string& name = std::get<graph::Linear>(layer.operation).weight;
    const TensorView weight = d.weights.find(name).value();
    if (weight.size(1) % quant::block_layout(format).block_size != 0) continue;
    weights.put(name, quant::dequantize_blocks(method(weight, d.inputs.at(layer.inputs[0]))).value());
  }
  return weights;
}

void table(const std::string& name, const Decoder& d, const std::vector<quant::BlockFormat>& formats,
           const Tensor& evaluation, const Context& context) {
  fmt::print("\n### {}\n\n| format, method | perplexity | KL |\n| --- | --- | --- |\n", name);
  for (const quant::BlockFormat format : formats) {
    measure(fmt::format("{}, search weighted by second moments", format), d,
            replaced(d, format,
                     [&](const TensorView& w, const stats::Gram& gram) {
                       const std::vector<double> diagonal = gram.diagonal();
                       const std::vector<float> importance(diagonal.begin(), diagonal.end());
                       const Tensor moments = Tensor::from(importance, {w.size(1)}).value();
                       return quant::quantize_blocks(w, format, {.importance = moments}, context).value();
                     }),
            evaluation, context);
    for (const int rounds : {0, 16})
      measure(fmt::format("{}, GPTQ{}", format, rounds == 0 ? "" : ", refined"), d,
              replaced(d, format,
                       [&](const TensorView& w, const stats::Gram& gram) {
                         return quant::gptq(w, gram, format, {.refine = {.rounds = rounds}, .relative_error = false},
                                            context)
                             .value()
                             .tensor;
                       }),
              evaluation, context);
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} DATA_FOLDER\n", argv[0]);
    return 2;
  }
  using quant::BlockFormat;
  const std::filesystem::path folder = argv[1];
  ThreadPool pool;
  const Context context{.executor = &pool};
  const auto data = io::read_safetensors(folder / "language/tinystories_tokens.safetensors").value();
  const Tensor calibration = Tensor::copy_of(data.tensors.find("calibration").value()).value(),
               evaluation = Tensor::copy_of(data.tensors.find("evaluation").value()).value();
  const Decoder stories = read(folder, "stories260k", calibration, evaluation, context);
  table("stories260k", stories, {BlockFormat::q4_0, BlockFormat::iq4_nl}, evaluation, context);
  const Decoder wide = read(folder, "wide256", calibration, evaluation, context);
  table("wide256", wide, {BlockFormat::q2_k, BlockFormat::q3_k, BlockFormat::q4_k}, evaluation, context);
  return 0;
}
