#include <algorithm>

#include "job.hpp"
#include "mcomp/compress/artifact.hpp"
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
  std::optional<double> allocated_bits; ///< of the matrices that the budget chose formats for
};

bool is_matrix(const TensorStore& weights, const std::string& name) {
  const auto view = weights.find(name);
  return view && view->rank() == 2;
}

bool all_blocks(const Job& job) {
  return !job.formats.empty() && std::all_of(job.formats.begin(), job.formats.end(), [](const WeightFormat& f) {
    return std::holds_alternative<quant::BlockFormat>(f);
  });
}
/// Whether checkpoints in the form of compressed-tensors hold every format.
bool all_in_checkpoints(const Job& job) {
  return !job.formats.empty() && std::all_of(job.formats.begin(), job.formats.end(), [](const WeightFormat& f) {
    return std::holds_alternative<quant::Scheme>(f) || std::holds_alternative<quant::Microscaling>(f) ||
           std::holds_alternative<quant::ScaledFloatOptions>(f);
  });
}

/// Why a format is not for a matrix; empty: it is.
std::string unfit(const WeightFormat& format, const Shape& shape) {
  std::int64_t group = 1;
  if (const auto* scheme = std::get_if<quant::Scheme>(&format);
      scheme && scheme->granularity == quant::Granularity::per_group)
    group = scheme->group_size;
  if (const auto* micro = std::get_if<quant::Microscaling>(&format)) group = micro->group_size;
  if (const auto* block = std::get_if<quant::BlockFormat>(&format)) group = quant::block_layout(*block).block_size;
  if (shape[1] % group == 0) return "";
  return fmt::format("groups of {} do not divide rows of {}", group, shape[1]);
}

/// One format for all matrices, in files that say nothing of their own about rows that it does not divide.
void choose_formats(const Job& job, const Decoder& decoder, Work& work) {
  const WeightFormat& asked = job.formats[0];
  std::vector<std::string> kept;
  for (const std::string& name : work.tensors) {
    const std::string why = unfit(asked, decoder.weights.find(name)->shape());
    if (why.empty()) {
      work.formats.insert_or_assign(name, asked);
    } else if (const auto* scheme = std::get_if<quant::Scheme>(&asked)) {
      quant::Scheme channel = *scheme;
      channel.granularity = quant::Granularity::per_channel;
      channel.group_size = 0;
      work.formats.insert_or_assign(name, WeightFormat(channel));
      work.reasons[name] = why + ": one scale a channel";
    } else {
      work.reasons[name] = why + ": left as it is";
      kept.push_back(name);
    }
  }
  for (const std::string& name : kept) std::erase(work.tensors, name);
}

/// Formats within the budget, measured on the calibration rows. Matrices that no format fits stay out of it.
Status choose_within_budget(const Job& job, const Decoder& decoder, const TensorView& calibration, Work& work,
                            const Context& context) {
  std::vector<compress::FormatCandidate> candidates;
  for (const WeightFormat& format : job.formats) {
    const auto method = compress::layer_method(format, job.method);
    if (!method) return method.error();
    candidates.push_back(
        {to_string(format),
         [how = *method, format](const compress::LayerProblem& p, const Context& inner) -> Result<QuantizedWeight> {
           if (const std::string why = unfit(format, p.weight.shape()); !why.empty())
             return Error(ErrorCode::invalid_shape, p.tensor, why, "use another format");
           return how(p, inner);
         },
         {}});
  }
  std::vector<std::string> chosen;
  for (const std::string& name : work.tensors) {
    const Shape shape = decoder.weights.find(name)->shape();
    if (std::any_of(job.formats.begin(), job.formats.end(),
                    [&](const WeightFormat& f) { return unfit(f, shape).empty(); }))
      chosen.push_back(name);
    else
      work.reasons[name] = unfit(job.formats[0], shape) + ", nor does any other format fit";
  }
  if (chosen.empty())
    return Error(ErrorCode::invalid_argument, "--budget", "no format fits any matrix",
                 "offer formats with smaller groups");
  const auto table = compress::sensitivity(
      decoder.network, decoder.weights, calibration, candidates,
      {.tensors = chosen, .measure = job.measure, .divergence_samples = job.measure_samples, .batch = batch}, context);
  if (!table) return table.error();
  const auto mixed = compress::allocate(*table, {.bits_per_weight = job.budget}, context);
  if (!mixed) return mixed.error().within("--budget");
  for (std::size_t i = 0; i < candidates.size(); ++i)
    for (const auto& [name, candidate] : mixed->candidates)
      if (candidate == candidates[i].name) work.formats.insert_or_assign(name, job.formats[i]);
  for (const auto& row : table->tensors)
    for (const auto& entry : row.entries)
      if (entry.candidate == mixed->candidates.at(row.tensor))
        work.reasons[row.tensor] = fmt::format("{} {:.2e} of {:.2e} in all", job.measure, entry.loss, mixed->loss);
  work.allocated_bits = mixed->bits_per_weight;
  return {};
}

Result<Work> find_work(const Job& job, const Decoder& decoder, const TensorView& calibration, const Context& context) {
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
  if (job.budget > 0) {
    if (const Status spent = choose_within_budget(job, decoder, calibration, work, context); !spent)
      return spent.error();
    if (!all_blocks(job)) std::erase_if(work.tensors, [&](const auto& name) { return !work.formats.contains(name); });
  }
  if (!all_blocks(job)) {
    if (job.budget == 0) choose_formats(job, decoder, work);
    return work;
  }

  io::LlamaGgufOptions file{.model = decoder.options};
  if (!job.tokenizer.empty()) {
    auto tokens = io::read_token_list(job.tokenizer);
    if (!tokens) return tokens.error();
    file.tokenizer = std::move(*tokens);
  }
  for (const std::string& name : work.tensors) {
    const auto chosen = work.formats.find(name);
    const WeightFormat& format = chosen == work.formats.end() ? job.formats[0] : chosen->second;
    file.types[name] = static_cast<io::GgufType>(quant::block_layout(std::get<quant::BlockFormat>(format)).gguf_type);
  }
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

namespace {

/// What was measured of a decoder, before and after.
Status say_measures(const Decoder& decoder, const Tensor& evaluation, graph::Network network, TensorStore weights,
                    ThreadPool& pool, ProgressLine& progress, Report& report) {
  auto baseline = graph::reference_runner(decoder.network, decoder.weights, &pool);
  if (!baseline) return baseline.error();
  auto candidate = graph::reference_runner(std::move(network), std::move(weights), &pool);
  if (!candidate) return candidate.error();
  const auto m = measure(**baseline, **candidate, evaluation, progress);
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
  return {};
}

/// The recipe that the command line describes.
Result<compress::Recipe> recipe(const Job& job, std::int64_t rows) {
  Json step{{"strategy", "quantize_weights"}, {"method", to_string(job.method.algorithm)},
            {"refine", job.method.refine},    {"keep", job.keep},
            {"linear_only", job.linear_only}, {"sequential", job.sequential},
            {"target", job.target_text}};
  if (job.budget > 0) {
    step["budget"] = {
        {"bits_per_weight", job.budget}, {"measure", to_string(job.measure)}, {"samples", job.measure_samples}};
    if (!job.formats.empty()) step["budget"]["formats"] = job.format_texts;
  } else {
    step["format"] = job.format_texts[0];
  }
  const Json text{{"schema", "mcomp-recipe-1"},
                  {"name", job.budget > 0 ? fmt::format("{}-bits", job.budget) : job.format_texts[0]},
                  {"calibration", {{"samples", rows}}},
                  {"steps", Json::array({step})}};
  return compress::Recipe::parse(text.dump(), "recipe of the command line");
}

/// Formats that no engine's files hold become an artifact of `compress`.
Result<ExitStatus> quantize_to_artifact(const Job& job, const Decoder& decoder, const TensorView& calibration,
                                        const Tensor& evaluation, Report& report) {
  const auto steps = recipe(job, calibration.size(0));
  if (!steps) return steps.error();
  compress::Model model;
  model.network = decoder.network;
  model.weights = decoder.weights;
  compress::Samples samples;
  auto rows = Tensor::copy_of(calibration);
  if (!rows) return rows.error();
  samples.tensors.put("tokens", std::move(*rows));
  ThreadPool pool(job.threads);
  ProgressLine progress;
  const Context context{.executor = &pool, .progress = progress.sink()};
  const auto plan = compress::plan(model, *steps, {.calibration = &samples, .context = context});
  if (!plan) return plan.error();
  const auto small = compress::apply(*plan, model, context);
  if (!small) return small.error();
  if (const Status written = compress::write_artifact(job.out, *small, *steps, *plan); !written) return written.error();
  const auto artifact = compress::read_artifact(job.out);
  if (!artifact) return artifact.error();
  progress.clear();
  std::int64_t elements = 0, of_quantized = 0, quantized_bytes = 0;
  for (const std::string& name : graph::tensor_names(decoder.network))
    elements += decoder.weights.find(name)->elements();
  for (const compress::Decision& decision : plan->decisions)
    for (const compress::PlanEntry& e : decision.entries) {
      const auto q = artifact->model.quantized.find(e.subject);
      if (q != artifact->model.quantized.end()) {
        of_quantized += decoder.weights.find(e.subject)->elements();
        quantized_bytes += compress::stored_bytes(q->second);
      }
      report.row("tensors",
                 {{"tensor", e.subject}, {"format", e.action}, {"stored_bytes", e.bytes_after}, {"reason", e.reason}},
                 fmt::format("  {:<48} {:<44} {:>9} bytes {}", e.subject, e.action, e.bytes_after, e.reason));
    }
  const std::filesystem::path file = job.out / "model.safetensors";
  const double n = static_cast<double>(elements);
  report.say("file_bytes", std::filesystem::file_size(file),
             fmt::format("file             {} ({} bytes, planned {} without its header)", file.string(),
                         std::filesystem::file_size(file), plan->bytes_after));
  report.keep("planned_file_bytes", plan->bytes_after);
  report.keep("file", file.string());
  report.keep("artifact", job.out.string());
  report.say("bits_per_weight", 8 * static_cast<double>(artifact->model.stored_bytes()) / n,
             fmt::format("bits a weight    {:.4f} (planned {:.4f})",
                         8 * static_cast<double>(artifact->model.stored_bytes()) / n,
                         8 * static_cast<double>(plan->bytes_after) / n));
  report.keep("planned_bits_per_weight", 8 * static_cast<double>(plan->bytes_after) / n);
  if (of_quantized > 0)
    report.say("quantized_bits_per_weight",
               8.0 * static_cast<double>(quantized_bytes) / static_cast<double>(of_quantized),
               fmt::format("                 {:.4f} of the quantized matrices",
                           8.0 * static_cast<double>(quantized_bytes) / static_cast<double>(of_quantized)));
  auto real = artifact->model.real_weights();
  if (!real) return real.error();
  if (const Status said = say_measures(decoder, evaluation, decoder.network, std::move(*real), pool, progress, report);
      !said)
    return said.error();
  report.keep("calibration_rows", calibration.size(0));
  return ExitStatus::done;
}

} // namespace

Result<ExitStatus> quantize_decoder(const Job& job, Report& report) {
  for (const WeightFormat& format : job.formats)
    if (const auto possible = compress::layer_method(format, job.method); !possible) return possible.error();
  const auto decoder = read_decoder(job);
  if (!decoder) return decoder.error();
  auto calibration = read_tokens(job.calibration, "calibration");
  if (!calibration) return calibration.error();
  const auto evaluation = read_tokens(job.data, "evaluation");
  if (!evaluation) return evaluation.error();
  const auto taken = calibration->view().rows(0, std::min(job.samples, calibration->size(0)));
  if (!taken) return taken.error();
  if (!all_blocks(job) && !all_in_checkpoints(job))
    return quantize_to_artifact(job, *decoder, *taken, *evaluation, report);

  ThreadPool pool(job.threads);
  ProgressLine progress;
  const Context context{.executor = &pool, .progress = progress.sink()};
  const auto work = find_work(job, *decoder, *taken, context);
  if (!work) return work.error();
  compress::LayerwiseOptions walk{
      .tensors = work->tensors, .sequential = job.sequential, .target = job.target, .batch = batch};
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
  double bits = 0, elements = 0;
  for (const auto& [name, weight] : result->tensors) {
    bits += 8 * static_cast<double>(compress::stored_bytes(weight));
    elements += static_cast<double>(decoder->weights.find(name)->elements());
  }
  if (elements > 0) {
    // With a budget those that it is for: rows that none of its formats divides take what the file's rules say.
    const double of_quantized = work->allocated_bits.value_or(bits / elements);
    report.say("quantized_bits_per_weight", of_quantized,
               fmt::format("                 {:.4f} of the quantized matrices", of_quantized));
  }
  if (const Status said =
          say_measures(*decoder, *evaluation, std::move(network), std::move(*weights), pool, progress, report);
      !said)
    return said.error();
  report.keep("calibration_rows", taken->size(0));
  return ExitStatus::done;
}

} // namespace example
