// Calibration of real networks: recorded outputs with published results.

#include <cmath>
#include <string>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/calibrate/temperature.hpp"
#include "mcomp/io/safetensors.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

TensorView rows(const TensorView& tensor, std::int64_t begin, std::int64_t end) {
  return tensor.rows(begin, end).value();
}

} // namespace

TEST_CASE("ResNet-110 on CIFAR-10 has its published temperature, ECE and NLL from any start") {
  // Logits and results of Kull et al. 2019 (github.com/markus93/NN_calibration).
  const auto path = mcomp_test::data("calibration/resnet110-cifar-10-logits.safetensors");
  if (!path) return;
  const TensorStore tensors = io::read_safetensors(*path).value().tensors;
  const TensorView fit_logits = tensors.find("val_logits").value();
  const TensorView fit_labels = tensors.find("val_labels").value();
  const TensorView logits = tensors.find("test_logits").value();
  const TensorView labels = tensors.find("test_labels").value();

  const auto before = measure_logits(logits, labels).value();
  CHECK(before.accuracy == Approx(.9356).epsilon(1e-12));
  CHECK(before.ece == Approx(.047503).margin(1e-5));
  CHECK(before.nll == Approx(.358274).margin(1e-5));
  double first = 0;
  for (const double start : {0.05, 1.0, 50.0}) {
    const auto scaling = fit_temperature(fit_logits, fit_labels, {.initial_temperature = start}).value();
    CHECK(scaling.interior());
    CHECK(scaling.temperature == Approx(2.39501).margin(1e-5));
    CHECK(scaling.iterations <= 12);
    if (first == 0) first = scaling.temperature;
    CHECK(scaling.temperature == Approx(first).epsilon(1e-11));
    const auto after = measure_logits(logits, labels, scaling.temperature).value();
    CHECK(after.ece == Approx(.011321).margin(1e-5));
    CHECK(after.nll == Approx(.209261).margin(1e-5));
    CHECK(after.accuracy == before.accuracy);
  }
}

TEST_CASE("recorded softmax outputs have the accuracy, scores and errors of their table") {
  // Outputs recorded by netcal (github.com/EFS-OpenSource/calibration-framework), metrics with 15 equal-width bins;
  // temperature fitted on rows 0-4999, NLL and ECE on rows 5000-9999.
  const struct {
    const char* name;
    double accuracy, nll, brier, ece, mce;
    double temperature, fit_nll, test_before, test_after, ece_before, ece_after;
  } nets[] = {{"lenet-5-cifar-10", .5308, 1.36986773, .61415207, .1078878818, .1858213856, 1.373583823, 1.29726405,
               1.39048026, 1.32599771, .11926353, .02243106},
              {"wideresnet-16-4-cifar-10", .9109, .37816959, .14387109, .0537162902, .2623892420, 2.059224217,
               .27855672, .37370874, .27042202, .05517313, .00691790},
              {"densenet-bc-100-cifar-100", .7541, 1.22562692, .38450420, .1421528157, .3131615006, 2.120898892,
               .88667888, 1.21158826, .86655200, .14472723, .01373784}};
  for (const auto& net : nets) {
    const auto path = mcomp_test::data("calibration/" + std::string(net.name) + ".safetensors");
    if (!path) return;
    INFO(net.name);
    const TensorStore tensors = io::read_safetensors(*path).value().tensors;
    const TensorView recorded = tensors.find("probabilities").value();
    const TensorView labels = tensors.find("labels").value();

    const auto all = measure_probabilities(recorded, labels).value();
    CHECK(all.accuracy == Approx(net.accuracy).epsilon(1e-12));
    CHECK(all.nll == Approx(net.nll).margin(1e-8));
    CHECK(all.brier == Approx(net.brier).margin(1e-8));
    CHECK(all.ece == Approx(net.ece).margin(1e-9));
    CHECK(all.mce == Approx(net.mce).margin(1e-9));

    Tensor logits = Tensor::zeros(DType::f64, recorded.shape()).value();
    const auto p = recorded.values<float>("probabilities").value();
    for (std::size_t i = 0; i < p.size(); ++i) logits.mutable_values<double>()[i] = std::log(static_cast<double>(p[i]));
    const auto scaling = fit_temperature(rows(logits, 0, 5000), rows(labels, 0, 5000)).value();
    CHECK(scaling.temperature == Approx(net.temperature).margin(1e-8));
    CHECK(scaling.nll_after == Approx(net.fit_nll).margin(1e-8));
    const TensorView test = rows(logits, 5000, 10000), test_labels = rows(labels, 5000, 10000);
    const auto before = measure_logits(test, test_labels).value();
    const auto after = measure_logits(test, test_labels, scaling.temperature).value();
    CHECK(before.nll == Approx(net.test_before).margin(1e-8));
    CHECK(after.nll == Approx(net.test_after).margin(1e-8));
    CHECK(before.ece == Approx(net.ece_before).margin(1e-8));
    CHECK(after.ece == Approx(net.ece_after).margin(1e-8));
  }
}
