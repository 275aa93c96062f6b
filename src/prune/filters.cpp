#include "mcomp/prune/filters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "core/try.hpp"
#include "graph/sequences.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::prune {

namespace {

using graph::BatchNorm;
using graph::Convolution;
using graph::Layer;
using graph::Linear;
using graph::Network;
using graph::Shapes;
using graph::SubsamplePad;

constexpr std::array<std::pair<FilterScore, std::string_view>, 3> score_names{
    {{FilterScore::l1, "l1"}, {FilterScore::l2, "l2"}, {FilterScore::batch_norm_scale, "batch_norm_scale"}}};

bool depthwise(const Convolution& c, std::int64_t in_channels) {
  return c.groups == in_channels && c.out_channels == in_channels && c.groups > 1;
}

/// Which channels are one unit: a node for every channel of every value, joined where an operation ties them.
class Coupling {
 public:
  Coupling(const Network& network, const Shapes& shapes) : network_(network), shapes_(shapes) {
    first_.push_back(0); // the network's input
    std::size_t next = add_nodes(network.input.shape[0]);
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      first_.push_back(next);
      next = add_nodes(shapes.output[i][0]);
    }
    for (std::int64_t c = 0; c < network.input.shape[0]; ++c) lock(static_cast<std::size_t>(c));
    for (std::size_t i = 0; i < network.layers.size(); ++i) tie(i);
    const auto out = static_cast<std::size_t>(network.index(network.output));
    for (std::int64_t c = 0; c < shapes.output[out][0]; ++c) lock(node(out, c));
  }

  [[nodiscard]] std::size_t node(std::size_t layer, std::int64_t channel) const {
    return first_[layer + 1] + static_cast<std::size_t>(channel);
  }
  [[nodiscard]] std::size_t root(std::size_t n) const {
    while (parent_[n] != n) n = parent_[n];
    return n;
  }
  [[nodiscard]] bool locked(std::size_t n) const { return locked_[root(n)]; }

 private:
  std::size_t add_nodes(std::int64_t count) {
    for (std::int64_t c = 0; c < count; ++c) {
      parent_.push_back(parent_.size());
      locked_.push_back(false);
    }
    return parent_.size();
  }
  void lock(std::size_t n) { locked_[root(n)] = true; }
  void join(std::size_t a, std::size_t b) {
    a = root(a), b = root(b);
    if (a == b) return;
    if (b < a) std::swap(a, b);
    locked_[a] = locked_[a] || locked_[b];
    parent_[b] = a;
  }
  [[nodiscard]] std::size_t input_node(std::size_t layer, std::size_t which, std::int64_t channel) const {
    const std::ptrdiff_t source = network_.index(network_.layers[layer].inputs[which]);
    return first_[static_cast<std::size_t>(source + 1)] + static_cast<std::size_t>(channel);
  }

  void tie(std::size_t i) {
    const Layer& layer = network_.layers[i];
    const std::int64_t in = shapes_.input[i][0], out = shapes_.output[i][0];
    if (const auto* c = std::get_if<Convolution>(&layer.operation)) {
      if (depthwise(*c, in)) {
        for (std::int64_t k = 0; k < out; ++k) join(node(i, k), input_node(i, 0, k));
      } else if (c->groups > 1) {
        for (std::int64_t k = 0; k < in; ++k) lock(input_node(i, 0, k));
        for (std::int64_t k = 0; k < out; ++k) lock(node(i, k));
      }
    } else if (std::holds_alternative<Linear>(layer.operation)) {
      for (std::int64_t k = 0; k < out; ++k) lock(node(i, k));
    } else if (std::holds_alternative<graph::Flatten>(layer.operation)) {
      const std::int64_t plane = in == 0 ? 1 : out / in;
      for (std::int64_t k = 0; k < out; ++k) join(node(i, k), input_node(i, 0, k / plane));
    } else if (const auto* s = std::get_if<SubsamplePad>(&layer.operation)) {
      for (std::int64_t k = 0; k < in; ++k) join(node(i, k + s->channels_before), input_node(i, 0, k));
    } else {
      for (std::size_t which = 0; which < layer.inputs.size(); ++which)
        for (std::int64_t k = 0; k < out; ++k) join(node(i, k), input_node(i, which, k));
    }
  }

  const Network& network_;
  const Shapes& shapes_;
  std::vector<std::size_t> first_; ///< node of channel 0 of the input, then of each layer
  std::vector<std::size_t> parent_;
  std::vector<bool> locked_;
};

/// Channels that go together, with the filters that produce them.
struct Unit {
  std::vector<std::pair<std::size_t, std::int64_t>> filters; ///< (layer, channel)
  double score = 0;
  bool removed = false;
};

/// The score of each filter of a convolution, relative to the mean of its layer.
Result<std::vector<double>> filter_scores(const Network& network, const TensorStore& weights, std::size_t layer,
                                          FilterScore kind) {
  const auto& c = std::get<Convolution>(network.layers[layer].operation);
  std::vector<double> scores(static_cast<std::size_t>(c.out_channels));
  if (kind == FilterScore::batch_norm_scale) {
    const auto users = network.users(network.layers[layer].name);
    const BatchNorm* bn = users.size() == 1 ? std::get_if<BatchNorm>(&network.layers[users[0]].operation) : nullptr;
    if (!bn)
      return Error(ErrorCode::not_found, fmt::format("layer '{}'", network.layers[layer].name),
                   "no batch normalization of its own follows it, so it has no scale to score by",
                   "score by l1 or l2, or prune before folding");
    MCOMP_TRY(view, weights.find(bn->weight));
    MCOMP_TRY(gamma, to_f32(view, bn->weight));
    for (std::size_t k = 0; k < scores.size(); ++k)
      scores[k] = std::abs(static_cast<double>(gamma.mutable_values<float>()[k]));
  } else {
    MCOMP_TRY(view, weights.find(c.weight));
    MCOMP_TRY(w, to_f32(view, c.weight));
    const auto values = w.mutable_values<float>();
    const std::size_t depth = values.size() / scores.size();
    for (std::size_t k = 0; k < scores.size(); ++k) {
      for (std::size_t i = 0; i < depth; ++i) {
        const auto x = static_cast<double>(values[k * depth + i]);
        scores[k] += kind == FilterScore::l1 ? std::abs(x) : x * x;
      }
      if (kind == FilterScore::l2) scores[k] = std::sqrt(scores[k]);
    }
  }
  const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
  if (mean > 0)
    for (double& score : scores) score /= mean;
  return scores;
}

/// How many of `units` to remove so that the rest is a multiple, at least one, and no more goes than asked for.
std::int64_t removable(std::int64_t units, double fraction, std::int64_t multiple) {
  const auto wanted = static_cast<std::int64_t>(std::floor(fraction * static_cast<double>(units) + 1e-9));
  std::int64_t kept = units - wanted;
  kept = std::min(units, (kept + multiple - 1) / multiple * multiple);
  return units - std::max<std::int64_t>(1, kept);
}

std::vector<Unit*> ascending(std::vector<Unit*> units) {
  std::stable_sort(units.begin(), units.end(), [](const Unit* a, const Unit* b) { return a->score < b->score; });
  return units;
}

Status check_selection(const Network& network, const Shapes& shapes, const FilterSelection& selection) {
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto found = selection.keep.find(network.layers[i].name);
    if (found == selection.keep.end() || static_cast<std::int64_t>(found->second.size()) != shapes.output[i][0] ||
        std::find(found->second.begin(), found->second.end(), true) == found->second.end())
      return Error(ErrorCode::invalid_argument, fmt::format("layer '{}'", network.layers[i].name),
                   "the selection has no decision for each of its channels, or removes all",
                   "select filters for this very network");
  }
  return {};
}

std::vector<std::int64_t> kept_indices(const std::vector<bool>& keep) {
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < keep.size(); ++i)
    if (keep[i]) result.push_back(static_cast<std::int64_t>(i));
  return result;
}

/// The tensor with only some indices of its first two axes; `columns` empty keeps the second axis whole.
Result<Tensor> gather(const TensorView& view, const std::string& name, const std::vector<std::int64_t>& rows,
                      const std::vector<std::int64_t>* columns) {
  MCOMP_TRY(source, to_f32(view, name));
  Shape shape = source.shape();
  const std::int64_t old_columns = shape.rank() > 1 ? shape[1] : 1;
  shape[0] = static_cast<std::int64_t>(rows.size());
  if (columns) shape[1] = static_cast<std::int64_t>(columns->size());
  MCOMP_TRY(target, Tensor::uninitialized(DType::f32, shape));
  const std::int64_t inner = source.elements() / std::max<std::int64_t>(1, source.size(0) * old_columns);
  const float* from = static_cast<const float*>(source.data());
  float* to = static_cast<float*>(target.data());
  for (const std::int64_t row : rows)
    for (std::int64_t k = 0; k < (shape.rank() > 1 ? shape[1] : 1); ++k) {
      const std::int64_t column = columns ? (*columns)[static_cast<std::size_t>(k)] : k;
      to = std::copy_n(from + (row * old_columns + column) * inner, inner, to);
    }
  return std::move(target);
}

} // namespace

std::string to_string(FilterScore score) {
  for (const auto& [value, name] : score_names)
    if (value == score) return std::string(name);
  return "unknown score";
}

Result<FilterScore> filter_score_from_string(std::string_view text) {
  for (const auto& [value, name] : score_names)
    if (name == text) return value;
  return Error(ErrorCode::not_found, fmt::format("filter score '{}'", text), "there is no such score",
               "use one of l1, l2, batch_norm_scale");
}

std::string to_string(const CouplingGroup& group) {
  std::string names;
  for (std::size_t i = 0; i < group.layers.size() && i < 3; ++i)
    names += fmt::format("{}{}", i == 0 ? "" : ", ", group.layers[i]);
  if (group.layers.size() > 3) names += fmt::format(" and {} more", group.layers.size() - 3);
  return fmt::format("{} of {} units removed from {}", group.removed, group.units, names);
}

std::string to_string(const FilterSelection& selection) {
  std::string text = fmt::format("{} of {} filters removed", selection.removed_filters, selection.filters);
  for (const CouplingGroup& group : selection.groups) text += "\n  " + to_string(group);
  return text;
}

Result<FilterSelection> select_filters(const Network& network, const TensorStore& weights,
                                       const FilterPruningOptions& options) {
  if (!(options.fraction >= 0 && options.fraction < 1))
    return Error(ErrorCode::invalid_argument, "fraction", fmt::format("{} is not in [0, 1)", options.fraction),
                 "give the share of filters to remove");
  if (options.channel_multiple < 1)
    return Error(ErrorCode::invalid_argument, "channel_multiple", fmt::format("{}", options.channel_multiple),
                 "give 1 or more");
  MCOMP_CHECK(graph::check_weights(network, weights));
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  MCOMP_CHECK(graph::detail::refuse_sequences(network, shapes, "filter pruning"));
  const Coupling coupling(network, shapes);

  std::map<std::size_t, Unit> units; // by root
  FilterSelection selection;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto* c = std::get_if<Convolution>(&network.layers[i].operation);
    if (!c) continue;
    selection.filters += c->out_channels;
    bool free = false;
    for (std::int64_t k = 0; k < c->out_channels; ++k) free = free || !coupling.locked(coupling.node(i, k));
    if (!free) continue;
    MCOMP_TRY(scores, filter_scores(network, weights, i, options.score));
    for (std::int64_t k = 0; k < c->out_channels; ++k) {
      if (coupling.locked(coupling.node(i, k))) continue;
      Unit& unit = units[coupling.root(coupling.node(i, k))];
      unit.filters.emplace_back(i, k);
      unit.score += scores[static_cast<std::size_t>(k)];
    }
  }
  std::map<std::vector<std::size_t>, std::vector<Unit*>> groups; // units made by the same layers
  std::vector<Unit*> all;
  for (auto& [root, unit] : units) {
    unit.score /= static_cast<double>(unit.filters.size());
    std::vector<std::size_t> layers;
    for (const auto& [layer, channel] : unit.filters) layers.push_back(layer);
    groups[layers].push_back(&unit);
    all.push_back(&unit);
  }
  if (options.scope == PruningScope::uniform) {
    for (auto& [layers, members] : groups) {
      const std::int64_t count =
          removable(static_cast<std::int64_t>(members.size()), options.fraction, options.channel_multiple);
      const auto order = ascending(members);
      for (std::int64_t k = 0; k < count; ++k) order[static_cast<std::size_t>(k)]->removed = true;
    }
  } else {
    const auto count = static_cast<std::size_t>(options.fraction * static_cast<double>(all.size()));
    const auto order = ascending(all);
    for (std::size_t k = 0; k < count; ++k) order[k]->removed = true;
    for (auto& [layers, members] : groups) { // give back what a group must keep
      const auto by_score = ascending(members);
      const auto gone = std::count_if(members.begin(), members.end(), [](const Unit* u) { return u->removed; });
      const auto size = static_cast<std::int64_t>(members.size());
      std::int64_t allowed =
          removable(size, static_cast<double>(gone) / static_cast<double>(size), options.channel_multiple);
      for (Unit* unit : by_score)
        if (unit->removed && allowed-- <= 0) unit->removed = false;
    }
  }
  std::set<std::size_t> removed_roots;
  for (const auto& [root, unit] : units)
    if (unit.removed) {
      removed_roots.insert(root);
      selection.removed_filters += static_cast<std::int64_t>(unit.filters.size());
    }
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    std::vector<bool>& keep = selection.keep[network.layers[i].name];
    for (std::int64_t k = 0; k < shapes.output[i][0]; ++k)
      keep.push_back(!removed_roots.contains(coupling.root(coupling.node(i, k))));
  }
  for (const auto& [layers, members] : groups) {
    CouplingGroup group;
    std::set<std::size_t> unique(layers.begin(), layers.end());
    for (const std::size_t layer : unique) group.layers.push_back(network.layers[layer].name);
    group.units = static_cast<std::int64_t>(members.size());
    group.removed = std::count_if(members.begin(), members.end(), [](const Unit* u) { return u->removed; });
    selection.groups.push_back(std::move(group));
  }
  return selection;
}

Result<PrunedNetwork> remove_filters(const Network& network, const TensorStore& weights,
                                     const FilterSelection& selection) {
  MCOMP_CHECK(graph::check_weights(network, weights));
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  MCOMP_CHECK(graph::detail::refuse_sequences(network, shapes, "filter pruning"));
  MCOMP_CHECK(check_selection(network, shapes, selection));
  PrunedNetwork result{network, weights};
  std::vector<std::int64_t> input_channels;
  for (std::int64_t c = 0; c < network.input.shape[0]; ++c) input_channels.push_back(c);
  for (Layer& layer : result.network.layers) {
    const auto kept = kept_indices(selection.keep.at(layer.name));
    const bool from_input = layer.inputs[0] == graph::network_input;
    const auto in = from_input ? input_channels : kept_indices(selection.keep.at(layer.inputs[0]));
    const auto replace = [&](const std::string& name, const std::vector<std::int64_t>* columns) -> Status {
      if (name.empty()) return {};
      MCOMP_TRY(view, weights.find(name));
      MCOMP_TRY(smaller, gather(view, name, kept, columns));
      result.weights.put(name, std::move(smaller));
      return {};
    };
    if (auto* c = std::get_if<Convolution>(&layer.operation)) {
      const auto old =
          static_cast<std::int64_t>(from_input ? input_channels.size() : selection.keep.at(layer.inputs[0]).size());
      const bool by_channel = depthwise(*c, old);
      MCOMP_CHECK(replace(c->weight, by_channel || c->groups > 1 ? nullptr : &in));
      MCOMP_CHECK(replace(c->bias, nullptr));
      c->out_channels = static_cast<std::int64_t>(kept.size());
      if (by_channel) c->groups = c->out_channels;
    } else if (auto* l = std::get_if<Linear>(&layer.operation)) {
      MCOMP_CHECK(replace(l->weight, &in));
      MCOMP_CHECK(replace(l->bias, nullptr));
      l->out_features = static_cast<std::int64_t>(kept.size());
    } else if (const auto* b = std::get_if<BatchNorm>(&layer.operation)) {
      for (const std::string* name : {&b->weight, &b->bias, &b->running_mean, &b->running_var})
        MCOMP_CHECK(replace(*name, nullptr));
    } else if (auto* s = std::get_if<SubsamplePad>(&layer.operation)) {
      const auto& keep = selection.keep.at(layer.name);
      s->channels_before = std::count(keep.begin(), keep.begin() + s->channels_before, true);
      s->channels_after = std::count(keep.end() - s->channels_after, keep.end(), true);
    }
  }
  MCOMP_CHECK(graph::check_weights(result.network, result.weights));
  return result;
}

Result<TensorStore> mask_filters(const Network& network, const TensorStore& weights, const FilterSelection& selection) {
  MCOMP_CHECK(graph::check_weights(network, weights));
  MCOMP_TRY(shapes, graph::infer_shapes(network));
  MCOMP_CHECK(graph::detail::refuse_sequences(network, shapes, "filter pruning"));
  MCOMP_CHECK(check_selection(network, shapes, selection));
  TensorStore result = weights;
  for (const Layer& layer : network.layers) {
    Network one = network;
    one.layers = {layer};
    const auto& keep = selection.keep.at(layer.name);
    for (const std::string& name : graph::tensor_names(one)) {
      MCOMP_TRY(view, weights.find(name));
      MCOMP_TRY(masked, to_f32(view, name));
      const auto* b = std::get_if<BatchNorm>(&layer.operation);
      if (b && (name == b->running_mean || name == b->running_var)) continue;
      const std::int64_t inner = masked.elements() / static_cast<std::int64_t>(keep.size());
      float* values = static_cast<float*>(masked.data());
      for (std::size_t k = 0; k < keep.size(); ++k)
        if (!keep[k]) std::fill_n(values + static_cast<std::int64_t>(k) * inner, inner, 0.0f);
      result.put(name, std::move(masked));
    }
  }
  return result;
}

} // namespace mcomp::inline v0::prune
