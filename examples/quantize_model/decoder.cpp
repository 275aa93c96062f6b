#include <algorithm>

#include "job.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/io/compressed_tensors.hpp"
#include "mcomp/io/gguf_llama.hpp"
#include "mcomp/io/safetensors.hpp"
#include "progress_line.hpp"

namespace example {

namespace {

using namespace mcomp;
using compress::QuantizedWeight;
using compress::WeightFormat;
using Json = Report::Json;

constexpr std::int64_t batch = 8; // rows of tokens

struct Decoder {
  graph::LlamaOptions options;
  graph::Network network;
  TensorStore weights;
};

/// Token rows of a file: the tensor that is asked for, or "tokens".
Result<Tensor> read_tokens(const std::filesystem::path& path, const char* name) {
  const auto file = io::read_safetensors(path);
  if (!file) return file.error();
  const auto view = file->tensors.find(file->tensors.contains(name) ? name : "tokens");
  if (!view)
    return Error(ErrorCode::not_found, path.string(), fmt::format("it holds no token rows '{}' or 'tokens'", name),
                 "give int32 tokens [rows, length] under one of these names");
  if (const Status fits = require(*view, path.string(), DType::int32, 2); !fits) return fits.error();
  if (view->elements() == 0 || view->size(1) < 2)
    return Error(ErrorCode::insufficient_data, path.string(), fmt::format("{} predicts nothing", *view),
                 "give rows of at least two tokens");
  return Tensor::copy_of(*view);
}

Result<Decoder> read_decoder(const Job& job) {
  auto file = io::read_safetensors(job.model);
  if (!file) return file.error();
  auto options = graph::llama_options(file->tensors, file->metadata, {.heads = job.heads});
  if (!options) return options.error().within(job.model.string());
  auto network = graph::llama(*options);
  if (!network) return network.error();
  return Decoder{*options, std::move(*network), std::move(file->tensors)};
}

/// Perplexity of a candidate and its divergence from the baseline, both run batch by batch.
struct Measures {
  evaluate::NextTokenReport baseline, candidate;
  evaluate::DivergenceReport divergence;
};
Result<Measures> measure(graph::Runner& baseline, graph::Runner& candidate, const Tensor& tokens,
                         ProgressLine& progress) {
  evaluate::NextTokenLoss before, after;
  evaluate::LogitsDivergence divergence;
  const std::int64_t rows = tokens.size(0), length = tokens.size(1);
  for (std::int64_t begin = 0; begin < rows; begin += batch) {
    const std::int64_t end = std::min(rows, begin + batch);
    progress.show(fmt::format("measuring {} of {} rows", begin, rows));
    const auto all = tokens.view().rows(begin, end);
    if (!all) return all.error();
    // The last token of a row is predicted, not an input.
    const TensorView inputs(all->data(), DType::int32, Shape{end - begin, length - 1}, Shape{length, 1});
    auto contiguous = Tensor::copy_of(inputs);
    if (!contiguous) return contiguous.error();
    const auto p = baseline.run(*contiguous), q = candidate.run(*contiguous);
    if (!p) return p.error();
    if (!q) return q.error();
    if (const Status ok = before.update(*p, *all); !ok) return ok.error();
    if (const Status ok = after.update(*q, *all); !ok) return ok.error();
    if (const Status ok = divergence.update(*p, *q); !ok) return ok.error();
  }
  progress.clear();
  return Measures{*before.report(), *after.report(), *divergence.report()};
}

/// Matrices to be quantized. Where a format does not divide a row, GGUF files take what the plan of the file says,
/// groups of integers one scale a channel instead, and others leave the matrix as it is.
struct Work {
  std::vector<std::string> tensors;
  std::map<std::string, WeightFormat> formats; ///< by tensor
  std::map<std::string, std::string> reasons;  ///< of tensors that are not as asked
  std::optional<io::LlamaGgufPlan> plan;
};

bool is_matrix(const TensorStore& weights, const std::string& name) {
  const auto view = weights.find(name);
  return view && view->rank() == 2;
}

/// Formats without a plan of their own.
void choose_formats(const Job& job, const Decoder& decoder, Work& work) {
  std::int64_t group = 1;
  WeightFormat substitute = job.format;
  const auto* scheme = std::get_if<quant::Scheme>(&job.format);
  if (scheme && scheme->granularity == quant::Granularity::per_group) {
    group = scheme->group_size;
    quant::Scheme channel = *scheme;
    channel.granularity = quant::Granularity::per_channel;
    channel.group_size = 0;
    substitute = channel;
  } else if (const auto* micro = std::get_if<quant::Microscaling>(&job.format)) {
    group = micro->group_size;
  }
  std::vector<std::string> kept;
  for (const std::string& name : work.tensors) {
    const std::int64_t columns = decoder.weights.find(name)->size(1);
    if (columns % group == 0) {
      work.formats.insert_or_assign(name, job.format);
    } else if (scheme) {
      work.formats.insert_or_assign(name, substitute);
      work.reasons[name] = fmt::format("groups of {} do not divide rows of {}: one scale a channel", group, columns);
    } else {
      work.reasons[name] = fmt::format("groups of {} do not divide rows of {}: left as it is", group, columns);
      kept.push_back(name);
    }
  }
  for (const std::string& name : kept) std::erase(work.tensors, name);
}

Result<Work> find_work(const Job& job, const Decoder& decoder) {
  Work work;
  std::vector<std::string> unknown = job.keep;
  for (const std::string& name : graph::tensor_names(decoder.network)) {
    if (!is_matrix(decoder.weights, name)) continue;
    std::erase(unknown, name);
    const bool table = name == "model.embed_tokens.weight" || name == "lm_head.weight";
    if (std::find(job.keep.begin(), job.keep.end(), name) != job.keep.end() || (job.linear_only && table)) continue;
    work.tensors.push_back(name);
  }
  if (!unknown.empty())
    return Error(ErrorCode::not_found, fmt::format("--keep {}", unknown[0]), "the decoder has no such matrix",
                 "name a tensor of the file");
  const auto* block = std::get_if<quant::BlockFormat>(&job.format);
  if (!block) {
    choose_formats(job, decoder, work);
    return work;
  }

  io::LlamaGgufOptions file{.model = decoder.options};
  if (!job.tokenizer.empty()) {
    auto tokens = io::read_token_list(job.tokenizer);
    if (!tokens) return tokens.error();
    file.tokenizer = std::move(*tokens);
  }
  for (const std::string& name : work.tensors)
    file.types[name] = static_cast<io::GgufType>(quant::block_layout(*block).gguf_type);
  auto plan = io::plan_llama_gguf(std::move(file));
  if (!plan) return plan.error();
  work.tensors.clear();
  for (const io::GgufPlannedTensor& tensor : plan->tensors) {
    if (!tensor.reason.empty()) work.reasons[tensor.name] = tensor.reason;
    const auto format = quant::block_format_from_gguf_type(static_cast<std::uint32_t>(tensor.type));
    if (!format || !plan->options.types.contains(tensor.name)) continue;
    work.tensors.push_back(tensor.name);
    work.formats.insert_or_assign(tensor.name, WeightFormat(*format));
  }
  work.plan = std::move(*plan);
  return work;
}

/// The file that an engine loads, and the decoder as it stands there.
Result<TensorStore> write_gguf(const Job& job, const Decoder& decoder, const Work& work,
                               const compress::LayerwiseResult& result, const Context& context, Report& report) {
  io::LlamaGgufOptions file = work.plan->options;
  for (const auto& [name, weight] : result.tensors) file.blocks[name] = std::get<quant::BlockTensor>(weight);
  const auto plan = io::plan_llama_gguf(std::move(file));
  if (!plan) return plan.error();
  const std::filesystem::path path = job.out / "model.gguf";
  if (const Status written = io::write_llama_gguf(path, *plan, decoder.weights, context); !written)
    return written.error();
  const auto read = io::read_gguf(path);
  if (!read) return read.error();
  auto back = io::llama_from_gguf(*read);
  if (!back) return back.error();
  report.say("file_bytes", std::filesystem::file_size(path),
             fmt::format("file             {} ({} bytes, planned {})", path.string(), std::filesystem::file_size(path),
                         work.plan->file_bytes));
  report.keep("planned_file_bytes", work.plan->file_bytes);
  report.keep("file", path.string());
  report.say(
      "bits_per_weight", plan->bits_per_weight,
      fmt::format("bits a weight    {:.4f} (planned {:.4f})", plan->bits_per_weight, work.plan->bits_per_weight));
  report.keep("planned_bits_per_weight", work.plan->bits_per_weight);
  return std::move(back->weights);
}

Result<TensorStore> write_checkpoint(const Job& job, const Decoder& decoder, const compress::LayerwiseResult& result,
                                     Report& report) {
  std::vector<io::CompressedLayer> layers;
  std::int64_t weights = 0, bytes = 0;
  TensorStore others;
  constexpr std::string_view suffix = ".weight";
  for (const std::string& name : graph::tensor_names(decoder.network)) {
    const auto view = decoder.weights.find(name);
    if (!view) return view.error();
    weights += view->elements();
    const auto found = result.tensors.find(name);
    if (found == result.tensors.end()) {
      auto copy = Tensor::copy_of(*view);
      if (!copy) return copy.error();
      bytes += copy->bytes();
      others.put(name, std::move(*copy));
      continue;
    }
    bytes += compress::stored_bytes(found->second);
    const std::string layer = name.substr(0, name.size() - suffix.size());
    if (const auto* q = std::get_if<quant::QuantizedTensor>(&found->second)) layers.push_back({layer, *q});
    if (const auto* q = std::get_if<quant::MicroscaledTensor>(&found->second)) layers.push_back({layer, *q});
    if (const auto* q = std::get_if<quant::ScaledFloatTensor>(&found->second)) layers.push_back({layer, *q});
  }
  auto file = io::to_compressed_tensors(layers);
  if (!file) return file.error();
  for (const std::string& name : others.names()) {
    auto copy = Tensor::copy_of(*others.find(name));
    if (!copy) return copy.error();
    file->tensors.put(name, std::move(*copy));
  }
  const std::filesystem::path path = job.out / "model.safetensors";
  if (const Status ok = io::write_safetensors(path, file->tensors, {{"format", "pt"}}); !ok) return ok.error();
  const std::string config = fmt::format("{{\"quantization_config\": {}}}\n", file->quantization_config);
  if (const Status ok = write_file(job.out / "config.json", config); !ok) return ok.error();
  report.say(
      "file_bytes", std::filesystem::file_size(path),
      fmt::format("file             {} ({} bytes) and config.json", path.string(), std::filesystem::file_size(path)));
  report.keep("file", path.string());
  const double bits = 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  report.say("bits_per_weight", bits, fmt::format("bits a weight    {:.4f}", bits));
  return result.weights;
}

} // namespace

Result<ExitStatus> quantize_decoder(const Job& job, Report& report) {
  if (const auto possible = compress::layer_method(job.format, job.method); !possible) return possible.error();
  if (std::holds_alternative<quant::Nf4Options>(job.format) ||
      std::holds_alternative<compress::FittedCodebook>(job.format))
    return Error(ErrorCode::unsupported, fmt::format("--format {}", job.format_text),
                 "neither GGUF files nor compressed-tensors checkpoints hold it",
                 "use another format, or a recipe with quantize_weights and its artifact");
  const auto decoder = read_decoder(job);
  if (!decoder) return decoder.error();
  auto calibration = read_tokens(job.calibration, "calibration");
  if (!calibration) return calibration.error();
  const auto evaluation = read_tokens(job.data, "evaluation");
  if (!evaluation) return evaluation.error();
  const auto work = find_work(job, *decoder);
  if (!work) return work.error();

  ThreadPool pool(job.threads);
  ProgressLine progress;
  const Context context{.executor = &pool, .progress = progress.sink()};
  const auto taken = calibration->view().rows(0, std::min(job.samples, calibration->size(0)));
  if (!taken) return taken.error();
  compress::LayerwiseOptions walk{.tensors = work->tensors, .sequential = job.sequential, .batch = batch};
  const compress::LayerMethod method = [&](const compress::LayerProblem& p,
                                           const Context& inner) -> Result<QuantizedWeight> {
    const auto quantize = compress::layer_method(work->formats.at(p.tensor), job.method);
    if (!quantize) return quantize.error();
    return (*quantize)(p, inner);
  };
  const auto result = compress::quantize_layers(decoder->network, decoder->weights, *taken, method, walk, context);
  if (!result) return result.error();
  progress.clear();
  for (const auto& [name, weight] : result->tensors) {
    const auto reason = work->reasons.find(name);
    report.row("tensors",
               {{"tensor", name},
                {"format", compress::format_name(weight)},
                {"stored_bytes", compress::stored_bytes(weight)},
                {"reason", reason == work->reasons.end() ? "" : reason->second}},
               fmt::format("  {:<48} {:<30} {:>9} bytes {}", name, compress::format_name(weight),
                           compress::stored_bytes(weight), reason == work->reasons.end() ? "" : reason->second));
  }
  auto weights = work->plan ? write_gguf(job, *decoder, *work, *result, context, report)
                            : write_checkpoint(job, *decoder, *result, report);
  if (!weights) return weights.error();
  auto network = decoder->network;
  if (work->plan) { // rows of heads may stand in the file's order
    auto options = decoder->options;
    options.pairing = graph::RotaryPairing::interleaved;
    auto own = graph::llama(options);
    if (!own) return own.error();
    network = std::move(*own);
  }
  auto baseline = graph::reference_runner(decoder->network, decoder->weights, &pool);
  if (!baseline) return baseline.error();
  auto candidate = graph::reference_runner(std::move(network), std::move(*weights), &pool);
  if (!candidate) return candidate.error();
  const auto m = measure(**baseline, **candidate, *evaluation, progress);
  if (!m) return m.error();
  report.say("baseline_perplexity", m->baseline.perplexity,
             fmt::format("perplexity       {:.4f} in f32", m->baseline.perplexity));
  report.say("perplexity", m->candidate.perplexity,
             fmt::format("                 {:.4f} quantized ({:+.2f} %)", m->candidate.perplexity,
                         100 * (m->candidate.perplexity / m->baseline.perplexity - 1)));
  report.say("mean_kl_nats", m->divergence.mean_kl, fmt::format("divergence       {:.6f} nats", m->divergence.mean_kl));
  report.say("top1_agreement_fraction", m->divergence.top1_agreement,
             fmt::format("same first token {:.2f} %", 100 * m->divergence.top1_agreement));
  report.keep("evaluation_positions", m->divergence.positions);
  report.keep("calibration_rows", taken->size(0));
  return ExitStatus::done;
}

} // namespace example
