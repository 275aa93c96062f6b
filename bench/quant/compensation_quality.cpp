// What error-compensating quantization gains on the layers of trained networks: the squared output error on samples not
// used for fitting, as a ratio to round-to-nearest with clipped scales, mean over layers.
//
//     bench_compensation_quality DATA_FOLDER
//
// stories260k: every linear layer but the head, groups of 32 (rows of 172 are one group), fitted on all positions of
// `calibration`, measured on the first 66 rows of `evaluation`.
// ResNet-56: every third convolution, per channel, fitted on the patches of images 0 .. 127 of cifar10_calib, measured
// on images 512 .. 575. Baseline: scale = f absmax / (2^(bits - 1) - 1), f the best of 26 in [.5, 1] by squared weight
// error.

#include <filesystem>
#include <functional>

#include "mcomp/core/eigen.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/llama.hpp"
#include "mcomp/graph/patches.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/resnet.hpp"
#include "mcomp/io/safetensors.hpp"
#include "mcomp/quant/adaround.hpp"
#include "mcomp/quant/awq.hpp"
#include "mcomp/quant/bias_correction.hpp"
#include "mcomp/quant/gptq.hpp"
#include "mcomp/quant/hqq.hpp"

namespace {

using namespace mcomp;

/// A layer as algorithms see it.
struct Sample {
  std::string name;
  Tensor weight; ///< [out, in]
  stats::Gram fit, held_out;
};

/// What convolutions and linear layers see while a network runs on a batch.
void collect(graph::Runner& runner, const Tensor& input, const std::vector<std::size_t>& layers,
             stats::Gram Sample::*gram, std::vector<Sample>& samples, const Context& context) {
  const graph::Network& network = runner.network();
  const auto tap = [&](std::string_view name, const TensorView& output) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const graph::Layer& layer = network.layers[layers[i]];
      if (layer.inputs[0] != name) continue;
      Tensor rows;
      if (const auto* c = std::get_if<graph::Convolution>(&layer.operation))
        rows = graph::convolution_patches(*c, output).value();
      else
        rows = Tensor::copy_of(output)
                   .value()
                   .reshaped({output.elements() / output.size(output.rank() - 1), output.size(output.rank() - 1)})
                   .value();
      (samples[i].*gram).update(rows, context).value();
    }
  };
  runner.run(input, tap).value();
}

/// Adds a layer with its weight as a matrix.
void add_layer(const std::string& name, const TensorView& weight, std::vector<Sample>& samples) {
  const std::int64_t out = weight.size(0), in = weight.elements() / out;
  samples.push_back(
      {name, Tensor::copy_of(weight).value().reshaped({out, in}).value(), stats::Gram(in), stats::Gram(in)});
}

std::vector<Sample> decoder_layers(const std::filesystem::path& folder, const std::string& model_name,
                                   const Context& context) {
  const auto model = io::read_safetensors(folder / "language" / (model_name + ".safetensors")).value();
  const auto data = io::read_safetensors(folder / "language/tinystories_tokens.safetensors").value();
  const auto options = graph::llama_options(model.tensors, model.metadata).value();
  const graph::Network network = graph::llama(options).value();
  std::vector<Sample> samples;
  std::vector<std::size_t> layers;
  for (std::size_t i = 0; i < network.layers.size(); ++i)
    if (const auto* l = std::get_if<graph::Linear>(&network.layers[i].operation);
        l && network.layers[i].name != network.output) {
      layers.push_back(i);
      add_layer(network.layers[i].name, model.tensors.find(l->weight).value(), samples);
    }
  const auto runner = graph::reference_runner(network, model.tensors, context.executor).value();
  const auto run = [&](const char* name, std::int64_t rows, stats::Gram Sample::*gram) {
    const Tensor tokens = Tensor::copy_of(data.tensors.find(name).value()).value();
    const std::int64_t length = tokens.size(1);
    constexpr std::int64_t batch = 19; // divides 133
    for (std::int64_t at = 0; at < rows; at += batch) {
      const std::int64_t count = std::min(batch, rows - at);
      Tensor input = Tensor::zeros(DType::int32, {count, length - 1}).value(); // the last token predicts nothing
      const auto from = tokens.values<std::int32_t>(name).value();
      for (std::int64_t r = 0; r < count; ++r)
        std::copy_n(from.begin() + (at + r) * length, length - 1,
                    input.mutable_values<std::int32_t>().begin() + r * (length - 1));
      collect(*runner, input, layers, gram, samples, context);
    }
  };
  run("calibration", 133, &Sample::fit);
  run("evaluation", 66, &Sample::held_out);
  return samples;
}

std::vector<Sample> resnet_layers(const std::filesystem::path& folder, const Context& context) {
  const auto model = io::read_safetensors(folder / "vision/resnet56_cifar10.safetensors").value();
  const auto data = io::read_safetensors(folder / "vision/cifar10_calib.safetensors").value();
  const Tensor images = Tensor::copy_of(data.tensors.find("images").value()).value();
  const graph::Network network = graph::cifar_resnet({.depth = 56}).value();
  std::vector<Sample> samples;
  std::vector<std::size_t> layers;
  std::size_t convolutions = 0;
  for (std::size_t i = 0; i < network.layers.size(); ++i)
    if (const auto* c = std::get_if<graph::Convolution>(&network.layers[i].operation); c && convolutions++ % 3 == 0) {
      layers.push_back(i);
      add_layer(network.layers[i].name, model.tensors.find(c->weight).value(), samples);
    }
  const auto runner = graph::reference_runner(network, model.tensors, context.executor).value();
  const auto run = [&](std::int64_t begin, std::int64_t end, stats::Gram Sample::*gram) {
    constexpr std::int64_t batch = 32;
    for (std::int64_t at = begin; at < end; at += batch)
      collect(*runner, graph::normalize(network.input, images.view().rows(at, at + batch).value()).value(), layers,
              gram, samples, context);
  };
  run(0, 128, &Sample::fit);
  run(512, 576, &Sample::held_out);
  return samples;
}

/// What a method makes of a layer: the weight that the layer then has, and a change of its bias.
struct Outcome {
  Tensor weight;
  Tensor bias{};
};

using Method = std::function<Outcome(const Sample&, const quant::Scheme&)>;

quant::QuantizedTensor clipped(const Sample& s, const quant::Scheme& scheme) {
  return quant::quantize_clipped(s.weight, scheme, {.clip = {.refit = false}}).value().tensor;
}

Outcome outcome(const quant::QuantizedTensor& q) {
  return {quant::dequantize(q).value()};
}

/// Groups where they divide the rows.
quant::Scheme for_layer(quant::Scheme scheme, const Sample& s) {
  if (scheme.group_size != 0 && s.weight.size(1) % scheme.group_size != 0) {
    scheme.granularity = quant::Granularity::per_channel;
    scheme.group_size = 0;
  }
  return scheme;
}

quant::Scheme affine(quant::Scheme scheme) {
  scheme.dtype = integer_dtype(bit_width(scheme.dtype), false);
  scheme.symmetric = scheme.full_range = false;
  return scheme;
}

/// Mean of ||x (W - Q)^T - b||^2 over the held-out samples, in double.
double held_out_error(const Sample& s, const Outcome& q) {
  using Matrix = RowMajorMatrix<double>;
  const Tensor moments = s.held_out.second_moment();
  const Matrix e = as_matrix<float>(s.weight, "w")->cast<double>() - as_matrix<float>(q.weight, "q")->cast<double>();
  double error = (e * *as_matrix<double>(moments, "H")).cwiseProduct(e).sum();
  if (q.bias.elements() != 0) {
    const std::vector<double> mean = s.held_out.mean();
    const Eigen::VectorXd b = as_matrix<float>(q.bias, "b")->cast<double>();
    error += b.squaredNorm() - 2 * b.dot(e * Eigen::Map<const Eigen::VectorXd>(mean.data(), e.cols()));
  }
  return error;
}

Method compensated(quant::GptqOptions options, const Context& context) {
  return [=](const Sample& s, const quant::Scheme& scheme) {
    quant::GptqOptions own = options;
    own.scheme = scheme;
    own.relative_error = false;
    return outcome(quant::gptq(s.weight, s.fit, own, context).value().tensor);
  };
}

/// A table in Markdown: squared output error by that of `baseline`.
/// @param whole_groups rows that groups do not divide have one scale; otherwise the last group of a row may be shorter
void print_table(const std::string& title, const std::vector<Sample>& samples, quant::Scheme scheme, bool whole_groups,
                 const Method& baseline, const std::vector<std::pair<std::string, Method>>& methods) {
  fmt::print("\n### {}\n\n| method | 4 bits | 3 bits |\n| --- | --- | --- |\n", title);
  for (const auto& [name, method] : methods) {
    std::string line = fmt::format("| {} |", name);
    for (const int bits : {4, 3}) {
      scheme.dtype = integer_dtype(bits, true);
      double sum = 0;
      for (const Sample& s : samples) {
        const quant::Scheme own = whole_groups ? for_layer(scheme, s) : scheme;
        sum += held_out_error(s, method(s, own)) / held_out_error(s, baseline(s, own));
      }
      line += fmt::format(" {:.3f} |", sum / static_cast<double>(samples.size()));
    }
    fmt::print("{}\n", line);
  }
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: {} DATA_FOLDER\n", argv[0]);
    return 2;
  }
  ThreadPool pool;
  const Context context{.executor = &pool};
  const quant::ClipOptions grid{.refit = false};
  const std::vector<std::pair<std::string, Method>> methods{
      {"round to nearest, full range",
       [](const Sample& s, const quant::Scheme& scheme) { return outcome(quant::quantize(s.weight, scheme).value()); }},
      {"round to nearest, clipped",
       [](const Sample& s, const quant::Scheme& scheme) { return outcome(clipped(s, scheme)); }},
      {"round to nearest, clipped by second moments",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::quantize_clipped(s.weight, scheme, {.importance = s.fit.diagonal()}).value().tensor);
       }},
      {"bias correction of the clipped",
       [](const Sample& s, const quant::Scheme& scheme) {
         Outcome q = outcome(clipped(s, scheme));
         q.bias = quant::correct_bias(s.weight, q.weight, s.fit).value().bias;
         return q;
       }},
      {"AdaRound, same scales",
       [&](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::adaround(s.weight, s.fit, {.scheme = scheme, .clip = grid}, context).value().tensor);
       }},
      {"affine, full range",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::quantize(s.weight, affine(scheme)).value());
       }},
      {"HQQ, affine",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::hqq(s.weight, {.scheme = affine(scheme)}).value().tensor);
       }},
      {"AWQ",
       [&](const Sample& s, const quant::Scheme& scheme) {
         const auto q = quant::awq({s.weight}, s.fit, {.scheme = scheme}, context).value();
         Outcome result = outcome(q.tensors[0]);
         auto w = result.weight.mutable_values<float>();
         const auto scales = q.scales.values<float>("scales").value();
         for (std::size_t i = 0; i < w.size(); ++i) w[i] /= scales[i % scales.size()];
         return result;
       }},
      {"GPTQ, same scales",
       compensated({.act_order = false, .static_groups = true, .clip = grid, .weighted_clip = false}, context)},
      {"GPTQ, same scales, act-order",
       compensated({.static_groups = true, .clip = grid, .weighted_clip = false}, context)},
      {"GPTQ", compensated({}, context)},
      {"GPTQ, affine",
       [&](const Sample& s, const quant::Scheme& scheme) { return compensated({}, context)(s, affine(scheme)); }},
      {"round to nearest, refined",
       [&](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::refine(s.weight, clipped(s, scheme), s.fit, {.rounds = 16}, context).value().tensor);
       }},
      {"GPTQ, refined", compensated({.refine = {.rounds = 16}}, context)},
      {"GPTQ, refined, affine",
       [&](const Sample& s, const quant::Scheme& scheme) {
         return compensated({.refine = {.rounds = 16}}, context)(s, affine(scheme));
       }},
  };
  const Method nearest_clipped = methods[1].second;
  // Methods that use no data, or only the moments of single inputs, with zero points.
  const Method nearest_affine = [](const Sample& s, const quant::Scheme& scheme) {
    return outcome(quant::quantize(s.weight, affine(scheme)).value());
  };
  const std::vector<std::pair<std::string, Method>> affine_methods{
      {"round to nearest, clipped",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::quantize_clipped(s.weight, affine(scheme)).value().tensor);
       }},
      {"HQQ, kept by the absolute error, one start",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::hqq(s.weight, {.scheme = affine(scheme), .starts = 1, .judge = 1}).value().tensor);
       }},
      {"HQQ",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(quant::hqq(s.weight, {.scheme = affine(scheme)}).value().tensor);
       }},
      {"HQQ, weighted by second moments",
       [](const Sample& s, const quant::Scheme& scheme) {
         return outcome(
             quant::hqq(s.weight, {.scheme = affine(scheme), .importance = s.fit.diagonal()}).value().tensor);
       }},
  };
  const quant::Scheme groups{.granularity = quant::Granularity::per_group, .group_size = 32, .full_range = true};
  const auto linear = decoder_layers(argv[1], "stories260k", context);
  print_table("stories260k, linear layers, groups of 32, by round-to-nearest with clipped scales", linear, groups, true,
              nearest_clipped, methods);
  print_table("stories260k, linear layers, zero points, groups of 32, by round-to-nearest in the full range", linear,
              groups, false, nearest_affine, affine_methods);
  const auto convolutions = resnet_layers(argv[1], context);
  print_table("ResNet-56, every third convolution, per channel, by round-to-nearest with clipped scales", convolutions,
              {.full_range = true}, true, nearest_clipped, methods);
  print_table("ResNet-56, every third convolution, zero points, groups of 32, by round-to-nearest in the full range",
              convolutions, groups, false, nearest_affine, affine_methods);
  return 0;
}
