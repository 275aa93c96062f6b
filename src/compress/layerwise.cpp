#include "mcomp/compress/layerwise.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "core/closest_name.hpp"
#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/graph/patches.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/quant/compensation.hpp"

namespace mcomp::inline v0::compress {

namespace {

using graph::Convolution;
using graph::Layer;
using graph::Network;

/// What a weight must reproduce: the value behind its layer, and what stands for it as rows of out features.
struct Target {
  std::string value;
  std::optional<stats::CrossMoment> moment{}; ///< of what that value lacks, and the layer's input
};

/// Weights that multiply one value, and see the same Gram matrix.
struct Group {
  std::string value;                      ///< the layer whose output it is, or `network_input`; empty: a table alone
  std::optional<Convolution> convolution; ///< how patches are cut from it; none: rows of features
  std::vector<std::pair<std::string, std::string>> weights; ///< layer and tensor
  bool first = false;                                       ///< before all others, on the original network
};

bool same_patches(const std::optional<Convolution>& a, const std::optional<Convolution>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->kernel == b->kernel && a->stride == b->stride && a->padding == b->padding;
}

Result<std::vector<Group>> find_groups(const Network& network, const LayerwiseOptions& options) {
  std::vector<Group> groups;
  std::set<std::string> tables, wanted(options.tensors.begin(), options.tensors.end());
  std::vector<std::string> known;
  for (const Layer& layer : network.layers)
    if (const auto* embedding = std::get_if<graph::Embedding>(&layer.operation)) tables.insert(embedding->weight);
  std::map<std::string, std::size_t> group_of; // tensor -> group
  for (const Layer& layer : network.layers) {
    const std::string* name = graph::weight_names(layer.operation).weight;
    if (!name) continue;
    known.push_back(*name);
    if (!wanted.empty() && !wanted.contains(*name)) continue;
    Group group{layer.inputs[0], std::nullopt, {{layer.name, *name}}, tables.contains(*name)};
    if (const auto* c = std::get_if<Convolution>(&layer.operation)) {
      if (c->groups != 1)
        return Error(ErrorCode::unsupported, *name,
                     fmt::format("layer '{}' convolves in {} groups", layer.name, c->groups),
                     "leave this weight out of `tensors`");
      group.convolution = *c;
    }
    auto at = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
      return g.value == group.value && g.first == group.first && same_patches(g.convolution, group.convolution);
    });
    const auto index = static_cast<std::size_t>(at - groups.begin());
    if (const auto [seen, inserted] = group_of.emplace(*name, index); !inserted) {
      if (seen->second == index) continue;
      return Error(ErrorCode::unsupported, *name, "several layers with different inputs multiply by it",
                   "leave this weight out of `tensors`");
    }
    if (at == groups.end())
      groups.push_back(std::move(group));
    else
      at->weights.push_back(group.weights[0]);
  }
  for (const Layer& layer : network.layers)
    if (const auto* embedding = std::get_if<graph::Embedding>(&layer.operation)) {
      known.push_back(embedding->weight);
      const bool asked = wanted.empty() || wanted.contains(embedding->weight);
      if (asked && group_of.emplace(embedding->weight, groups.size()).second)
        groups.push_back({"", std::nullopt, {{layer.name, embedding->weight}}, true});
    }
  for (const std::string& name : options.tensors)
    if (!group_of.contains(name))
      return Error(ErrorCode::not_found, fmt::format("tensor '{}'", name),
                   "no layer of the network has it as its weight", mcomp::detail::did_you_mean(name, known));
  std::stable_partition(groups.begin(), groups.end(), [](const Group& g) { return g.first; });
  return groups;
}

/// The value that a layer's target stands for: its output, or the sum that alone takes it.
std::string target_value(const Network& network, const std::string& layer, LayerTarget target) {
  const Layer* user = nullptr;
  int uses = network.output == layer ? 1 : 0;
  for (const Layer& other : network.layers)
    for (const std::string& input : other.inputs)
      if (input == layer) ++uses, user = &other;
  const bool summed = uses == 1 && user && std::holds_alternative<graph::Add>(user->operation);
  return target == LayerTarget::residual_sum && summed ? user->name : layer;
}

/// NCHW [samples, channels, height, width] as rows [samples * height * width, channels], in the order of
/// convolution_patches; anything else as [.., features].
Result<Tensor> feature_rows(const TensorView& value) {
  const std::int64_t features = value.rank() == 4 ? value.size(1) : value.size(value.rank() - 1);
  const std::int64_t rows = value.elements() / std::max<std::int64_t>(1, features);
  if (value.rank() != 4) {
    MCOMP_TRY(copy, Tensor::copy_of(value));
    return std::move(copy).reshaped({rows, features});
  }
  MCOMP_TRY(result, Tensor::uninitialized(DType::f32, {rows, features}));
  const std::int64_t area = value.size(2) * value.size(3);
  const auto* from = static_cast<const float*>(value.data());
  auto* to = static_cast<float*>(result.data());
  for (std::int64_t s = 0; s < value.size(0); ++s)
    for (std::int64_t c = 0; c < features; ++c)
      for (std::int64_t i = 0; i < area; ++i) to[(s * area + i) * features + c] = from[(s * features + c) * area + i];
  return std::move(result);
}

class Walk {
 public:
  Walk(const Network& network, const TensorStore& weights, const SampleSource& samples, const LayerMethod& method,
       const LayerwiseOptions& options, const Context& context)
      : network_(network), original_(weights), samples_(samples), method_(method), options_(options),
        context_(context) {
    result_.weights = weights;
  }

  Result<LayerwiseResult> run() {
    MCOMP_TRY(groups, find_groups(network_, options_));
    for (const Group& group : groups) total_ += static_cast<std::int64_t>(group.weights.size());
    if (samples_.count < 1 || !samples_.read)
      return Error(ErrorCode::insufficient_data, "samples", "there are none to run through the network",
                   "give at least one sample");
    for (const auto& [name, weight] : options_.done) MCOMP_CHECK(replace(name, weight));
    std::vector<std::optional<stats::Gram>> grams(groups.size());
    if (!options_.sequential) MCOMP_CHECK(observe_all(groups, grams));
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const auto& weights = groups[i].weights;
      const auto is_done = [&](const auto& w) { return options_.done.contains(w.second); };
      std::vector<Target> targets;
      if (!std::all_of(weights.begin(), weights.end(), is_done) && !grams[i]) {
        if (options_.target != LayerTarget::own_output && !groups[i].first && !result_.tensors.empty()) {
          MCOMP_TRY(gram, observe_both(groups[i], targets));
          grams[i] = std::move(gram);
        } else {
          MCOMP_TRY(gram, observe(groups[i]));
          grams[i] = std::move(gram);
        }
      }
      for (std::size_t k = 0; k < weights.size(); ++k)
        MCOMP_CHECK(
            solve(weights[k].first, weights[k].second, grams[i], targets.empty() ? nullptr : &*targets[k].moment));
      grams[i].reset();
    }
    return std::move(result_);
  }

 private:
  Status solve(const std::string& layer, const std::string& tensor, const std::optional<stats::Gram>& gram,
               const stats::CrossMoment* difference) {
    MCOMP_CHECK(context_.check("quantizing layers"));
    if (!options_.done.contains(tensor)) {
      MCOMP_TRY(view, result_.weights.find(tensor));
      const Context inner{context_.executor, {}, context_.cancellation};
      Tensor compensated;
      if (difference) {
        auto made = quant::compensate(view, *gram, *difference, options_.target_damping, inner);
        if (!made) return made.error().within(tensor);
        compensated = std::move(*made);
        view = compensated;
      }
      const LayerProblem problem{layer, tensor, view, &*gram};
      auto solution = method_(problem, inner);
      if (!solution) return solution.error().within(tensor);
      if (options_.solved) options_.solved(problem, *solution);
      if (options_.replace) MCOMP_CHECK(replace(tensor, *solution));
    }
    context_.report("quantizing layers", ++solved_, total_);
    return {};
  }

  Status replace(const std::string& tensor, const QuantizedWeight& weight) {
    MCOMP_TRY(before, result_.weights.find(tensor));
    auto values = dequantize(weight);
    if (!values) return values.error().within(tensor);
    if (values->shape() != before.shape())
      return Error(ErrorCode::invalid_shape, tensor,
                   fmt::format("its quantized form has shape {}, not {}", values->shape(), before.shape()),
                   "quantize the weight as it is");
    result_.tensors.insert_or_assign(tensor, weight);
    result_.weights.put(tensor, std::move(*values));
    return {};
  }

  Result<std::unique_ptr<graph::Runner>> runner(Network network) const {
    return runner(std::move(network), result_.weights);
  }
  Result<std::unique_ptr<graph::Runner>> runner(Network network, const TensorStore& weights) const {
    if (options_.make_runner) return options_.make_runner(std::move(network), weights);
    return graph::reference_runner(std::move(network), weights, context_.executor);
  }

  /// Calls `each` with the network's input, batch after batch.
  template <class Each> Status batches(Each&& each) const {
    const std::int64_t count = samples_.count, batch = std::max<std::int64_t>(1, options_.batch);
    for (std::int64_t begin = 0; begin < count; begin += batch) {
      MCOMP_CHECK(context_.check("observing inputs"));
      MCOMP_TRY(raw, samples_.read(begin, std::min(count, begin + batch)));
      MCOMP_TRY(input, graph::normalize(network_.input, raw));
      MCOMP_CHECK(each(input));
    }
    return {};
  }

  /// A value as rows of what the weights of the group multiply.
  static Result<TensorView> input_rows(const Group& group, const TensorView& value, Tensor& patches) {
    if (group.convolution) {
      MCOMP_TRY(cut, graph::convolution_patches(*group.convolution, value));
      patches = std::move(cut);
      return patches.view();
    }
    if (value.rank() == 2) return value;
    const std::int64_t features = value.size(value.rank() - 1);
    return TensorView(value.data(), value.dtype(),
                      Shape{value.elements() / std::max<std::int64_t>(1, features), features});
  }

  /// Adds what one batch shows of a value to its Gram matrix.
  Status add(const Group& group, const TensorView& value, std::optional<stats::Gram>& gram) const {
    Tensor patches;
    MCOMP_TRY(rows, input_rows(group, value, patches));
    if (!gram) gram.emplace(rows.size(1));
    const Status added = gram->update(rows, {context_.executor, {}, context_.cancellation});
    return added ? added : added.error().within(fmt::format("input of '{}'", group.weights[0].first));
  }

  Result<stats::Gram> observe(const Group& group) const {
    std::optional<stats::Gram> gram;
    if (group.value.empty()) {
      MCOMP_CHECK(add_identity(group, gram));
    } else if (group.value == graph::network_input) {
      MCOMP_CHECK(batches([&](const Tensor& input) { return add(group, input, gram); }));
    } else {
      MCOMP_TRY(part, graph::truncated(network_, group.value));
      MCOMP_TRY(prefix, runner(std::move(part)));
      MCOMP_CHECK(batches([&](const Tensor& input) -> Status {
        MCOMP_TRY(value, prefix->run(input));
        return add(group, value, gram);
      }));
    }
    return std::move(*gram);
  }

  /// Runs the network as quantized so far beside the original one: what the group's inputs are now, and what the values
  /// behind its layers lack.
  Result<stats::Gram> observe_both(const Group& group, std::vector<Target>& targets) const {
    std::size_t last = 0; // layer up to which the network runs
    for (const auto& [layer, tensor] : group.weights) {
      targets.push_back({target_value(network_, layer, options_.target)});
      for (std::size_t i = 0; i < network_.layers.size(); ++i)
        if (network_.layers[i].name == targets.back().value) last = std::max(last, i);
    }
    Network part = network_; // the layers until there, whether they lead to one output or not
    part.layers.resize(last + 1);
    part.output = part.layers.back().name;
    MCOMP_TRY(now, runner(part));
    MCOMP_TRY(before, runner(part, original_));
    std::optional<stats::Gram> gram;
    const Context inner{context_.executor, {}, context_.cancellation};
    const auto add_batch = [&](const Tensor& input) -> Status {
      std::map<std::string, Tensor, std::less<>> seen, wanted;
      const auto keep = [&](std::map<std::string, Tensor, std::less<>>& into) {
        return [&](std::string_view layer, const TensorView& output) {
          const bool is_target =
              std::any_of(targets.begin(), targets.end(), [&](const Target& t) { return t.value == layer; });
          if (is_target || (&into == &seen && layer == group.value)) into.emplace(layer, *Tensor::copy_of(output));
        };
      };
      MCOMP_TRY(a, now->run(input, keep(seen)));
      MCOMP_TRY(b, before->run(input, keep(wanted)));
      static_cast<void>(a), static_cast<void>(b);
      if (group.value == graph::network_input) seen.emplace(group.value, input);
      const auto inputs = seen.find(group.value);
      if (inputs == seen.end()) return unseen(group.value);
      Tensor patches;
      MCOMP_TRY(rows, input_rows(group, inputs->second, patches));
      if (!gram) gram.emplace(rows.size(1));
      MCOMP_CHECK(gram->update(rows, inner));
      for (Target& target : targets) {
        const auto from = seen.find(target.value), to = wanted.find(target.value);
        if (from == seen.end() || to == wanted.end()) return unseen(target.value);
        MCOMP_TRY(lack, feature_rows(to->second));
        MCOMP_TRY(have, feature_rows(from->second));
        if (lack.shape() != have.shape())
          return Error(ErrorCode::invalid_shape, fmt::format("value '{}'", target.value),
                       fmt::format("{} in the original network, {} in the quantized one", lack.shape(), have.shape()),
                       "use a runner that gives every value the shape that the network says");
        auto d = lack.mutable_values<float>();
        const auto* h = static_cast<const float*>(have.data());
        for (std::size_t i = 0; i < d.size(); ++i) d[i] -= h[i];
        if (!target.moment) target.moment.emplace(lack.size(1), rows.size(1));
        MCOMP_CHECK(target.moment->update(lack, rows, inner));
      }
      return {};
    };
    MCOMP_CHECK(batches(add_batch));
    return std::move(*gram);
  }

  static Error unseen(const std::string& value) {
    return {ErrorCode::insufficient_data, fmt::format("value '{}'", value),
            "the runner showed no such value to its tap", "use a runner that reports every layer"};
  }

  Status observe_all(const std::vector<Group>& groups, std::vector<std::optional<stats::Gram>>& grams) const {
    MCOMP_TRY(whole, runner(network_));
    for (std::size_t i = 0; i < groups.size(); ++i)
      if (groups[i].value.empty()) MCOMP_CHECK(add_identity(groups[i], grams[i]));
    Status failure;
    const graph::Tap tap = [&](std::string_view layer, const TensorView& output) {
      for (std::size_t i = 0; i < groups.size() && failure; ++i)
        if (groups[i].value == layer) failure = add(groups[i], output, grams[i]);
    };
    MCOMP_CHECK(batches([&](const Tensor& input) -> Status {
      MCOMP_TRY(output, whole->run(input, tap));
      static_cast<void>(output);
      return failure;
    }));
    for (std::size_t i = 0; i < groups.size(); ++i)
      if (!grams[i]) return unseen(groups[i].value);
    return {};
  }

  Status add_identity(const Group& group, std::optional<stats::Gram>& gram) const {
    MCOMP_TRY(table, result_.weights.find(group.weights[0].second));
    const std::int64_t features = table.elements() / std::max<std::int64_t>(1, table.size(0));
    MCOMP_TRY(identity, Tensor::zeros(DType::f32, {features, features}));
    auto values = identity.mutable_values<float>();
    for (std::int64_t i = 0; i < features; ++i) values[static_cast<std::size_t>(i * (features + 1))] = 1;
    gram.emplace(features);
    return gram->update(identity);
  }

  const Network& network_;
  const TensorStore& original_;
  const SampleSource& samples_;
  const LayerMethod& method_;
  const LayerwiseOptions& options_;
  const Context& context_;
  LayerwiseResult result_;
  std::int64_t solved_ = 0, total_ = 0;
};

} // namespace

SampleSource source_of(const TensorView& samples) {
  return {samples.rank() == 0 || samples.elements() == 0 ? 0 : samples.size(0),
          [samples](std::int64_t begin, std::int64_t end) -> Result<Tensor> {
            MCOMP_TRY(rows, samples.rows(begin, end));
            return Tensor::copy_of(rows);
          }};
}

Result<LayerwiseResult> quantize_layers(const Network& network, const TensorStore& weights, const SampleSource& samples,
                                        const LayerMethod& method, const LayerwiseOptions& options,
                                        const Context& context) {
  if (!method)
    return Error(ErrorCode::invalid_argument, "method", "there is none", "pass a function that quantizes one weight");
  if (options.target != LayerTarget::own_output && !options.sequential)
    return Error(ErrorCode::invalid_argument, "target",
                 "only a sequential walk has errors of earlier layers to make up for",
                 "set sequential, or take own_output");
  MCOMP_CHECK(graph::infer_shapes(network));
  MCOMP_CHECK(graph::check_weights(network, weights));
  return Walk(network, weights, samples, method, options, context).run();
}

Result<LayerwiseResult> quantize_layers(const Network& network, const TensorStore& weights, const TensorView& samples,
                                        const LayerMethod& method, const LayerwiseOptions& options,
                                        const Context& context) {
  return quantize_layers(network, weights, source_of(samples), method, options, context);
}

} // namespace mcomp::inline v0::compress
