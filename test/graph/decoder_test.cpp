// Decoder layers against a scalar reference in double, small cases by hand, and what other rooms refuse.

#include "mcomp/graph/llama.hpp"

#include <cmath>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "mcomp/graph/runner.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::graph;
using mcomp_test::replaced;

namespace {

Tensor tensor(std::vector<float> values, Shape shape) {
  return Tensor::from(values, std::move(shape)).value();
}

using Rows = std::vector<std::vector<double>>; // [length][features]

/// The decoder by its definition, one token row at a time, in plain loops.
class ScalarDecoder {
 public:
  ScalarDecoder(const LlamaOptions& options, const TensorStore& weights) : o_(options), weights_(weights) {}

  Rows operator()(const std::vector<std::int32_t>& tokens) const {
    Rows x;
    for (const std::int32_t token : tokens) x.push_back(row("model.embed_tokens.weight", token));
    for (std::int64_t layer = 0; layer < o_.layers; ++layer) {
      const std::string block = fmt::format("model.layers.{}.", layer);
      const Rows in = norm(block + "input_layernorm.weight", x);
      const Rows q = turn(linear(block + "self_attn.q_proj.weight", in), o_.heads);
      const Rows k = turn(linear(block + "self_attn.k_proj.weight", in), o_.kv_heads);
      const Rows v = linear(block + "self_attn.v_proj.weight", in);
      add(x, linear(block + "self_attn.o_proj.weight", attend(q, k, v)));
      const Rows middle = norm(block + "post_attention_layernorm.weight", x);
      Rows gate = linear(block + "mlp.gate_proj.weight", middle);
      const Rows up = linear(block + "mlp.up_proj.weight", middle);
      for (std::size_t p = 0; p < gate.size(); ++p)
        for (std::size_t i = 0; i < gate[p].size(); ++i)
          gate[p][i] = gate[p][i] / (1 + std::exp(-gate[p][i])) * up[p][i];
      add(x, linear(block + "mlp.down_proj.weight", gate));
    }
    return linear(o_.tied ? "model.embed_tokens.weight" : "lm_head.weight", norm("model.norm.weight", x));
  }

 private:
  [[nodiscard]] std::vector<double> row(const std::string& name, std::int64_t index) const {
    const TensorView view = weights_.find(name).value();
    const std::int64_t width = view.shape().sizes().back();
    const auto values = view.values<float>(name).value().subspan(static_cast<std::size_t>(index * width),
                                                                 static_cast<std::size_t>(width));
    return {values.begin(), values.end()};
  }
  [[nodiscard]] Rows linear(const std::string& name, const Rows& x) const {
    Rows y(x.size());
    for (std::int64_t o = 0; o < weights_.find(name).value().size(0); ++o) {
      const auto w = row(name, o);
      for (std::size_t p = 0; p < x.size(); ++p) {
        double sum = 0;
        for (std::size_t i = 0; i < w.size(); ++i) sum += w[i] * x[p][i];
        y[p].push_back(sum);
      }
    }
    return y;
  }
  [[nodiscard]] Rows norm(const std::string& name, const Rows& x) const {
    const auto gamma = row(name, 0);
    Rows y = x;
    for (auto& r : y) {
      double squares = 0;
      for (const double v : r) squares += v * v;
      for (std::size_t i = 0; i < r.size(); ++i)
        r[i] *= gamma[i] / std::sqrt(squares / static_cast<double>(r.size()) + o_.epsilon);
    }
    return y;
  }
  [[nodiscard]] Rows turn(Rows x, std::int64_t heads) const {
    const auto d = static_cast<std::size_t>(o_.head_size);
    for (std::size_t p = 0; p < x.size(); ++p)
      for (std::size_t h = 0; h < static_cast<std::size_t>(heads); ++h)
        for (std::size_t j = 0; j < d / 2; ++j) {
          const bool together = o_.pairing == RotaryPairing::interleaved;
          double& a = x[p][h * d + (together ? 2 * j : j)];
          double& b = x[p][h * d + (together ? 2 * j + 1 : j + d / 2)];
          const double angle = static_cast<double>(p) /
                               std::pow(o_.theta, 2 * static_cast<double>(j) / static_cast<double>(o_.head_size));
          const double turned = a * std::cos(angle) - b * std::sin(angle);
          b = a * std::sin(angle) + b * std::cos(angle);
          a = turned;
        }
    return x;
  }
  [[nodiscard]] Rows attend(const Rows& q, const Rows& k, const Rows& v) const {
    const auto d = static_cast<std::size_t>(o_.head_size);
    Rows y(q.size());
    for (std::size_t p = 0; p < q.size(); ++p)
      for (std::size_t h = 0; h < static_cast<std::size_t>(o_.heads); ++h) {
        const std::size_t shared = h / static_cast<std::size_t>(o_.heads / o_.kv_heads);
        std::vector<double> e;
        double sum = 0;
        for (std::size_t t = 0; t <= p; ++t) {
          double dot = 0;
          for (std::size_t i = 0; i < d; ++i) dot += q[p][h * d + i] * k[t][shared * d + i];
          e.push_back(std::exp(dot / std::sqrt(static_cast<double>(d))));
          sum += e.back();
        }
        for (std::size_t i = 0; i < d; ++i) {
          double mixed = 0;
          for (std::size_t t = 0; t <= p; ++t) mixed += e[t] / sum * v[t][shared * d + i];
          y[p].push_back(mixed);
        }
      }
    return y;
  }
  static void add(Rows& x, const Rows& y) {
    for (std::size_t p = 0; p < x.size(); ++p)
      for (std::size_t i = 0; i < x[p].size(); ++i) x[p][i] += y[p][i];
  }

  LlamaOptions o_;
  const TensorStore& weights_;
};

Tensor random_tokens(Random& random, std::int64_t samples, std::int64_t length, std::int64_t vocabulary) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(samples * length));
  for (auto& id : ids) id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(vocabulary)));
  return Tensor::from(ids, {samples, length}).value();
}

Network one_layer(Operation operation, Shape input, std::size_t inputs = 1) {
  Network network;
  network.name = "one";
  network.input.shape = std::move(input);
  network.layers.push_back({"l", std::move(operation), std::vector<std::string>(inputs, std::string(network_input))});
  network.output = "l";
  return network;
}

const LlamaOptions small{.vocabulary = 11,
                         .features = 12,
                         .hidden = 20,
                         .layers = 2,
                         .heads = 6,
                         .kv_heads = 2,
                         .head_size = 4,
                         .context = 80,
                         .theta = 100};

} // namespace

TEST_CASE("decoders of both pairings, tied or not, equal the scalar definition at every length") {
  Random random(11);
  for (const auto pairing : {RotaryPairing::interleaved, RotaryPairing::half_split})
    for (const bool tied : {false, true}) {
      LlamaOptions options = small;
      options.pairing = pairing;
      options.tied = tied;
      const Network network = llama(options).value();
      const TensorStore weights = mcomp_test::random_weights(network, random);
      const auto runner = reference_runner(network, weights).value();
      for (const std::int64_t length : {1, 2, 7, 67, 80}) { // 64 queries are one block of the attention
        const Tensor tokens = random_tokens(random, 2, length, options.vocabulary);
        const Tensor logits = runner->run(tokens).value();
        REQUIRE(logits.shape() == Shape{2, length, options.vocabulary});
        const auto ids = tokens.values<std::int32_t>("tokens").value();
        const auto y = logits.values<float>("logits").value();
        std::size_t at = 0;
        double largest = 0;
        for (std::int64_t n = 0; n < 2; ++n) {
          const auto* begin = ids.data() + n * length;
          for (const auto& row : ScalarDecoder(options, weights)({begin, begin + length}))
            for (const double expected : row)
              largest = std::max(largest, std::abs(static_cast<double>(y[at++]) - expected));
        }
        CHECK(largest < 2e-4);
      }
    }
}

TEST_CASE("each decoder layer gives what a reader computes by hand") {
  TensorStore weights;
  weights.put("g", tensor({1, 2}, {2}));
  const auto run = [&](Operation operation, Shape input, std::size_t inputs, const Tensor& x) {
    return reference_runner(one_layer(std::move(operation), std::move(input), inputs), weights).value()->run(x).value();
  };
  const Tensor pair = tensor({3, 4}, {1, 2});
  CHECK(run(Multiply{}, {2}, 2, pair) == tensor({9, 16}, {1, 2}));
  // mean(x^2) + epsilon = 12.5 + 12.5
  CHECK(run(RmsNorm{12.5, "g"}, {2}, 1, pair) == tensor({3.0f * 0.2f, 4.0f * 0.2f * 2}, {1, 2}));
  // Position 0 stays; position 1 turns by theta^0 = 1 and theta^(-1/2) = 1/10.
  const double c = std::cos(1), s = std::sin(1), c2 = std::cos(0.1), s2 = std::sin(0.1);
  const Tensor rows = tensor({1, 2, 3, 4, 1, 2, 3, 4}, {1, 2, 4});
  const auto f = [](double x) { return static_cast<float>(x); };
  const Tensor together =
      tensor({1, 2, 3, 4, f(c - 2 * s), f(s + 2 * c), f(3 * c2 - 4 * s2), f(3 * s2 + 4 * c2)}, {1, 2, 4});
  const Tensor halves =
      tensor({1, 2, 3, 4, f(c - 3 * s), f(2 * c2 - 4 * s2), f(s + 3 * c), f(2 * s2 + 4 * c2)}, {1, 2, 4});
  CHECK(mcomp_test::largest_difference(run(RotaryEmbedding{1, 100, RotaryPairing::interleaved}, {2, 4}, 1, rows),
                                       together) < 1e-6);
  CHECK(mcomp_test::largest_difference(run(RotaryEmbedding{1, 100, RotaryPairing::half_split}, {2, 4}, 1, rows),
                                       halves) < 1e-6);
  // One head of one feature, q = k = v = (0, 1): the second row weighs e^0 and e^1.
  const double e = std::exp(1.0);
  CHECK(mcomp_test::largest_difference(run(Attention{1, 1}, {2, 1}, 3, tensor({0, 1}, {1, 2, 1})),
                                       tensor({0, f(e / (1 + e))}, {1, 2, 1})) < 1e-6);
  // A linear layer works on the last axis of rows.
  weights.put("w", tensor({1, 10}, {1, 2}));
  weights.put("b", tensor({100}, {1}));
  CHECK(run(Linear{1, "w", "b"}, {2, 2}, 1, tensor({1, 2, 3, 4}, {1, 2, 2})) == tensor({121, 143}, {1, 2, 1}));
}

TEST_CASE("causality: a later token changes no earlier logit, and a batch nothing of a sample") {
  Random random(2);
  const Network network = llama(small).value();
  const TensorStore weights = mcomp_test::random_weights(network, random);
  ThreadPool pool(2);
  const auto serial = reference_runner(network, weights).value();
  const auto parallel = reference_runner(network, weights, &pool).value();
  const Tensor tokens = random_tokens(random, 3, 70, small.vocabulary);
  const Tensor logits = serial->run(tokens).value();
  CHECK(parallel->run(tokens).value() == logits);
  const Tensor alone = serial->run(tokens.view().rows(1, 2).value()).value();
  CHECK(alone == Tensor::copy_of(logits.view().rows(1, 2).value()).value());
  Tensor changed = tokens;
  auto ids = changed.mutable_values<std::int32_t>();
  ids[50] = (ids[50] + 1) % 11;
  const Tensor after = serial->run(changed).value();
  const auto a = logits.values<float>("a").value(), b = after.values<float>("b").value();
  CHECK(std::equal(a.begin(), a.begin() + 50 * 11, b.begin()));
  CHECK_FALSE(std::equal(a.begin() + 50 * 11, a.begin() + 51 * 11, b.begin() + 50 * 11));
}

TEST_CASE("a tap sees every layer of a decoder, and swapped tensors simulate quantized weights") {
  Random random(3);
  const Network network = llama(small).value();
  TensorStore weights = mcomp_test::random_weights(network, random);
  std::map<std::string, Shape> seen;
  const Tensor tokens = random_tokens(random, 2, 5, small.vocabulary);
  const Tensor before =
      reference_runner(network, weights)
          .value()
          ->run(tokens, [&](std::string_view name, const TensorView& y) { seen[std::string(name)] = y.shape(); })
          .value();
  CHECK(seen.size() == network.layers.size() + 1);
  CHECK(seen["input"] == Shape{2, 5});
  CHECK(seen["model.layers.1.mlp.gated"] == Shape{2, 5, 20});
  CHECK(seen["model.layers.0.self_attn.attention"] == Shape{2, 5, 24});
  weights.put("model.layers.1.mlp.down_proj.weight", Tensor::zeros(DType::f16, {12, 20}).value());
  CHECK(mcomp_test::largest_difference(reference_runner(network, weights).value()->run(tokens).value(), before) > 0.01);
}

TEST_CASE("what a linear layer is about to multiply can be changed, for it alone") {
  Random random(5);
  const Network network = llama(small).value();
  const TensorStore weights = mcomp_test::random_weights(network, random);
  const Tensor tokens = random_tokens(random, 3, 5, small.vocabulary);
  const auto run = [&](const LinearInput& change, Executor* executor = nullptr) {
    return reference_runner(network, weights, {.executor = executor, .before_linear = change})
        .value()
        ->run(tokens)
        .value();
  };
  const Tensor plain = reference_runner(network, weights).value()->run(tokens).value();
  CHECK(run({}) == plain);
  CHECK(run([](const Layer&, std::span<float>, std::int64_t) {}) == plain);
  // Halving what enters the head halves the logits and nothing before it.
  const LinearInput halve = [](const Layer& layer, std::span<float> rows, std::int64_t features) {
    if (layer.name != "lm_head" || features != small.features) return;
    for (float& x : rows) x /= 2;
  };
  ThreadPool pool(2);
  const Tensor halved = run(halve);
  CHECK(run(halve, &pool) == halved);
  const auto a = plain.values<float>("a").value(), b = halved.values<float>("b").value();
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(b[i] == a[i] / 2);
}

TEST_CASE("wrong tokens are errors that name the place") {
  Random random(4);
  const Network network = llama(small).value();
  const auto runner = reference_runner(network, mcomp_test::random_weights(network, random)).value();
  const auto run = [&](const Tensor& x) { return runner->run(x); };
  const auto ids = [](std::vector<std::int32_t> values, Shape shape) {
    return Tensor::from(values, std::move(shape)).value();
  };
  for (const std::int32_t bad : {-1, 11, 1 << 30}) {
    const auto result = run(ids({1, 2, 3, bad}, {2, 2}));
    REQUIRE_FALSE(result);
    CHECK(result.error().code() == ErrorCode::invalid_value);
    CHECK(mcomp_test::well_formed(result.error()));
    CHECK(result.error().rule().find("sample 1, position 1") != std::string::npos);
  }
  CHECK(run(Tensor::zeros(DType::f32, {1, 3}).value()).error().code() == ErrorCode::invalid_dtype);
  CHECK(run(Tensor::zeros(DType::int32, {1, 81}).value()).error().code() == ErrorCode::invalid_shape);
  CHECK(run(Tensor::zeros(DType::int32, {1, 0}).value()).error().code() == ErrorCode::invalid_shape);
  CHECK(run(Tensor::zeros(DType::int32, {3}).value()).error().code() == ErrorCode::invalid_shape);
  CHECK(run(Tensor::zeros(DType::int32, {0, 3}).value()).value().shape() == Shape{0, 3, 11});
  // Raw tokens may be of any integer type.
  const Tensor wide = Tensor::from(std::vector<std::int64_t>{1, 2, 3, 4}, {2, 2}).value();
  CHECK(run_batches(*runner, wide, 1).value() == run(ids({1, 2, 3, 4}, {2, 2})).value());
  const Tensor huge = Tensor::from(std::vector<std::int64_t>{1, std::int64_t{1} << 32}, {1, 2}).value();
  CHECK(normalize(network.input, huge).error().code() == ErrorCode::invalid_value);
  CHECK(normalize(network.input, Tensor::zeros(DType::f32, {1, 2}).value()).error().code() == ErrorCode::invalid_dtype);
  CHECK(normalize(network.input, Tensor::zeros(DType::int32, {1, 81}).value()).error().code() ==
        ErrorCode::invalid_shape);
}

namespace {

const char* const tiny_decoder = R"({"schema": "mcomp-network-1", "name": "tiny",
  "input": {"kind": "tokens", "shape": [16]},
  "layers": [
    {"name": "embed", "op": "embedding", "vocabulary": 7, "features": 8},
    {"name": "norm", "op": "rms_norm"},
    {"name": "q", "op": "linear", "inputs": ["norm"], "out_features": 8},
    {"name": "k", "op": "linear", "inputs": ["norm"], "out_features": 4},
    {"name": "v", "op": "linear", "inputs": ["norm"], "out_features": 4},
    {"name": "turn_q", "op": "rotary_embedding", "inputs": ["q"], "heads": 4, "theta": 500000, "pairing": "half_split"},
    {"name": "turn_k", "op": "rotary_embedding", "inputs": ["k"], "heads": 2, "theta": 500000, "pairing": "half_split"},
    {"name": "attend", "op": "attention", "inputs": ["turn_q", "turn_k", "v"], "heads": 4, "kv_heads": 2},
    {"name": "gate", "op": "multiply", "inputs": ["attend", "norm"]},
    {"name": "head", "op": "linear", "out_features": 7, "weight": "embed.weight"}]})";

} // namespace

TEST_CASE("a decoder has a JSON form, shapes and multiply-adds") {
  const Network network = network_from_json(tiny_decoder, "tiny").value();
  CHECK(network_from_json(to_json(network), "again").value() == network);
  CHECK(network.input.kind == InputKind::tokens);
  CHECK(std::get<RotaryEmbedding>(network.find("turn_q")->operation) ==
        RotaryEmbedding{4, 500000, RotaryPairing::half_split});
  const Shapes shapes = infer_shapes(network).value();
  CHECK(shapes.output[0] == Shape{16, 8});
  CHECK(shapes.output[7] == Shape{16, 8});
  CHECK(shapes.output[9] == Shape{16, 7});
  const auto counts = multiply_adds(network).value();
  CHECK(counts[2] == 16 * 8 * 8);
  CHECK(counts[3] == 16 * 8 * 4);
  CHECK(counts[7] == 2 * 8 * (16 * 17 / 2)); // per head and pair of positions two products of the head's features
  CHECK(counts[9] == 16 * 8 * 7);
  CHECK(tensor_names(network) ==
        std::vector<std::string>{"embed.weight", "norm.weight", "q.weight", "k.weight", "v.weight"});
  CHECK(fmt::format("{}", network).find("rotary_embedding") != std::string::npos);
  const Network other = llama(small).value();
  CHECK(network_from_json(to_json(other), "llama").value() == other);
}

TEST_CASE("wrong decoders are refused with the layer's name") {
  struct Case {
    const char *from, *to, *word;
  };
  for (const Case& c :
       {Case{"\"kind\": \"tokens\"", "\"kind\": \"token\"", "token"},
        Case{"\"kind\": \"tokens\", ", "", "embed"},
        Case{"\"shape\": [16]", "\"shape\": [16], \"mean\": [0.5]", "normalization"},
        Case{"[16]", "[4, 4]", "input"},
        Case{"[16]", "[0]", "input"},
        Case{"[16]", "[99999999]", "input"},
        Case{"\"vocabulary\": 7", "\"vocabulary\": 0", "embed"},
        Case{"\"features\": 8", "\"features\": -8", "embed"},
        Case{"\"op\": \"rms_norm\"", "\"op\": \"rms_norm\", \"inputs\": [\"input\"]", "norm"},
        Case{"\"op\": \"rms_norm\"", "\"op\": \"rms_norm\", \"epsilon\": -1", "norm"},
        Case{"\"op\": \"rms_norm\"", "\"op\": \"batch_norm\"", "norm"},
        Case{"\"op\": \"rms_norm\"", "\"op\": \"flatten\"", "norm"},
        Case{"\"op\": \"rms_norm\"", "\"op\": \"embedding\", \"vocabulary\": 7, \"features\": 8", "norm"},
        Case{"\"heads\": 4, \"theta\"", "\"heads\": 3, \"theta\"", "turn_q"},
        Case{"\"heads\": 4, \"theta\"", "\"heads\": 8, \"theta\"", "turn_q"},
        Case{"\"heads\": 4, \"theta\": 500000", "\"heads\": 4, \"theta\": 0", "turn_q"},
        Case{"half_split", "halfsplit", "halfsplit"},
        Case{"\"heads\": 4, \"kv_heads\": 2", "\"heads\": 4, \"kv_heads\": 0", "attend"},
        Case{"\"heads\": 4, \"kv_heads\": 2", "\"heads\": 2, \"kv_heads\": 4", "attend"},
        Case{"\"heads\": 4, \"kv_heads\": 2", "\"heads\": 8, \"kv_heads\": 2", "attend"},
        Case{"[\"turn_q\", \"turn_k\", \"v\"]", "[\"turn_q\", \"turn_k\"]", "attend"},
        Case{"[\"turn_q\", \"turn_k\", \"v\"]", "[\"turn_q\", \"turn_k\", \"q\"]", "attend"},
        Case{"[\"attend\", \"norm\"]", "[\"attend\", \"k\"]", "gate"}}) {
    const auto network = network_from_json(replaced(tiny_decoder, c.from, c.to), "net.json");
    INFO(c.from << " -> " << c.to);
    REQUIRE_FALSE(network);
    CHECK(mcomp_test::well_formed(network.error()));
    CHECK(std::string(network.error().what()).find(c.word) != std::string::npos);
  }
  Random random(1);
  const Network network = network_from_json(tiny_decoder, "tiny").value();
  TensorStore weights = mcomp_test::random_weights(network, random);
  weights.put("norm.weight", tensor({1, 2}, {2}));
  CHECK(check_weights(network, weights).error().subject() == "tensor 'norm.weight'");
  weights.erase("embed.weight");
  CHECK(check_weights(network, weights).error().code() == ErrorCode::not_found);
}

TEST_CASE("options of a decoder that do not fit together are refused") {
  const auto code = [](LlamaOptions options) { return llama(options).error().code(); };
  for (auto member : {&LlamaOptions::vocabulary, &LlamaOptions::features, &LlamaOptions::hidden, &LlamaOptions::layers,
                      &LlamaOptions::heads, &LlamaOptions::context})
    for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-3}, std::int64_t{1} << 40}) {
      LlamaOptions options = small;
      options.*member = bad;
      CHECK(code(options) == ErrorCode::invalid_argument);
    }
  LlamaOptions options = small;
  options.head_size = 3; // odd: no pairs
  CHECK_FALSE(llama(options));
  options = small;
  options.kv_heads = 4; // does not divide 6
  CHECK(code(options) == ErrorCode::invalid_argument);
  options = small;
  options.head_size = 0;
  options.heads = 5;
  CHECK(code(options) == ErrorCode::invalid_argument);
  options = small;
  options.epsilon = NAN;
  CHECK_FALSE(llama(options));
}
