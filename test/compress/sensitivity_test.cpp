#include "mcomp/compress/sensitivity.hpp"

#include <cmath>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/evaluate/language.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/quant/gptq.hpp"

using namespace mcomp;
using namespace mcomp::compress;

namespace {

Tensor random_tensor(Shape shape, std::uint64_t seed, double deviation = 1) {
  Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
  Random random(seed);
  for (float& v : t.mutable_values<float>()) v = static_cast<float>(deviation * random.normal());
  return t;
}

/// input [8] -> a -> relu -> b -> sum with its input -> c
struct Small {
  graph::Network network;
  TensorStore weights;
  Tensor samples = random_tensor({50, 8}, 9);

  Small() {
    network = graph::network_from_json(R"({"schema": "mcomp-network-1", "name": "small",
      "input": {"shape": [8], "scale": 1, "mean": [0], "std": [1]},
      "layers": [{"name": "a", "op": "linear", "inputs": ["input"], "out_features": 12},
                 {"name": "r", "op": "activation", "inputs": ["a"], "kind": "relu"},
                 {"name": "b", "op": "linear", "inputs": ["r"], "out_features": 12},
                 {"name": "s", "op": "add", "inputs": ["a", "b"]},
                 {"name": "c", "op": "linear", "inputs": ["s"], "out_features": 5}], "output": "c"})",
                                       "small")
                  .value();
    weights.put("a.weight", random_tensor({12, 8}, 1, 0.3));
    weights.put("b.weight", random_tensor({12, 12}, 2, 0.3));
    weights.put("c.weight", random_tensor({5, 12}, 3, 0.3));
  }
};

FormatCandidate integers(int bits, std::int64_t group = 0) {
  quant::Scheme scheme{.dtype = integer_dtype(bits, true)};
  if (group > 0) scheme.granularity = quant::Granularity::per_group, scheme.group_size = group;
  return {fmt::format("int{}{}", bits, group > 0 ? fmt::format(":g{}", group) : ""),
          [scheme](const LayerProblem& p, const Context& context) -> Result<QuantizedWeight> {
            auto q = quant::quantize(p.weight, scheme, context);
            if (!q) return q.error();
            return QuantizedWeight(std::move(*q));
          },
          {}};
}

std::vector<double> doubles(const TensorView& view) {
  const Tensor t = to_f32(view, "t").value();
  const auto v = t.values<float>("t").value();
  return {v.begin(), v.end()};
}

/// W - Q of a weight with one candidate.
std::vector<double> error_of(const Small& small, const std::string& tensor, int bits) {
  const auto w = small.weights.find(tensor).value();
  const auto q = doubles(quant::dequantize(quant::quantize(w, {.dtype = integer_dtype(bits, true)}).value()).value());
  auto e = doubles(w);
  for (std::size_t i = 0; i < e.size(); ++i) e[i] -= q[i];
  return e;
}

double squares(const std::vector<double>& e) {
  double sum = 0;
  for (const double x : e) sum += x * x;
  return sum;
}

template <class T> ErrorCode code_of(const Result<T>& result) {
  REQUIRE_FALSE(result);
  CHECK(mcomp_test::well_formed(result.error()));
  return result.error().code();
}

} // namespace

TEST_CASE("every measure of sensitivity is what its definition says") {
  const Small small;
  const std::vector<FormatCandidate> candidates{integers(3), integers(6)};
  SensitivityOptions options;
  for (const char* name : {"a.weight", "b.weight", "c.weight"}) {
    options.curvature[name] = 0.5;
    options.gradients.put(name, random_tensor(small.weights.find(name).value().shape(), 77));
  }
  const auto losses = [&](SensitivityMeasure measure) {
    options.measure = measure;
    const auto table = sensitivity(small.network, small.weights, small.samples, candidates, options).value();
    REQUIRE(table.tensors.size() == 3);
    CHECK(table.tensors[1].tensor == "b.weight");
    CHECK(table.tensors[1].elements == 144);
    CHECK(table.tensors[1].entries[0].bytes == 144 * 3 / 8 + 12 * 4);
    return std::vector<double>{table.tensors[1].entries[0].loss, table.tensors[1].entries[1].loss};
  };
  const auto e = error_of(small, "b.weight", 3);
  CHECK(losses(SensitivityMeasure::weight_error)[0] == Approx(squares(e)).epsilon(1e-5));
  CHECK(losses(SensitivityMeasure::curvature)[0] == Approx(squares(e) / 4).epsilon(1e-5));
  auto weighted = e;
  const auto g = doubles(options.gradients.find("b.weight").value());
  for (std::size_t i = 0; i < g.size(); ++i) weighted[i] *= g[i];
  CHECK(losses(SensitivityMeasure::gradient)[0] == Approx(squares(weighted)).epsilon(1e-5));

  // Output error of b: mean over samples of ||(W - Q) relu(a)||^2.
  auto runner = graph::reference_runner(small.network, small.weights).value();
  double output_error = 0;
  runner
      ->run(small.samples,
            [&](std::string_view layer, const TensorView& value) {
              if (layer != "r") return;
              const auto x = doubles(value);
              for (std::size_t s = 0; s < 50; ++s)
                for (std::size_t o = 0; o < 12; ++o) {
                  double y = 0;
                  for (std::size_t i = 0; i < 12; ++i) y += e[o * 12 + i] * x[s * 12 + i];
                  output_error += y * y / 50;
                }
            })
      .value();
  CHECK(losses(SensitivityMeasure::output_error)[0] == Approx(output_error).epsilon(1e-4));

  // Divergence: the network with one weight replaced, on the first samples.
  options.divergence_samples = 20;
  TensorStore replaced = small.weights;
  replaced.put("b.weight", quant::dequantize(
                               quant::quantize(small.weights.find("b.weight").value(), {.dtype = DType::int3}).value())
                               .value());
  const TensorView first = small.samples.view().rows(0, 20).value();
  evaluate::LogitsDivergence divergence;
  REQUIRE(divergence.update(runner->run(first).value(),
                            graph::reference_runner(small.network, replaced).value()->run(first).value()));
  const auto kl = losses(SensitivityMeasure::output_divergence);
  CHECK(kl[0] == Approx(divergence.report().value().mean_kl).epsilon(1e-6));
  CHECK(kl[1] < 0.1 * kl[0]);

  const auto original = doubles(runner->run(first).value()),
             changed = doubles(graph::reference_runner(small.network, replaced).value()->run(first).value());
  double error = 0, square = 0;
  for (std::size_t i = 0; i < original.size(); ++i) {
    error += (changed[i] - original[i]) * (changed[i] - original[i]);
    square += original[i] * original[i];
  }
  CHECK(losses(SensitivityMeasure::network_error)[0] == Approx(error / square).epsilon(1e-6));

  // One pass for every layer gives the same as one for all; threads change nothing.
  const auto table = sensitivity(small.network, small.weights, small.samples, candidates, options).value();
  options.single_pass = false;
  ThreadPool pool(3);
  CHECK(sensitivity(small.network, small.weights, small.samples, candidates, options, {.executor = &pool}).value() ==
        table);
}

TEST_CASE("an allocation keeps its budget and beats the uniform one of the same size") {
  const Small small;
  std::vector<FormatCandidate> candidates;
  for (int bits = 2; bits <= 8; ++bits) candidates.push_back(integers(bits));
  const auto table = sensitivity(small.network, small.weights, small.samples, candidates).value();
  const auto uniform =
      allocate(table, {.forced = {{"a.weight", "int4"}, {"b.weight", "int4"}, {"c.weight", "int4"}}}).value();
  const auto mixed = allocate(table, {.bits_per_weight = uniform.bits_per_weight}).value();
  CHECK(mixed.bits_per_weight <= uniform.bits_per_weight);
  CHECK(mixed.loss < uniform.loss);
  CHECK(mixed.certificate.optimal);

  // What is predicted is what is stored.
  const auto result = quantize_layers(small.network, small.weights, small.samples, mixed.method(candidates)).value();
  std::int64_t bytes = 0;
  for (const auto& [name, weight] : result.tensors) bytes += stored_bytes(weight);
  CHECK(bytes == mixed.bytes);
  CHECK(mixed.bits_per_weight == Approx(8.0 * static_cast<double>(bytes) / (96 + 144 + 60)));

  const auto tied = allocate(table, {.bits_per_weight = 7, .ties = {{"a.weight", "t"}, {"b.weight", "t"}}}).value();
  CHECK(tied.candidates.at("a.weight") == tied.candidates.at("b.weight"));

  // A second budget: bit operations.
  MixedPrecisionOptions two{.bits_per_weight = 7, .budgets = {{"operations", 1000}}};
  for (const auto& row : table.tensors)
    for (const auto& entry : row.entries)
      two.costs[row.tensor][entry.candidate] = {static_cast<double>(row.elements) *
                                                std::stod(entry.candidate.substr(3))};
  const auto bounded = allocate(table, two).value();
  double operations = 0;
  for (const auto& [tensor, candidate] : bounded.candidates) operations += two.costs[tensor][candidate][0];
  CHECK(operations <= 1000);
}

TEST_CASE("a candidate that a weight does not admit is refused there, and said") {
  const Small small;
  const FormatCandidate wide{"wide only",
                             [](const LayerProblem& p, const Context&) -> Result<QuantizedWeight> {
                               if (p.weight.size(1) != 12)
                                 return Error(ErrorCode::invalid_shape, p.tensor, "rows are not 12 wide",
                                              "use another");
                               return QuantizedWeight(quant::quantize(p.weight, {.dtype = DType::int4}).value());
                             },
                             {}};
  const auto table = sensitivity(small.network, small.weights, small.samples, {integers(8), wide}).value();
  CHECK(table.tensors[0].entries.size() == 1);
  CHECK(table.tensors[0].refused.at("wide only") == "rows are not 12 wide");
  CHECK(table.tensors[1].entries.size() == 2);
  CHECK(to_string(table).find("| a.weight | wide only | rows are not 12 wide | |") != std::string::npos);
  CHECK(code_of(sensitivity(small.network, small.weights, small.samples, {wide}, {.tensors = {"a.weight"}})) ==
        ErrorCode::invalid_shape);
  const FormatCandidate broken{"broken",
                               [](const LayerProblem&, const Context&) -> Result<QuantizedWeight> {
                                 return Error(ErrorCode::io_failure, "disk", "it is full", "make room");
                               },
                               {}};
  CHECK(code_of(sensitivity(small.network, small.weights, small.samples, {integers(8), broken})) ==
        ErrorCode::io_failure);
}

TEST_CASE("what cannot be measured or allocated is an error") {
  const Small small;
  const auto measure = [&](const std::vector<FormatCandidate>& candidates, const SensitivityOptions& options = {}) {
    return code_of(sensitivity(small.network, small.weights, small.samples, candidates, options));
  };
  CHECK(measure({}) == ErrorCode::invalid_argument);
  CHECK(measure({integers(4), integers(4)}) == ErrorCode::invalid_argument);
  CHECK(measure({{"none", {}, {}}}) == ErrorCode::invalid_argument);
  CHECK(measure({integers(4)}, {.divergence_samples = 0}) == ErrorCode::invalid_argument);
  CHECK(measure({integers(4)}, {.tensors = {"z.weight"}}) == ErrorCode::not_found);
  CHECK(measure({integers(4)}, {.measure = SensitivityMeasure::curvature}) == ErrorCode::invalid_argument);
  CHECK(measure({integers(4)}, {.measure = SensitivityMeasure::gradient}) == ErrorCode::invalid_argument);
  CHECK(measure({integers(4)}, {.tensors = {"a.weight"},
                                .measure = SensitivityMeasure::curvature,
                                .curvature = {{"a.weight", NAN}}}) == ErrorCode::invalid_value);
  const auto table = sensitivity(small.network, small.weights, small.samples, {integers(4), integers(8)}).value();
  const auto refuse = [&](const MixedPrecisionOptions& options) { return code_of(allocate(table, options)); };
  CHECK(refuse({.bits_per_weight = 1}) == ErrorCode::invalid_argument);
  CHECK(refuse({.bits_per_weight = NAN}) == ErrorCode::invalid_argument);
  CHECK(refuse({.forced = {{"a.weight", "int5"}}}) == ErrorCode::not_found);
  CHECK(refuse({.forced = {{"z.weight", "int4"}}}) == ErrorCode::not_found);
  CHECK(refuse({.ties = {{"z.weight", "t"}}}) == ErrorCode::not_found);
  CHECK(refuse({.budgets = {{"latency", 1}}}) == ErrorCode::invalid_argument);
  const auto mixed = allocate(table, {.bits_per_weight = 9}).value();
  CHECK(code_of(quantize_layers(small.network, small.weights, small.samples, mixed.method({integers(4)}))) ==
        ErrorCode::not_found);
  for (const auto measure_name :
       {"weight_error", "output_error", "curvature", "gradient", "output_divergence", "network_error"})
    CHECK(to_string(sensitivity_measure_from_string(measure_name).value()) == measure_name);
  CHECK(code_of(sensitivity_measure_from_string("output_eror")) == ErrorCode::not_found);
}

TEST_CASE("layers that reproduce the original output make up for the layers before them") {
  const Small small;
  const LayerMethod coarse = integers(3).quantize;
  const auto lost = [&](LayerTarget target) {
    const auto result =
        quantize_layers(small.network, small.weights, small.samples, coarse, {.target = target, .target_damping = 1e-4})
            .value();
    const auto a = doubles(graph::reference_runner(small.network, small.weights).value()->run(small.samples).value()),
               b = doubles(graph::reference_runner(small.network, result.weights).value()->run(small.samples).value());
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
  };
  const double own = lost(LayerTarget::own_output), original = lost(LayerTarget::original_output),
               residual = lost(LayerTarget::residual_sum);
  CHECK(original < own);
  CHECK(residual < own);

  // With a method that loses nothing, no target changes anything.
  const LayerMethod exact = [](const LayerProblem& p, const Context&) -> Result<QuantizedWeight> {
    return QuantizedWeight(quant::quantize(p.weight, {.dtype = DType::int8}).value());
  };
  std::vector<std::string> changed;
  const auto shown = [&](const LayerProblem& p, const Context& context) {
    if (p.tensor == "a.weight") return exact(p, context); // the first layer has nothing to make up for
    const auto before = doubles(small.weights.find(p.tensor).value()), now = doubles(p.weight);
    double most = 0;
    for (std::size_t i = 0; i < now.size(); ++i) most = std::max(most, std::abs(now[i] - before[i]));
    CHECK(most < 0.05);
    CHECK(most > 0);
    changed.push_back(p.tensor);
    return exact(p, context);
  };
  quantize_layers(small.network, small.weights, small.samples, shown, {.target = LayerTarget::original_output}).value();
  CHECK(changed == std::vector<std::string>{"b.weight", "c.weight"});
  CHECK(code_of(quantize_layers(small.network, small.weights, small.samples, exact,
                                {.sequential = false, .target = LayerTarget::residual_sum})) ==
        ErrorCode::invalid_argument);
  // Shown only, weights stay.
  const auto untouched =
      quantize_layers(small.network, small.weights, small.samples, coarse, {.replace = false}).value();
  CHECK(untouched.weights == small.weights);
  CHECK(untouched.tensors.empty());
}
