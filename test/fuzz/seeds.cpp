// Writes the inputs that fuzzing starts from, for each reader a folder of its name: small right files of every kind
// that the readers know.
//
//     fuzz_seeds FOLDER

#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "io/gguf_bytes.hpp"
#include "mcomp/calibrate/calibrator.hpp"
#include "mcomp/catalog/approval.hpp"
#include "mcomp/catalog/artifact_store.hpp"
#include "mcomp/catalog/changelog.hpp"
#include "mcomp/catalog/checkpoint.hpp"
#include "mcomp/catalog/json.hpp"
#include "mcomp/catalog/records.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/device_profile.hpp"
#include "mcomp/cost/objective.hpp"
#include "mcomp/cost/prices.hpp"
#include "mcomp/evaluate/evaluation.hpp"
#include "mcomp/io/compressed_tensors.hpp"
#include "mcomp/io/gguf_llama.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/loop/cycle.hpp"
#include "mcomp/loop/trigger.hpp"
#include "mcomp/monitor/alerts.hpp"
#include "mcomp/monitor/anomaly.hpp"
#include "mcomp/monitor/burn_rate.hpp"
#include "mcomp/monitor/change_detector.hpp"
#include "mcomp/monitor/drift.hpp"
#include "mcomp/monitor/instruments.hpp"
#include "mcomp/monitor/live_samples.hpp"
#include "mcomp/monitor/metrics_text.hpp"
#include "mcomp/monitor/online_drift.hpp"
#include "mcomp/monitor/sketch_window.hpp"
#include "mcomp/report/report.hpp"
#include "mcomp/rollout/flagd.hpp"
#include "mcomp/rollout/flags.hpp"
#include "mcomp/rollout/guardrail.hpp"
#include "mcomp/rollout/hash.hpp"
#include "mcomp/rollout/stage_machine.hpp"
#include "mcomp/rollout/unleash.hpp"
#include "mcomp/stats/sketch.hpp"
#include "property.hpp"
#include "small_artifact.hpp"

namespace {

using namespace mcomp;
namespace fs = std::filesystem;

class Seeds {
 public:
  explicit Seeds(fs::path root) : root_(std::move(root)) {}
  /// Where a seed is to be written.
  fs::path path(const std::string& reader, const std::string& name) {
    fs::create_directories(root_ / reader);
    ++count_;
    return root_ / reader / name;
  }
  void text(const std::string& reader, const std::string& name, std::string_view content) {
    std::ofstream file(path(reader, name), std::ios::binary | std::ios::trunc);
    file << content;
    mcomp_fuzz::demand(file.flush().good());
  }
  [[nodiscard]] int count() const { return count_; }

 private:
  fs::path root_;
  int count_ = 0;
};

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Tensor numbers(Shape shape) {
  Random random(7);
  Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
  return t;
}

/// Sketches that are empty, of both signs, and with joined bins.
void sketch_seeds(Seeds& seeds) {
  const auto write = [&](const std::string& name, const stats::QuantileSketch& sketch) {
    const auto bytes = sketch.to_bytes();
    seeds.text("sketch", name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  auto wide = stats::QuantileSketch::create().value(), narrow = stats::QuantileSketch::create({.max_bins = 16}).value();
  write("empty", wide);
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    const double value = random.normal();
    wide.add(value);
    narrow.add(value);
  }
  wide.add(0);
  write("wide", wide);
  write("narrow", narrow);
}

/// A tensor of every element type.
void safetensors_seeds(Seeds& seeds) {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::f8_e4m3, DType::f8_e5m2,
                            DType::boolean, DType::int8, DType::uint8, DType::int16, DType::int32, DType::int64}) {
    TensorStore store;
    store.put("a", Tensor::zeros(dtype, {2, 3}).value());
    store.put("b", Tensor::zeros(DType::f32, {}).value());
    io::write_safetensors(seeds.path("safetensors", to_string(dtype)), store, {{"format", "pt"}, {"x", "y"}}).value();
  }
  io::write_safetensors(seeds.path("safetensors", "empty"), {}).value();
}

void compressed_tensors_seeds(Seeds& seeds, const fs::path& scratch) {
  using quant::Granularity;
  const auto add = [&](const std::string& name, const std::vector<io::CompressedLayer>& layers,
                       const io::CompressedTensorsOptions& options = {}) {
    const auto file = io::to_compressed_tensors(layers, options).value();
    io::write_safetensors(scratch, file.tensors).value();
    seeds.text("compressed_tensors", name, file.quantization_config + '\0' + content(scratch));
  };
  const Tensor weight = numbers({3, 32});
  for (const int bits : {2, 3, 4, 5, 6, 7, 8})
    add(fmt::format("int{}", bits),
        {{"a", quant::quantize(numbers({3, 5}), {.dtype = integer_dtype(bits, true)}).value()}}, {.packed_int8 = true});
  const quant::Scheme group{
      .dtype = DType::uint4, .symmetric = false, .granularity = Granularity::per_group, .group_size = 8};
  add("affine", {{"a", quant::quantize(weight, group).value()}});
  std::vector<std::int32_t> order(32);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>((i * 5) % 32 / 8);
  add("act_order",
      {{"a",
        quant::quantize(weight, {.dtype = DType::int4, .granularity = Granularity::per_group, .group_size = 8}).value(),
        order}});
  add("int8", {{"a", quant::quantize(numbers({2, 3}), {.dtype = DType::int8}).value()}},
      {.scale_dtype = DType::f32, .dynamic_activations = true, .ignore = {"lm_head"}});
  add("fp8", {{"a", quant::quantize_scaled_float(numbers({2, 3})).value()}}, {.dynamic_activations = true});
  for (const auto& format : {quant::microscaling::nvfp4, quant::microscaling::mxfp4})
    add(to_string(format), {{"a", quant::quantize_microscaled(weight, {.format = format}).value()}});
  add("two", {{"a", quant::quantize(numbers({3, 5}), {.dtype = DType::int3}).value()},
              {"b.c", quant::quantize(weight, group).value()}});
  seeds.text(
      "compressed_tensors", "preset",
      R"({"quant_method": "compressed-tensors", "config_groups": {"W4A16": ["re:model\\.(layers|x)\\.\\d+$"]}})");
  fs::remove(scratch);
}

TensorStore decoder_weights(const graph::Network& network) {
  TensorStore weights;
  const auto shapes = graph::infer_shapes(network).value();
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto& operation = network.layers[i].operation;
    const std::int64_t in = shapes.input[i].sizes().back();
    if (const auto* e = std::get_if<graph::Embedding>(&operation))
      weights.put(e->weight, numbers({e->vocabulary, e->features}));
    if (const auto* n = std::get_if<graph::RmsNorm>(&operation)) weights.put(n->weight, numbers({in}));
    if (const auto* l = std::get_if<graph::Linear>(&operation)) weights.put(l->weight, numbers({l->out_features, in}));
  }
  return weights;
}

/// Bytes of a value of one of the types of metadata.
std::size_t value_bytes(std::uint32_t type) {
  return type < 2 || type == 7 ? 1 : type < 4 ? 2 : type < 7 ? 4 : 8;
}

void gguf_seeds(Seeds& seeds) {
  using namespace mcomp_test;
  for (const std::uint32_t type : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 10u, 11u, 12u})
    seeds.text(
        "gguf", fmt::format("value{}", type),
        gguf({architecture(), kv("a", type, std::string(value_bytes(type), '\1')), kv("b", 9, u32(type) + u64(0))}, {},
             ""));
  seeds.text("gguf", "strings",
             gguf({architecture(), kv("a", 9, u32(8) + u64(2) + str("x") + str("yz"))},
                  {tensor_info("t", {2, 3}, 0, 0), tensor_info("u", {4}, 1, 32)}, std::string(64, '\2')));
  for (const quant::BlockFormat format : quant::block_formats) {
    const auto& layout = quant::block_layout(format);
    const auto data = static_cast<std::size_t>((layout.block_bytes + 31) / 32 * 32);
    seeds.text("gguf", std::string(layout.name),
               gguf({architecture(), kv("general.quantization_version", 4, u32(2))},
                    {tensor_info("t", {static_cast<std::uint64_t>(layout.block_size)}, layout.gguf_type, 0)},
                    std::string(data, '\3')));
  }
  graph::LlamaOptions model;
  model.vocabulary = 3, model.features = 32, model.hidden = 32, model.layers = 1, model.heads = 2, model.kv_heads = 1,
  model.context = 4;
  for (const bool tied : {true, false}) {
    model.tied = tied;
    const TensorStore weights = decoder_weights(graph::llama(model).value());
    io::LlamaGgufOptions options{.model = model, .type = io::GgufType::q4_0};
    options.tokenizer = io::parse_token_list("b'<unk>'\t0.0\nb'\\n<s>\\n'\t0.0\nb'\\n</s>\\n'\t0.0\n", "seed").value();
    io::write_llama_gguf(seeds.path("gguf", tied ? "llama" : "llama_head"), io::plan_llama_gguf(options).value(),
                         weights)
        .value();
  }
}

void texts_seeds(Seeds& seeds, const fs::path& scratch) {
  seeds.text("token_list", "special", "b'<unk>'\t0.0\nb'\\n<s>\\n'\t0.0\nb'\\n</s>\\n'\t0.0\nb'<0x0A>'\t0.0\n");
  seeds.text("token_list", "pieces", "b'<unk>'\t0\nb'<s>'\t0\nb'</s>'\t0\nb' the'\t-6.5\nb\"it's\\xc3\\xa9\"\t-1e2\n");

  seeds.text("network", "small", mcomp_fuzz::small_network);
  seeds.text("network", "convolutional", R"({"schema": "mcomp-network-1", "name": "n", "input": {"shape": [4, 8, 8]},
    "layers": [{"name": "a", "op": "convolution", "out_channels": 4, "kernel": [3, 3], "padding": [1, 1], "groups": 2},
      {"name": "b", "op": "batch_norm", "epsilon": 1e-3}, {"name": "c", "op": "activation", "kind": "relu6"},
      {"name": "d", "op": "subsample_pad", "stride": [2, 2], "channels_before": 1, "channels_after": 1},
      {"name": "e", "op": "convolution", "inputs": ["c"], "out_channels": 6, "kernel": [2, 2], "stride": [2, 2]},
      {"name": "f", "op": "add", "inputs": ["d", "e"]}, {"name": "g", "op": "pooling", "kind": "max", "kernel": [2, 2]},
      {"name": "h", "op": "flatten"}, {"name": "i", "op": "linear", "out_features": 2}, {"name": "j", "op": "softmax"}],
    "output": "j"})");
  graph::LlamaOptions model;
  model.vocabulary = 4, model.features = 4, model.hidden = 4, model.layers = 1, model.heads = 2, model.kv_heads = 1,
  model.context = 4;
  seeds.text("network", "decoder", graph::to_json(graph::llama(model).value()));

  seeds.text("recipe", "small", mcomp_fuzz::small_recipe);
  seeds.text("recipe", "pruning", R"({"schema": "mcomp-recipe-1", "name": "p", "steps": [
    {"strategy": "prune_filters", "fraction": 0.25, "score": "l1"}, {"strategy": "fold_batch_norm"}],
    "criteria": {"max_size_ratio": 0.5, "max_ece_increase": 0.01, "max_latency_p99_seconds": 1,
                 "max_monthly_cost_ratio": 0.9, "min_samples": 50}})");
  seeds.text("trace", "minutes", "minute,requests\n0,100\n1,0\n2,130.5\n5,90\n");
  seeds.text("trace", "arrivals", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n");
  seeds.text("prices", "small", R"({"currency": "USD", "date": "2026-07-20", "source": "a list", "hours_per_month": 730,
    "instances": [{"name": "a", "vcpus": 8, "memory_gib": 16, "on_demand_per_hour": 0.2, "reserved_per_hour": 0.1,
                   "term": "1 year"}, {"name": "b", "vcpus": 1, "on_demand_per_hour": 0.01}]})");
  seeds.text("prices", "full", R"({"currency": "USD", "date": "2026-07-20", "source": "a list",
    "instances": [{"name": "a", "on_demand_per_hour": 0.2, "reserved": [{"months": 12, "payment": "no upfront",
                   "kind": "standard", "per_hour": 0.1}], "spot": {"per_hour": 0.1, "interrupted_per_month": [0, 0.05]}}],
    "storage": [{"name": "ssd", "per_gib_month": 0.1}], "egress": [{"from_gib": 0, "per_gib": 0.09}]})");
  seeds.text("forecast_log", "one",
             R"({"schema": "mcomp-forecast-log-1", "records": [{"date": "2026-07-20", "recipe": "a",
    "currency": "USD", "price_date": "2026-07-20", "baseline_instance": "a", "candidate_instance": "a",
    "baseline_price_per_hour": 0.1, "candidate_price_per_hour": 0.1, "mean_per_second": 1, "hour_share": [],
    "level_edges": [1], "level_share": [0.5, 0.5], "saving_per_month": 5,
    "saving_interval": {"lower": 4, "upper": 6, "level": 0.95}, "baseline": {"mean_instances": 2},
    "candidate": null, "measured_baseline": {"per_month": 1e3}, "measured_candidate": {}}]})");
  seeds.text("report", "empty", to_json(report::Report{.title = "t"}));
  report::Report page{.title = "t", .time = 1780272000};
  page.verdict = report::VerdictSection{.checks = {{"max_accuracy_loss", "pass", "below"}}};
  page.trials = report::TrialSection{.trials = {{"e1", "w4a8", "", "won", {{"bytes", 9}, {"accuracy", 0.9}}, {}}}};
  page.layers = {{.measures = {{.name = "int4"}}, .layers = {{.name = "stem", .values = {0.5}}}}};
  page.latency = report::LatencySection{.models = {{.name = "a", .count = 3, .bins = {{0.001, 0.002, 3}}}}};
  page.drift = report::DriftSection{.series = {{.name = "psi", .readings = {{1780272000, 0.1}}, .limit = 0.2}}};
  page.rollout = report::RolloutSection{.stages = {{"full", 1780272000, 1780358400, 1}}, .marks = {{1780272000, "a"}}};
  page.cost = report::CostSection{.currency = "USD", .changes = {{"machines", -1}}, .hours = {{0, 1, 2}}};
  page.playbooks = {report::playbook({.name = "p99", .kind = report::AlertKind::latency, .value = 2, .limit = 1})};
  seeds.text("report", "parts", to_json(page));
  seeds.text("price_import", "hourly", "instance_type,usd_per_hour_ondemand_linux\na1.large,0.051\nb,unavailable\n");
  seeds.text("price_import", "monthly",
             "Instance-Type , Memory , CPUs , Linux On Demand cost , Linux Reserved cost\n"
             "a1.large , 4.0 GiB , 2 vCPUs for a burst , $37.23 monthly , unavailable\n");
  seeds.text("price_import", "terms",
             R"({"instance_type": "x", "vCPU": 8, "memory": 16, "pricing": {"us-east-1": {"linux":
    {"ondemand": "0.2", "pct_interrupt": "5-10%", "spot_avg": "0.05",
     "reserved": {"yrTerm1Standard.noUpfront": "0.12"}}}}})");

  cost::DeviceProfile profile{.device = {.name = "a", .instruction_set = "b", .engine = "c"},
                              .date = "2026-07-20",
                              .copies = {{1024, 1e10}, {4096, 1e9}},
                              .declared =
                                  cost::DeclaredDevice{.peaks = {{DType::int8, 1e12}}, .bytes_per_second = 1e10},
                              .watts = 65};
  profile.layers = {{{.in_channels = 3, .out_channels = 4}, 1e-6, 1},
                    {{.kind = cost::LayerKind::convolution, .height = 4, .width = 4, .kernel = {3, 3}}, 1e-5, 1.5}};
  seeds.text("device_profile", "small", to_json(profile));
  seeds.text("latency_table", "small",
             to_json(cost::LatencyTable{
                 .source = "s", .other_seconds = 1e-5, .layers = {{"a", 9, {{"f32", 32, 1e-3}, {"int8", 8, 1e-4}}}}}));

  fs::create_directories(scratch);
  mcomp_fuzz::write_small_artifact(scratch);
  seeds.text("artifact", "small", content(scratch / "manifest.json"));
  fs::remove_all(scratch);
  seeds.text("plan", "small", to_json(mcomp_fuzz::small_artifact().plan));
}

/// An evaluation with everything in it, and a calibrator of every method.
void trust_seeds(Seeds& seeds) {
  Random random(11);
  std::vector<float> logits;
  std::vector<std::int32_t> labels;
  evaluate::Slicing slicing{.dimension = "region", .groups = {"eu", "us"}};
  constexpr std::int64_t rows = 400, classes = 3;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t k = 0; k < classes; ++k) logits.push_back(static_cast<float>(2 * random.normal()));
    labels.push_back(static_cast<std::int32_t>(i % classes));
    logits[static_cast<std::size_t>(i * classes + i % classes)] += 2;
    slicing.group.push_back(static_cast<std::int32_t>(i % 2));
  }
  const Tensor z = Tensor::from(logits, {rows, classes}).value(), y = Tensor::from(labels, {rows}).value();
  const auto suite = evaluate::Suite::freeze({.name = "s", .inputs = z, .labels = y, .slicings = {slicing}}).value();
  const auto serve = [&](float factor) {
    evaluate::Contender contender{.name = "c", .bytes = 10, .memory_bytes = 20, .monthly_cost = 3.0};
    contender.predict = [factor](const TensorView& inputs) -> Result<evaluate::Answer> {
      Tensor outputs = Tensor::copy_of(inputs).value();
      auto values = outputs.mutable_values<float>();
      for (std::size_t i = 0; i < values.size(); i += 3) values[i] *= factor;
      return evaluate::Answer{.outputs = std::move(outputs), .stages = {{"model", 0.001}}};
    };
    return contender;
  };
  const evaluate::Criteria criteria{.max_accuracy_loss = 0.1,
                                    .max_slice_accuracy_loss = 0.1,
                                    .protected_slices = {{"region=eu", 0.2}},
                                    .slice_latency_p99_seconds = {{"region=us", 1.0}}};
  const auto evaluation =
      evaluate::compare(serve(1), serve(0.5F), suite, criteria, {.exemplars = 1, .resamples = 30}).value();
  seeds.text("evaluation", "whole", to_json(evaluation));
  evaluate::Evaluation bare;
  bare.criteria.min_samples = 1;
  seeds.text("evaluation", "bare", to_json(bare));

  calibrate::CalibratorOptions options{.slices = slicing.group};
  options.linear.when_overfitting = calibrate::OverfitRule::regularize;
  for (const calibrate::Method method : calibrate::all_methods())
    if (const auto fitted = calibrate::fit_calibrator(method, z, y, options))
      seeds.text("calibrator", to_string(method), fitted->calibrator.to_json());
}

/// What the catalogue reads from outside, signed by a key that the fuzzers know.
void catalog_seeds(Seeds& seeds, const fs::path& scratch) {
  using namespace catalog;
  const auto key = SigningKey::from_seed("log", std::array<std::uint8_t, 32>{7}).value();
  const Checkpoint checkpoint{.origin = "log", .size = 3, .root = leaf_hash("x"), .extensions = {"an extension"}};
  seeds.text("checkpoint", "signed", sign_checkpoint(checkpoint, {&key, 1}).value());
  seeds.text("checkpoint", "text", to_text(checkpoint));
  seeds.text(
      "metrics_text", "types",
      "# TYPE a counter\n# HELP a he\\\\lp\na_total{b=\"c\\n\"} 1 2 # {d=\"e\"} 0.5 1\n# TYPE h_s histogram\n# UNIT "
      "h_s s\n"
      "h_s_bucket{le=\"1\"} 1\nh_s_bucket{le=\"+Inf\"} 2\nh_s_count 2\nh_s_sum 3\n# TYPE s stateset\ns{s=\"on\"} 1\n"
      "# TYPE q summary\nq{quantile=\"0.5\"} 1\nq_count 1\nq_sum 1\nother NaN\n# EOF\n");
  {
    using namespace monitor;
    const InstrumentOptions options{.stages = {"queue"}, .max_series = 2};
    seeds.text("monitor_json", "options", to_json(options));
    seeds.text("monitor_json", "live_samples", to_json(LiveSampleOptions{.shape = {1, 2}, .edge_cases = {"dark"}}));
    const std::vector<AlertRule> rules{{.name = "a", .raise = 2, .clear = 1}};
    seeds.text("monitor_json", "alert_rules", to_json(rules));
    const AlertNotice notice{
        .rule = rules.front(), .labels = {{"a", "b"}}, .moved = MovedPart{.name = "a=b", .before = 1, .after = 2}};
    seeds.text("monitor_json", "alert_notice", to_json(notice));
    seeds.text("monitor_json", "drift_options", to_json(DriftOptions{}));
    Instruments instruments = Instruments::create(options).value();
    Recorder recorder = instruments.recorder().value();
    const std::array<double, 1> stages{0.25};
    recorder.record(
        {.region = instruments.name(Dimension::region, "eu").value()},
        {.seconds = 0.5, .stage_seconds = stages, .confidence = 0.75, .cost = 0.5, .request = 1, .predicted = 2});
    recorder.label(1, 2);
    recorder.activations(instruments.layer("conv").value(), 10, 1);
    instruments.collect(5).value();
    seeds.text("monitor_json", "snapshot", to_json(instruments.since_start()));
    const std::vector<double> rows{1, 0, 2, 1, 3, 1, 4, 0, 5, 0, 6, 1, 7, 1, 8, 0, 9, 0, 10, 0};
    seeds.text("monitor_json", "reference",
               to_json(DriftReference::build({{.name = "n"}, {.name = "c", .categories = {"a", "b"}}},
                                             TensorView::of<double>(std::span<const double>(rows), {10, 2}).value())
                           .value()));
  }
  const Approval approval{.subject = "a",
                          .change = "promote",
                          .role = "reviewer",
                          .signer = {},
                          .issued = 100,
                          .expires = 200,
                          .nonce = "n",
                          .comment = "c"};
  const Envelope envelope = sign_approval(approval, key).value();
  seeds.text("approval", "signed", to_json(envelope).value());
  seeds.text("approval", "statement", envelope.payload);
  {
    const auto store = ArtifactStore::open(scratch).value();
    ArtifactManifest manifest{.name = "n",
                              .parts = {},
                              .baseline = "b",
                              .data = {{"calibration", "c"}},
                              .device_profile = {},
                              .library_version = "0.1.0",
                              .seed = 1,
                              .instruction_set_cap = {},
                              .hardware = {{"avx2"}, "w8a8", 10}};
    manifest.parts.push_back({PartRole::weights, "w", store.put("weights").value()});
    manifest.parts.push_back({PartRole::plan, "p", store.put("{}").value()});
    const auto encoded = encode(manifest).value();
    seeds.text("catalog_manifest", "small", encoded.manifest + '\0' + encoded.config);
    store.publish(manifest).value();
    store.export_archive(seeds.path("archive", "one")).value();
    manifest.seed = 2;
    store.publish(manifest).value();
    store.export_archive(seeds.path("archive", "two")).value();
    fs::remove_all(scratch);
  }
  {
    fs::create_directories(scratch);
    auto catalog = Catalog::open(scratch / "c").value();
    const Governance governance{
        .keys = {{.key = key.public_key(), .roles = {"reviewer"}, .valid_from = 1, .valid_until = 9}},
        .policy = {
            .rules = {{.change = "govern", .roles = {"reviewer"}}, {.change = "promote", .roles = {"reviewer"}}}}};
    catalog.govern(governance, "a", 1).value();
    const Event event{.kind = "k", .actor = "a", .time = 2, .body = R"({"x": 1})", .personal = true};
    catalog.redact(catalog.append(event).value(), "a", 3, "r").value();
    catalog.put({.kind = "recipe", .id = "r", .author = "a", .time = 4}).value();
    catalog.export_log(seeds.path("log_export", "log"), "log", {&key, 1}).value();
    seeds.text("log_export", "event", to_json(event).value());
    seeds.text("log_export", "governance", to_json(governance).value());
    fs::remove_all(scratch);
  }
  seeds.text("catalog_record", "experiment",
             to_json(Experiment{.name = "e",
                                .parameters = {{"bits", "4"}},
                                .metrics = {{"accuracy", 0.9}},
                                .slices = {{"region=eu", {{"accuracy", 0.8}}}}})
                 .value());
  seeds.text("catalog_record", "target",
             to_json(Target{.name = "t", .metric = "ece", .bound = "at most", .value = 0.1}).value());
  seeds.text("catalog_record", "decision",
             to_json(Decision{.title = "d", .options = {"a"}, .evidence = {"e"}}).value());
  seeds.text("catalog_record", "recipe",
             to_json(RecipeEntry{.name = "r", .recipe = "{}", .uses = {{"m", "3x"}}}).value());
  seeds.text("catalog_record", "investigation", to_json(Investigation{.question = "q", .trials = {"e"}}).value());
  seeds.text("catalog_record", "suite", to_json(BenchmarkSuite{.name = "s", .fingerprint = "f", .rows = 2}).value());
  const Record record{.kind = "note", .id = "n", .version = 1, .body = R"({"x":1})", .links = {"a"}};
  seeds.text("catalog_answer", "records", to_json(std::vector{record}));
  seeds.text("catalog_answer", "draft", to_json(RecordDraft{.kind = "note", .id = "n", .author = "a"}));
  seeds.text("catalog_answer", "query", to_json(RecordQuery{.kind = "note", .since = 1}));
  seeds.text("catalog_answer", "alias", to_json(AliasState{.name = "production", .artifact = "sha256:a"}));
  seeds.text("catalog_answer", "promotion", to_json(Promotion{.alias = "production", .artifact = "sha256:a"}));
  seeds.text("catalog_answer", "rollback", to_json(Rollback{.alias = "production"}));
  seeds.text("catalog_answer", "due", to_json(std::vector{DueEvent{.index = 1, .kind = "note"}}));
  CatalogReport report;
  report.problems = {{1, "event 1", "it is missing"}};
  seeds.text("catalog_answer", "report", to_json(report));
  seeds.text("catalog_answer", "store", to_json(StoreReport{.problems = {{"index.json", "damaged", {"sha256:a"}}}}));
  seeds.text("catalog_answer", "garbage", to_json(GarbageReport{.removed = 1}));
  seeds.text("catalog_answer", "machine", to_json(Machine{.instruction_sets = {"avx2"}}));
  seeds.text("catalog_answer", "comparison",
             to_json(compare(Experiment{.name = "a", .metrics = {{"m", 1}}}, Experiment{.name = "b"})));
  seeds.text("changelog", "one",
             to_json(std::vector<ChangelogEntry>{{.event = 1,
                                                  .time = 1'800'000'000,
                                                  .kind = "promotion",
                                                  .subject = "production",
                                                  .actor = "ci",
                                                  .approved_by = {"ana"},
                                                  .text = "production names x"}})
                 .value());
  {
    using namespace mcomp::loop;
    const Trigger trigger{.kind = TriggerKind::drift, .subject = "region=eu", .reason = "moved", .value = 0.3};
    seeds.text("loop_state", "trigger", to_json(trigger));
    seeds.text("loop_state", "rules", to_json(TriggerRules{}));
    Observation seen{.time = 1, .model = "m", .calibration = CalibrationSignal{.error = 0.1}, .cost = CostSignal{}};
    seen.drift = {{.subject = "region=eu", .distance = 0.2, .samples = 600}};
    seen.hardware = {{.fingerprint = "f", .per_million = 1, .other_per_million = 2}};
    seen.requests = {{.id = "r1"}};
    seeds.text("loop_state", "observation", to_json(seen));
    WatchState watched{.drift_row = {{"region=eu", 2}}, .fired = {"manual:r1"}};
    watched.situation = {.model = "m", .calibration_error = 0.1, .prices = {{"c5.large", 0.085}}};
    watched.situation.targets = {{.id = "floor", .version = 1, .bound = 0.9}};
    seeds.text("loop_state", "watch", to_json(watched));
    CycleState cycle{.trigger = trigger};
    cycle.options = {.id = "c", .family = "decoder", .recipe = "{}", .budget = {.money = 5.0}};
    cycle.candidates = {{.id = "c1", .proxies = {{"size", 0.2}}, .margins = {{"max_accuracy_loss", 0.01, 0.001}}}};
    cycle.attempts = {{.step = "compress c1", .begun = 1}};
    cycle.rollout = to_json(rollout::begin_rollout("a", "b", 1));
    seeds.text("loop_state", "cycle", to_json(cycle));
  }
  seeds.text("canonical_json", "all",
             R"({"b": [1, -2.5e-7, 1e21, true, null, "\u20ac\ud83d\ude00\n\""], "a": {"": {}}})");
}

/// Options, counts, answers and decisions of the rooms monitor and rollout.
void workflow_json_seeds(Seeds& seeds) {
  using namespace monitor;
  using namespace rollout;
  const auto seed = [&](const std::string& name, const auto& value) {
    seeds.text("workflow_json", name, to_json(value));
  };
  const BurnRateOptions burn{.windows = {{600, 60, 5}}};
  seed("burn_rate", burn);
  BurnRate rate = BurnRate::create(burn).value();
  rate.add(10, 90, 10).value();
  seed("burn_answer", rate.answer(10));
  seed("heartbeat", HeartbeatOptions{});
  seed("change_detector", ChangeDetectorOptions{});
  seed("sketch_windows", SketchWindowOptions{});
  seed("adwin", AdwinOptions{});
  seed("page_hinkley", PageHinkleyOptions{});
  seed("drift_detection", DriftDetectionOptions{});
  seed("cusum", CusumOptions{});
  const MetricFamily family{
      .name = "a",
      .type = MetricType::counter,
      .samples = {{.suffix = "_total",
                   .labels = {{"b", "c"}},
                   .value = 1,
                   .timestamp = 2,
                   .exemplar = MetricExemplar{.labels = {{"d", "e"}}, .value = 1, .timestamp = 3}}}};
  seeds.text("workflow_json", "metrics", to_json(std::span(&family, 1)).value());
  seed("guardrail", GuardrailOptions{.accuracy = GroupRule{},
                                     .accuracy_floor = FloorRule{},
                                     .confidence = ConfidenceRule{},
                                     .satisfaction = GroupRule{},
                                     .satisfaction_floor = FloorRule{},
                                     .anomaly = AnomalyRule{},
                                     .burn = burn,
                                     .heartbeat = HeartbeatOptions{}});
  seed("counts", GuardrailCounts{.pairs = {.both_right = 1}, .requests = 2, .slow = 1, .baseline = {1, 2}});
  RolloutEvent start;
  start.kind = EventKind::rollback;
  const Transition back = advance(begin_rollout("a", "b", 5), start, RolloutPolicy{});
  seed("transition", back);
  seed("action", back.actions.at(0));
  seed("assignment", Assignment{.arm = "a", .position = 7});
  seed("flagd_decision", FlagdDecision{.variant = "a", .value = "1", .reason = "STATIC", .error_code = {}});
  seed("unleash_variant", UnleashVariant{.payload_type = "t", .payload_value = "v", .has_payload = true});
  seed("unleash_context", UnleashContext{.user_id = "u", .properties = {{"a", "b"}}});
  seed("launchdarkly", LaunchDarklyRollout{.flag_key = "f", .salt = "s", .seed = 61});
}

void rollout_seeds(Seeds& seeds) {
  using namespace rollout;
  const Ledger ledger = Ledger::create({{"a", 90}, {"b", 10}}).value().reweighed({{"a", 50}, {"b", 30}}).value();
  seeds.text("flags", "ledger", to_json(ledger));
  seeds.text("flags", "sticky", to_json(StickyArms{.arms = {{"u", "a"}}}));
  Flag flag{
      .key = "f", .variants = {{.name = "a"}, {.name = "b", .value = "[1]"}}, .default_variant = "a", .rules = {}};
  flag.rules.push_back({.id = "r",
                        .conditions = {{.attribute = "region", .values = {std::string("eu")}, .negated = true},
                                       {.attribute = "age", .comparison = Comparison::less, .values = {4.5}},
                                       {.attribute = "version",
                                        .comparison = Comparison::version_greater,
                                        .values = {std::string("1.2.3-beta.1")}}},
                        .variant = "b",
                        .split = {}});
  flag.rules.push_back({.id = "s", .conditions = {}, .variant = {}, .split = ledger, .bucket_by = "region"});
  seeds.text("flags", "set", to_json(FlagSet{.revision = 2, .flags = {flag}}).value());
  seeds.text("stage_machine", "plan",
             to_json(TrafficPlan{.key = "k",
                                 .baseline = "a",
                                 .candidate = "b",
                                 .segments = {{.id = "s", .conditions = flag.rules[0].conditions, .split = ledger}},
                                 .split = ledger,
                                 .holdback = 10,
                                 .shadow = 20}));
  seeds.text("anomaly", "options", to_json(mcomp::monitor::AnomalyOptions{}));
  seeds.text("stage_machine", "policy", to_json(RolloutPolicy{}));
  RolloutEvent event;
  event.kind = EventKind::gate;
  event.stage = Stage::canary;
  event.verdict = Gate::inconclusive;
  seeds.text("stage_machine", "event", to_json(event));
  RolloutState state = begin_rollout("a", "b", 5);
  state.approvals = {{.change = Stage::canary, .approver = "x", .role = "y"}};
  seeds.text("stage_machine", "state", to_json(state));
  seeds.text("unleash", "strategies",
             R"({"features": [{"name": "f", "enabled": true, "strategies": [{"name": "flexibleRollout", "parameters":
{"rollout": "50", "stickiness": "default", "groupId": "g"}, "constraints": [{"contextName": "x", "operator": "REGEX",
"value": "^[0-9]{1,3}(\\.|a*)+$"}, {"contextName": "remoteAddress", "operator": "IN_CIDR", "values": ["10.0.0.0/8", "::1"]},
{"contextName": "currentTime", "operator": "DATE_AFTER", "value": "2022-01-29T13:00:00.000Z"}, {"contextName": "x",
"operator": "SEMVER_GT", "value": "1.2.0", "inverted": true}], "segments": [1], "variants": [{"name": "v", "weight": 5,
"payload": {"type": "string", "value": "p"}, "overrides": [{"contextName": "userId", "values": ["1"]}]}]}]}, {"name": "g",
"enabled": true, "dependencies": [{"feature": "f", "variants": ["v"]}]}], "segments": [{"id": 1, "constraints": []}]})");
  seeds.text(
      "unleash", "events",
      R"({"events": [{"type": "hydration", "features": [], "segments": []}, {"type": "feature-updated", "feature":
{"name": "h", "enabled": true, "strategies": [{"name": "remoteAddress", "parameters": {"IPs": "10.1.0.0/16, ::"}}]}}]})");
  seeds.text(
      "growthbook", "features",
      R"({"attributes": {"id": "1"}, "savedGroups": {"s": [1, "1"]}, "features": {"f": {"defaultValue": 1, "rules": [
{"parentConditions": [{"id": "g", "condition": {"value": {"$ne": 2}}, "gate": true}]}, {"variations": [1, 2], "weights":
[0.5, 0.5], "coverage": 0.9, "hashVersion": 2, "namespace": ["n", 0, 1], "meta": [{"key": "a"}], "condition": {"id":
{"$inGroup": "s"}}}, {"force": 3, "range": [0, 0.5], "filters": [{"seed": "x", "ranges": [[0, 1]]}]}]}, "g":
{"defaultValue": 3}}})");
  seeds.text(
      "growthbook", "condition",
      R"({"$or": [{"id": {"$regex": "^1|2$", "$in": ["1"]}}, {"v": {"$vgt": "1.0.0"}, "tags": {"$elemMatch": {"$eq":
"a"}, "$size": {"$gt": 1}, "$all": ["a"]}}], "$not": {"n": {"$lt": "2", "$exists": true, "$type": "number"}}})");
  seeds.text(
      "flagd", "operators",
      R"({"$evaluators": {"e": {"in": ["x", {"var": "user.name"}]}}, "flags": {"f": {"state": "ENABLED", "variants":
{"a": 1, "b": {}}, "defaultVariant": "a", "targeting": {"if": [{"$ref": "e"}, {"fractional": [{"cat": [{"var":
"$flagd.flagKey"}, {"var": "targetingKey"}]}, ["a", 1], ["b", {"+": [1, 2]}]]}, {"sem_ver": ["1.2", "^", "1"]}]}}, "g":
{"state": "ENABLED", "targeting": {"reduce": [{"var": "n"}, {"max": [{"var": "current"}, {"var": "accumulator"}]}, 0]}}}})");
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fmt::print(stderr, "usage: {} FOLDER\n", argv[0]), 2;
  const fs::path root = argv[1];
  Seeds seeds(root);
  safetensors_seeds(seeds);
  sketch_seeds(seeds);
  trust_seeds(seeds);
  compressed_tensors_seeds(seeds, root / "scratch");
  gguf_seeds(seeds);
  texts_seeds(seeds, root / "scratch");
  catalog_seeds(seeds, root / "scratch");
  rollout_seeds(seeds);
  workflow_json_seeds(seeds);
  fmt::print("{} seeds in {}\n", seeds.count(), root.string());
  return 0;
}
