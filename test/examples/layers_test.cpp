// Every backward pass against central differences of its forward pass. For a forward pass y(x) and random weights r,
// the derivative of the sum of r_i y_i(x) with respect to every input is what backward must give for dy = r.

#include "layers.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "mcomp/core/random.hpp"

using namespace example;

namespace {

using Floats = std::vector<float>;

Floats random_values(std::int64_t size, std::uint64_t seed) {
  mcomp::Random random(seed);
  Floats values(static_cast<std::size_t>(size));
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

Floats zeros(std::int64_t size) {
  return Floats(static_cast<std::size_t>(size));
}

double dot(const Floats& a, const Floats& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// Holds `gradient` against the central differences of `value` in every element of `x`.
void check_gradient(Floats& x, const Floats& gradient, float step, double tolerance,
                    const std::function<double()>& value) {
  REQUIRE(x.size() == gradient.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float kept = x[i];
    x[i] = kept + step;
    const double above = value();
    x[i] = kept - step;
    const double below = value();
    x[i] = kept;
    const double expected = (above - below) / (2 * static_cast<double>(step));
    INFO("element " << i);
    CHECK(static_cast<double>(gradient[i]) == Approx(expected).margin(tolerance).epsilon(tolerance));
  }
}

/// What the layer must compute, as its definition says it.
Floats direct_convolution(const Convolution& c, std::int64_t n, const Floats& x, const Floats& weight) {
  const Planes in = c.input, out = c.output();
  Floats y = zeros(n * out.size());
  std::size_t at = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t o = 0; o < out.channels; ++o)
      for (std::int64_t oy = 0; oy < out.height; ++oy)
        for (std::int64_t ox = 0; ox < out.width; ++ox, ++at)
          for (std::int64_t k = 0; k < in.channels * 9; ++k) {
            const std::int64_t channel = k / 9, iy = oy * c.stride + k % 9 / 3 - 1, ix = ox * c.stride + k % 3 - 1;
            if (iy < 0 || iy >= in.height || ix < 0 || ix >= in.width) continue;
            y[at] += weight[static_cast<std::size_t>(o * in.channels * 9 + k)] *
                     x[static_cast<std::size_t>(((i * in.channels + channel) * in.height + iy) * in.width + ix)];
          }
  return y;
}

} // namespace

TEST_CASE("a convolution is what its definition says, and its gradients are its differences") {
  for (const Convolution& c : {Convolution{{2, 5, 4}, 3, 1}, Convolution{{1, 1, 1}, 2, 1}, Convolution{{2, 6, 5}, 3, 2},
                               Convolution{{3, 4, 7}, 1, 2}}) {
    constexpr std::int64_t n = 2;
    INFO("input " << c.input.height << " x " << c.input.width << ", stride " << c.stride);
    Floats x = random_values(n * c.input.size(), 1), weight = random_values(c.weight_size(), 2);
    const Floats r = random_values(n * c.output().size(), 3);
    Floats y = zeros(n * c.output().size()), columns = zeros(c.columns_size());
    const auto value = [&] {
      c.forward(n, x.data(), weight.data(), y.data(), columns.data());
      return dot(r, y);
    };
    (void)value();
    const Floats expected = direct_convolution(c, n, x, weight);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == Approx(expected[i]).margin(1e-5));

    Floats dx = random_values(n * c.input.size(), 4), dweight = zeros(c.weight_size());
    c.backward(n, x.data(), weight.data(), r.data(), dweight.data(), dx.data(), columns.data());
    check_gradient(x, dx, 0.5F, 1e-4, value); // bilinear: a wide step is exact and drowns the rounding
    check_gradient(weight, dweight, 0.5F, 1e-4, value);

    Floats doubled = dweight;
    c.backward(n, x.data(), weight.data(), r.data(), doubled.data(), nullptr, columns.data());
    for (std::size_t i = 0; i < doubled.size(); ++i) CHECK(doubled[i] == Approx(2 * dweight[i]).margin(1e-5));
  }
}

TEST_CASE("batch normalization leaves mean beta and deviation gamma, and its gradients are its differences") {
  constexpr std::int64_t n = 3;
  const BatchNorm norm{{2, 3, 7}}; // 21 pixels: one full vector of lanes and a rest
  Floats x = random_values(n * norm.planes.size(), 1), gamma{1.5F, -0.5F}, beta{0.25F, 2.0F};
  for (float& value : x) value = 3 * value + 1;
  const Floats r = random_values(n * norm.planes.size(), 2);
  Floats y = zeros(n * norm.planes.size()), mean = zeros(2), variance = zeros(2);
  const auto value = [&] {
    norm.forward(n, x.data(), gamma.data(), beta.data(), mean.data(), variance.data(), y.data());
    return dot(r, y);
  };
  (void)value();
  for (std::size_t c = 0; c < 2; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < 21; ++j) {
        const double v = static_cast<double>(y[(i * 2 + c) * 21 + j]) - static_cast<double>(beta[c]);
        sum += v;
        squares += v * v;
      }
    CHECK(sum / 63 == Approx(0).margin(1e-5));
    CHECK(std::sqrt(squares / 63) == Approx(std::abs(static_cast<double>(gamma[c]))).epsilon(1e-4));
  }

  Floats inferred = x;
  norm.infer(n, x.data(), gamma.data(), beta.data(), mean.data(), variance.data(), inferred.data());
  CHECK(inferred == y);

  Floats dx = zeros(n * norm.planes.size()), dgamma = zeros(2), dbeta = zeros(2);
  norm.backward(n, x.data(), gamma.data(), mean.data(), variance.data(), r.data(), dgamma.data(), dbeta.data(),
                dx.data());
  check_gradient(x, dx, 0.05F, 1e-3, value);
  check_gradient(gamma, dgamma, 0.5F, 1e-4, value);
  check_gradient(beta, dbeta, 0.5F, 1e-4, value);

  Floats in_place = r, ignored = zeros(2);
  norm.backward(n, x.data(), gamma.data(), mean.data(), variance.data(), in_place.data(), ignored.data(),
                ignored.data(), in_place.data());
  CHECK(in_place == dx);
}

TEST_CASE("ReLU passes what is positive, in both directions") {
  Floats x{-1, 0, 2, -0.5F, 3}, d{1, 2, 3, 4, 5};
  relu_forward(5, x.data());
  CHECK(x == Floats{0, 0, 2, 0, 3});
  relu_backward(5, x.data(), d.data());
  CHECK(d == Floats{0, 0, 3, 0, 5});
}

TEST_CASE("a shortcut takes every other pixel and pads channels in front and behind") {
  const Shortcut shortcut{{2, 3, 3}, {4, 2, 2}, 2};
  Floats x(18), y = zeros(16);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
  shortcut.forward_add(1, x.data(), y.data());
  CHECK(y == Floats{0, 0, 0, 0, 1, 3, 7, 9, 10, 12, 16, 18, 0, 0, 0, 0});

  const Shortcut wide{{2, 5, 4}, {6, 3, 2}, 2};
  Floats in = random_values(2 * wide.input.size(), 1);
  const Floats r = random_values(2 * wide.output.size(), 2);
  Floats dx = zeros(2 * wide.input.size());
  wide.backward_add(2, r.data(), dx.data());
  check_gradient(in, dx, 0.5F, 1e-4, [&] {
    Floats out = zeros(2 * wide.output.size());
    wide.forward_add(2, in.data(), out.data());
    return dot(r, out);
  });
}

TEST_CASE("average pooling and its gradient") {
  const Planes planes{2, 3, 2};
  Floats x{1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 12}, y = zeros(2), dx = zeros(12);
  average_pool_forward(1, planes, x.data(), y.data());
  CHECK(y == Floats{3.5F, 2});
  const Floats dy{6, 12};
  average_pool_backward(1, planes, dy.data(), dx.data());
  CHECK(dx == Floats{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2});
}

TEST_CASE("a linear layer by hand, and its gradients are its differences") {
  const Linear by_hand{2, 2};
  const Floats one{1, 2}, matrix{1, 2, 3, 4}, offset{10, 20};
  Floats out = zeros(2);
  by_hand.forward(1, one.data(), matrix.data(), offset.data(), out.data());
  CHECK(out == Floats{15, 31});

  const Linear linear{4, 3};
  constexpr std::int64_t n = 5;
  Floats x = random_values(n * 4, 1), weight = random_values(12, 2), bias = random_values(3, 3), y = zeros(n * 3);
  const Floats r = random_values(n * 3, 4);
  const auto value = [&] {
    linear.forward(n, x.data(), weight.data(), bias.data(), y.data());
    return dot(r, y);
  };
  Floats dx = zeros(n * 4), dweight = zeros(12), dbias = zeros(3);
  linear.backward(n, x.data(), weight.data(), r.data(), dweight.data(), dbias.data(), dx.data());
  check_gradient(x, dx, 0.5F, 1e-4, value);
  check_gradient(weight, dweight, 0.5F, 1e-4, value);
  check_gradient(bias, dbias, 0.5F, 1e-4, value);
}

TEST_CASE(
    "cross-entropy of equal logits is the logarithm of the number of classes, and its gradient is its difference") {
  Floats logits(8, 3.0F), d = zeros(8);
  const std::vector<int> labels{1, 3};
  CHECK(cross_entropy(2, 4, logits.data(), labels.data(), 1, d.data()) == Approx(2 * std::log(4.0)));
  CHECK(d == Floats{0.25F, -0.75F, 0.25F, 0.25F, 0.25F, 0.25F, 0.25F, -0.75F});

  Floats z = random_values(8, 1), gradient = zeros(8);
  (void)cross_entropy(2, 4, z.data(), labels.data(), 2, gradient.data());
  check_gradient(z, gradient, 0.01F, 1e-3, [&] {
    Floats ignored = zeros(8);
    return 2 * cross_entropy(2, 4, z.data(), labels.data(), 1, ignored.data());
  });

  Floats far{1000, -1000, 0, 0}, finite = zeros(4); // no overflow
  CHECK(cross_entropy(1, 4, far.data(), labels.data(), 1, finite.data()) == Approx(2000));
  CHECK(std::all_of(finite.begin(), finite.end(), [](float v) { return std::isfinite(v); }));
}
