// Measures how fast layers run on this machine, once, and from then on predicts the latency of networks that were never
// run: in f32 and in int8, before anything is compressed. Both are checked against measurement.

#include <algorithm>
#include <chrono>
#include <cmath>

#include "layer_maker.hpp"
#include "mcomp/compress/layer_shapes.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/cost/latency_model.hpp"
#include "mcomp/kernels/runner.hpp"
#include "mcomp/prune/batch_norm_folding.hpp"
#include "network.hpp"
#include "program.hpp"
#include "progress_line.hpp"

namespace {

using namespace mcomp;
using example::ExitStatus;
using example::Report;
using Json = Report::Json;

struct Options {
  std::filesystem::path profile;
  std::int64_t layers_per_family = 800;
  double minutes = 4;
  std::int64_t check = 50;
  std::vector<std::string> networks{"resnet-cifar:20", "resnet-cifar:56"};
  std::vector<std::int64_t> batches{1, 32};
  int threads = 1;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Weights of the right shapes: how long a layer takes does not depend on their values.
Result<TensorStore> made_up_weights(const graph::Network& network) {
  auto shapes = graph::infer_shapes(network);
  if (!shapes) return shapes.error();
  TensorStore store;
  Random random(1);
  const auto put = [&](const std::string& name, Shape shape, float center, float width) -> Status {
    if (name.empty()) return {};
    auto tensor = Tensor::uninitialized(DType::f32, std::move(shape));
    if (!tensor) return tensor.error();
    for (float& x : tensor->mutable_values<float>()) x = center + width * static_cast<float>(random.uniform() - 0.5);
    store.put(name, std::move(*tensor));
    return {};
  };
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const graph::Operation& operation = network.layers[i].operation;
    const std::int64_t in = shapes->input[i][0];
    std::vector<Status> done;
    if (const auto* c = std::get_if<graph::Convolution>(&operation)) {
      done = {put(c->weight, {c->out_channels, in / c->groups, c->kernel[0], c->kernel[1]}, 0, 0.1f),
              put(c->bias, {c->out_channels}, 0, 0.1f)};
    } else if (const auto* l = std::get_if<graph::Linear>(&operation)) {
      done = {put(l->weight, {l->out_features, in}, 0, 0.1f), put(l->bias, {l->out_features}, 0, 0.1f)};
    } else if (const auto* b = std::get_if<graph::BatchNorm>(&operation)) {
      done = {put(b->weight, {in}, 1, 0.1f), put(b->bias, {in}, 0, 0.1f), put(b->running_mean, {in}, 0, 0.1f),
              put(b->running_var, {in}, 1, 0.1f)};
    }
    for (const Status& status : done)
      if (!status) return status.error();
  }
  return store;
}

/// The network in f32, or with every convolution and linear layer in int8 and every value between them as codes.
Result<quant::Program> lowered(const graph::Network& network, bool integer) {
  auto weights = made_up_weights(network);
  if (!weights) return weights.error();
  auto folded = prune::fold_batch_norm(network, *weights);
  if (!folded) return folded.error();
  quant::NetworkQuantization quantization;
  if (integer) {
    const quant::Parameters codes{DType::uint8, 0.05f, 0, false};
    quantization.activations.emplace(graph::network_input, codes);
    for (const graph::Layer& layer : folded->network.layers) {
      if (layer.name != folded->network.output) quantization.activations.emplace(layer.name, codes);
      const graph::WeightNames names = graph::weight_names(layer.operation);
      if (!names) continue;
      auto weight = folded->weights.find(*names.weight);
      if (!weight) return weight.error();
      auto quantized = quant::quantize(*weight, {});
      if (!quantized) return quantized.error();
      quantization.weights.emplace(layer.name, std::move(*quantized));
    }
  }
  return quant::lower(folded->network, folded->weights, quantization);
}

class Run {
 public:
  Run(const Options& options, Report& report) : options_(options), report_(report) {}

  Result<ExitStatus> operator()() {
    if (const Status ready = kernels::require_execution(); !ready) return ready.error();
    const cost::DeviceIdentity device = example::this_device(options_.threads);
    Context context;
    context.progress = progress_.sink();
    const auto profile = cost::cached_profile(
        options_.profile, device, example::kernel_layers(options_.threads),
        {.layers_per_family = options_.layers_per_family, .seconds_limit = 60 * options_.minutes}, context);
    progress_.clear();
    if (!profile) return profile.error();
    report_.say("profile", options_.profile.string(), fmt::format("{} ({})", *profile, options_.profile.string()));
    report_.keep("profile_fingerprint", profile->fingerprint());
    auto model = cost::LatencyModel::fit(*profile);
    if (!model) return model.error();
    fmt::print("\nEach measured layer, predicted from all others:\n");
    for (const cost::FamilyFit& fit : model->families())
      report_.row("families",
                  {{"kind", to_string(fit.family.kind)},
                   {"weights", to_string(fit.family.weights)},
                   {"layers", fit.layers},
                   {"median_error_fraction", fit.median_error},
                   {"within_a_fifth_fraction", fit.within_a_fifth},
                   {"roofline_median_error_fraction", fit.roofline_error},
                   {"multiply_adds_per_second", std::isfinite(fit.multiply_adds_per_second)
                                                    ? Report::Json(fit.multiply_adds_per_second)
                                                    : Report::Json()}}, // null: bytes alone tell the times
                  to_string(fit));
    if (options_.check > 0)
      if (const Status status = check_layers(*model); !status) return status.error();
    for (const std::string& name : options_.networks)
      if (const Status status = check_network(*model, name); !status) return status.error();
    return ExitStatus::done;
  }

 private:
  /// Layers that the profile has not seen.
  Status check_layers(const cost::LatencyModel& model) {
    constexpr std::uint64_t other_seed = 20'240'607;
    const auto shapes = cost::draw_layers({.layers_per_family = options_.check, .seed = other_seed});
    if (!shapes) return shapes.error();
    const cost::LayerMaker make = example::kernel_layers(options_.threads);
    std::vector<double> errors;
    double near = 0, covered = 0;
    for (const cost::LayerShape& shape : *shapes) {
      const auto predicted = model.predict(shape);
      if (!predicted) return predicted.error();
      const auto call = make(shape);
      if (!call) return call.error();
      double seconds = 0;
      for (int pass = 0; pass < 2; ++pass) {
        const auto time = cost::time_call(*call);
        if (!time) return time.error();
        seconds = pass == 0 ? *time : std::min(seconds, *time);
      }
      errors.push_back(std::abs(predicted->seconds / seconds - 1));
      near += errors.back() <= 0.2 ? 1 : 0;
      covered += predicted->interval.contains(seconds) ? 1 : 0;
      report_.keep("checked_layers", errors.size());
      checked_.push_back({{"layer", to_string(shape)},
                          {"measured_seconds", seconds},
                          {"predicted_seconds", predicted->seconds},
                          {"lower_seconds", predicted->interval.lower},
                          {"upper_seconds", predicted->interval.upper}});
      progress_.show(fmt::format("checking layers {}/{}", errors.size(), shapes->size()));
    }
    progress_.clear();
    const auto n = static_cast<double>(errors.size());
    report_.keep("layers", checked_);
    fmt::print("\n{} random layers that were not measured before:\n", errors.size());
    report_.say("layer_median_error_fraction", median(errors),
                fmt::format("  median error {:.1f}%", 100 * median(errors)));
    report_.say("layer_within_a_fifth_fraction", near / n, fmt::format("  within 20%: {:.1f}%", 100 * near / n));
    report_.say("layer_within_interval_fraction", covered / n,
                fmt::format("  within their 95% interval: {:.1f}%", 100 * covered / n));
    return {};
  }

  Status check_network(const cost::LatencyModel& model, const std::string& name) {
    const auto network = example::read_network(name);
    if (!network) return network.error();
    fmt::print("\n{}\n", name);
    for (const bool integer : {false, true}) {
      auto program = lowered(*network, integer);
      if (!program) return program.error();
      const std::int64_t part = kernels::micro_batch(*program);
      auto runner = kernels::executed_runner(*program, {.threads = options_.threads});
      if (!runner) return runner.error();
      for (const std::int64_t batch : options_.batches) {
        const auto shapes = compress::layer_shapes(*program, std::min(batch, part));
        if (!shapes) return shapes.error();
        const auto predicted = model.predict(*shapes, batch);
        if (!predicted) return predicted.error();
        auto input = Tensor::zeros(DType::f32, graph::with_samples(batch, network->input.shape));
        if (!input) return input.error();
        constexpr double seconds_of_a_network = 0.4;
        const auto seconds = cost::time_call(
            [&]() -> Status {
              auto output = (*runner)->run(*input);
              if (!output) return output.error();
              return {};
            },
            seconds_of_a_network);
        if (!seconds) return seconds.error();
        const double ratio = predicted->seconds / *seconds;
        report_.row(
            "networks",
            {{"network", name},
             {"arithmetic", integer ? "int8" : "f32"},
             {"batch", batch},
             {"measured_seconds", *seconds},
             {"predicted_seconds", predicted->seconds},
             {"lower_seconds", predicted->interval.lower},
             {"upper_seconds", predicted->interval.upper},
             {"error_fraction", ratio - 1},
             {"weight_bytes", predicted->weight_bytes},
             {"activation_bytes", predicted->activation_bytes}},
            fmt::format("  {:<4} batch {:>3}: predicted {:.3f} ms [{:.3f}, {:.3f}], measured {:.3f} ms ({:+.1f}%)",
                        integer ? "int8" : "f32", batch, 1e3 * predicted->seconds, 1e3 * predicted->interval.lower,
                        1e3 * predicted->interval.upper, 1e3 * *seconds, 100 * (ratio - 1)));
      }
    }
    return {};
  }

  const Options& options_;
  Report& report_;
  example::ProgressLine progress_;
  Json checked_ = Json::array();
};

} // namespace

int main(int argc, char** argv) {
  example::Program program("profile_device", "Measures layers on this machine and predicts the latency of networks.",
                           "profile_device");
  Options o;
  auto& app = program.options();
  app.add_option("--profile", o.profile, "Where the profile is kept; default: profile.json in the output folder");
  app.add_option("--layers-per-family", o.layers_per_family, "Layers to measure, of four families")
      ->capture_default_str()
      ->check(CLI::Range(10, 2000));
  app.add_option("--minutes", o.minutes, "Most that measuring may take")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--check", o.check, "Other layers of each family to check the prediction on; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 2000));
  app.add_option("--network", o.networks, "Networks to predict: JSON descriptions, or resnet-cifar:DEPTH")
      ->capture_default_str();
  app.add_option("--batch", o.batches, "Samples a call")->capture_default_str()->check(CLI::Range(1, 65536));
  app.add_option("--threads", o.threads, "Threads of oneDNN")->capture_default_str()->check(CLI::Range(1, 1024));
  return program.run(argc, argv, [&](Report& report) {
    if (o.profile.empty()) o.profile = program.out() / "profile.json";
    return Run(o, report)();
  });
}
