#include "mcomp/graph/reference_runner.hpp"

#include <cmath>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/graph/resnet.hpp"

using namespace mcomp;
using namespace mcomp::graph;

namespace {

Tensor tensor(std::vector<float> values, Shape shape) {
  return Tensor::from(values, std::move(shape)).value();
}

Network one_layer(Operation operation, Shape input) {
  Network network;
  network.name = "one";
  network.input.shape = std::move(input);
  network.layers.push_back({"l", std::move(operation), {std::string(network_input)}});
  network.output = "l";
  return network;
}

Tensor random_tensor(Random& random, Shape shape) {
  Tensor t = Tensor::zeros(DType::f32, std::move(shape)).value();
  for (float& x : t.mutable_values<float>()) x = static_cast<float>(random.normal());
  return t;
}

void check_close(const Tensor& a, const Tensor& b, double tolerance) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.values<float>("a").value(), y = b.values<float>("b").value();
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::abs(x[i] - y[i]) > tolerance) FAIL("element " << i << ": " << x[i] << " against " << y[i]);
  }
}

/// The definition, in four times two loops.
Tensor naive_convolution(const Convolution& c, const Tensor& x, const Tensor& w, const Tensor& b) {
  const Shape out = infer_shapes(one_layer(c, {x.size(1), x.size(2), x.size(3)})).value().output[0];
  Tensor y = Tensor::zeros(DType::f32, {x.size(0), out[0], out[1], out[2]}).value();
  const auto xs = x.values<float>("x").value(), ws = w.values<float>("w").value(), bs = b.values<float>("b").value();
  auto ys = y.mutable_values<float>();
  const std::int64_t icg = x.size(1) / c.groups, ocg = c.out_channels / c.groups;
  for (std::int64_t n = 0; n < x.size(0); ++n)
    for (std::int64_t o = 0; o < out[0]; ++o)
      for (std::int64_t oy = 0; oy < out[1]; ++oy)
        for (std::int64_t ox = 0; ox < out[2]; ++ox) {
          double sum = bs[static_cast<std::size_t>(o)];
          for (std::int64_t i = 0; i < icg; ++i)
            for (std::int64_t ky = 0; ky < c.kernel[0]; ++ky)
              for (std::int64_t kx = 0; kx < c.kernel[1]; ++kx) {
                const std::int64_t yy = oy * c.stride[0] + ky - c.padding[0], xx = ox * c.stride[1] + kx - c.padding[1];
                if (yy < 0 || yy >= x.size(2) || xx < 0 || xx >= x.size(3)) continue;
                const std::int64_t channel = o / ocg * icg + i;
                sum +=
                    static_cast<double>(
                        xs[static_cast<std::size_t>(((n * x.size(1) + channel) * x.size(2) + yy) * x.size(3) + xx)]) *
                    static_cast<double>(
                        ws[static_cast<std::size_t>(((o * icg + i) * c.kernel[0] + ky) * c.kernel[1] + kx)]);
              }
          ys[static_cast<std::size_t>(((n * out[0] + o) * out[1] + oy) * out[2] + ox)] = static_cast<float>(sum);
        }
  return y;
}

} // namespace

TEST_CASE("the reference convolution equals its definition for strides, padding, groups and odd sizes") {
  Random random(1);
  for (const Convolution& c :
       {Convolution{4, {3, 3}, {1, 1}, {1, 1}, 1, "w", "b"}, Convolution{6, {1, 1}, {2, 2}, {0, 0}, 2, "w", "b"},
        Convolution{4, {5, 2}, {2, 3}, {2, 1}, 4, "w", "b"}, Convolution{3, {7, 7}, {1, 1}, {3, 3}, 1, "w", "b"}}) {
    const Tensor x = random_tensor(random, {2, 4, 7, 9});
    TensorStore weights;
    const Tensor w = random_tensor(random, {c.out_channels, 4 / c.groups, c.kernel[0], c.kernel[1]});
    const Tensor b = random_tensor(random, {c.out_channels});
    weights.put("w", w);
    weights.put("b", b);
    auto runner = reference_runner(one_layer(c, {4, 7, 9}), weights).value();
    check_close(runner->run(x).value(), naive_convolution(c, x, w, b), 1e-4);
  }
}

TEST_CASE("the other operations give what a reader computes by hand") {
  TensorStore weights;
  weights.put("w", tensor({1, 2, 3, 4}, {2, 2}));
  weights.put("b", tensor({10, 20}, {2}));
  const auto run = [&](Operation operation, Shape input, const Tensor& x) {
    return reference_runner(one_layer(std::move(operation), std::move(input)), weights).value()->run(x).value();
  };
  CHECK(run(Linear{2, "w", "b"}, {2}, tensor({1, 1, 0, 2}, {2, 2})) == tensor({13, 27, 14, 28}, {2, 2}));
  CHECK(run(Activation{}, {3}, tensor({-1, 0, 2}, {1, 3})) == tensor({0, 0, 2}, {1, 3}));
  CHECK(run(Activation{ActivationKind::relu6}, {3}, tensor({-1, 7, 2}, {1, 3})) == tensor({0, 6, 2}, {1, 3}));
  const Tensor image = tensor({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3});
  CHECK(run(Pooling{PoolingKind::max, false, {2, 2}, {1, 1}, {0, 0}}, {1, 3, 3}, image) ==
        tensor({5, 6, 8, 9}, {1, 1, 2, 2}));
  CHECK(run(Pooling{PoolingKind::average, false, {3, 3}, {2, 2}, {1, 1}}, {1, 3, 3}, image) ==
        tensor({12 / 9.f, 16 / 9.f, 24 / 9.f, 28 / 9.f}, {1, 1, 2, 2}));
  CHECK(run(Pooling{PoolingKind::average, true, {}, {}, {}}, {1, 3, 3}, image) == tensor({5}, {1, 1, 1, 1}));
  CHECK(run(SubsamplePad{{2, 2}, 1, 0}, {1, 3, 3}, image) == tensor({0, 0, 0, 0, 1, 3, 7, 9}, {1, 2, 2, 2}));
  CHECK(run(Flatten{}, {1, 3, 3}, image).shape() == Shape{1, 9});
  const Tensor p = run(Softmax{}, {2}, tensor({0, std::log(3.0f)}, {1, 2}));
  check_close(p, tensor({0.25f, 0.75f}, {1, 2}), 1e-6);
  TensorStore bn;
  bn.put("g", tensor({2}, {1}));
  bn.put("b", tensor({1}, {1}));
  bn.put("m", tensor({3}, {1}));
  bn.put("v", tensor({4}, {1}));
  auto runner = reference_runner(one_layer(BatchNorm{0, "g", "b", "m", "v"}, {1, 1, 2}), bn).value();
  CHECK(runner->run(tensor({3, 7}, {1, 1, 1, 2})).value() == tensor({1, 5}, {1, 1, 1, 2}));
}

TEST_CASE("a tap sees every layer, and no executor changes a bit") {
  const Network network = cifar_resnet({.depth = 8, .image = {3, 8, 8}}).value();
  TensorStore weights;
  Random random(3);
  const Shapes shapes = infer_shapes(network).value();
  for (const Layer& layer : network.layers) {
    const auto i = static_cast<std::size_t>(network.index(layer.name));
    const std::int64_t in = shapes.input[i][0];
    if (const auto* c = std::get_if<Convolution>(&layer.operation))
      weights.put(c->weight, random_tensor(random, {c->out_channels, in, 3, 3}));
    if (const auto* b = std::get_if<BatchNorm>(&layer.operation)) {
      for (const auto& name : {b->weight, b->bias, b->running_mean}) weights.put(name, random_tensor(random, {in}));
      weights.put(b->running_var, tensor(std::vector<float>(static_cast<std::size_t>(in), 1.0f), {in}));
    }
    if (const auto* l = std::get_if<Linear>(&layer.operation)) {
      weights.put(l->weight, random_tensor(random, {l->out_features, in}));
      weights.put(l->bias, random_tensor(random, {l->out_features}));
    }
  }
  const Tensor x = random_tensor(random, {3, 3, 8, 8});
  std::map<std::string, Shape> seen;
  auto serial = reference_runner(network, weights).value();
  const Tensor a =
      serial->run(x, [&](std::string_view name, const TensorView& y) { seen[std::string(name)] = y.shape(); }).value();
  CHECK(seen.size() == network.layers.size() + 1);
  CHECK(seen["layer3.0.relu2"] == Shape{3, 64, 2, 2});
  ThreadPool pool(2);
  CHECK(reference_runner(network, weights, &pool).value()->run(x).value() == a);
  // Wrong input and weights are errors.
  CHECK_FALSE(serial->run(random_tensor(random, {3, 3, 8, 7})));
  CHECK_FALSE(serial->run(Tensor::zeros(DType::f64, {1, 3, 8, 8}).value()));
  TensorStore wrong = weights;
  wrong.put("linear.weight", random_tensor(random, {10, 63}));
  CHECK(reference_runner(network, wrong).error().subject() == "tensor 'linear.weight'");
  wrong = weights;
  wrong.put("linear.bias", tensor(std::vector<float>(10, NAN), {10}));
  CHECK(reference_runner(network, wrong).error().code() == ErrorCode::invalid_value);
  wrong = weights;
  wrong.put("linear.bias", Tensor::zeros(DType::int32, {10}).value());
  CHECK(reference_runner(network, wrong).error().code() == ErrorCode::invalid_dtype);
  wrong = weights;
  wrong.erase("bn1.bias");
  CHECK(reference_runner(network, wrong).error().code() == ErrorCode::not_found);
  wrong = weights;
  wrong.put("bn1.running_var", tensor(std::vector<float>(16, -1.0f), {16}));
  CHECK(reference_runner(network, wrong).error().code() == ErrorCode::invalid_value);
}

TEST_CASE("weights of half precision run as their f32 values") {
  TensorStore weights;
  Tensor w = Tensor::zeros(DType::f16, {1, 2}).value();
  w.mutable_values<half>()[0] = to_half(0.1f);
  w.mutable_values<half>()[1] = to_half(2.0f);
  weights.put("w", w);
  const Tensor y =
      reference_runner(one_layer(Linear{1, "w", ""}, {2}), weights).value()->run(tensor({1, 1}, {1, 2})).value();
  CHECK(y.values<float>("y").value()[0] == to_float(to_half(0.1f)) + 2.0f);
}

TEST_CASE("the predicted class is the first of the largest, and NaN never wins") {
  CHECK(predicted_classes(tensor({1, 3, 3, NAN, 0, -1}, {2, 3})).value() == std::vector<std::int32_t>{1, 1});
  CHECK_FALSE(predicted_classes(tensor({1, 2}, {2})));
}
