#include "mcomp/graph/patches.hpp"

#include "data.hpp"
#include "mcomp/core/eigen.hpp"
#include "mcomp/graph/reference_runner.hpp"
#include "random_network.hpp"

using namespace mcomp;
using namespace mcomp::graph;

TEST_CASE("patches times the weights are the convolution") {
  Random random(1);
  Network network{.name = "one", .input = {.shape = {6, 7, 5}}, .layers = {}, .output = "c"};
  for (const std::int64_t groups : {1, 3}) {
    const Convolution c{
        .out_channels = 9, .kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}, .groups = groups, .weight = "w"};
    network.layers = {{"c", c, {std::string(network_input)}}};
    const TensorStore weights = mcomp_test::random_weights(network, random);
    const Tensor x = mcomp_test::normals(random, {2, 6, 7, 5});
    const Tensor y = reference_runner(network, weights).value()->run(x).value();
    const std::int64_t out = 9 / groups, plane = y.size(2) * y.size(3);
    const TensorView weight = weights.find("w").value();
    for (std::int64_t g = 0; g < groups; ++g) {
      const Tensor rows = convolution_patches(c, x, g).value();
      REQUIRE(rows.shape() == Shape{2 * plane, 6 / groups * 6});
      const TensorView part = weight.rows(g * out, (g + 1) * out).value();
      const RowMajorMatrix<float> product =
          *as_matrix<float>(rows, "rows") * as_matrix<float>(part, "weight")->transpose();
      for (std::int64_t i = 0; i < 2 * plane; ++i)
        for (std::int64_t o = 0; o < out; ++o)
          CHECK(product(i, o) ==
                Approx(y.values<float>("y")
                           .value()[static_cast<std::size_t>((i / plane * 9 + g * out + o) * plane + i % plane)])
                    .margin(1e-5));
    }
  }
}

TEST_CASE("patches refuse what is no input of the convolution") {
  const Convolution c{.out_channels = 4, .kernel = {3, 3}, .groups = 2, .weight = "w"};
  const auto code = [](const Result<Tensor>& result) {
    REQUIRE_FALSE(result);
    CHECK(mcomp_test::well_formed(result.error()));
    return result.error().code();
  };
  CHECK(code(convolution_patches(c, Tensor::zeros(DType::f32, {1, 3, 4, 4}).value())) == ErrorCode::invalid_shape);
  CHECK(code(convolution_patches(c, Tensor::zeros(DType::f32, {1, 4, 2, 4}).value())) == ErrorCode::invalid_shape);
  CHECK(code(convolution_patches(c, Tensor::zeros(DType::f32, {1, 4, 4}).value())) == ErrorCode::invalid_shape);
  CHECK(code(convolution_patches(c, Tensor::zeros(DType::f64, {1, 4, 4, 4}).value())) == ErrorCode::invalid_dtype);
  CHECK(code(convolution_patches(c, Tensor::zeros(DType::f32, {1, 4, 4, 4}).value(), 2)) ==
        ErrorCode::invalid_argument);
}
