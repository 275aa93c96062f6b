// Optima and errors of recorded networks, to the digits of their table; values of other projects.

#include <cmath>
#include <limits>
#include <string>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/calibrator.hpp"
#include "mcomp/calibrate/metrics.hpp"
#include "mcomp/io/safetensors.hpp"

using namespace mcomp;
using namespace mcomp::calibrate;

namespace {

struct LogRows {
  Tensor logits;
  TensorView labels;
};

/// Log of recorded probabilities as they are, and labels, of rows [begin, end).
LogRows log_rows(const TensorStore& tensors, std::int64_t begin, std::int64_t end) {
  const TensorView recorded = tensors.find("probabilities").value().rows(begin, end).value();
  const auto p = recorded.values<float>("probabilities").value();
  std::vector<double> z(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) z[i] = std::log(static_cast<double>(p[i]));
  return {Tensor::from(z, recorded.shape()).value(), tensors.find("labels").value().rows(begin, end).value()};
}

double nll(const Calibrator& calibrator, const LogRows& rows) {
  return measure_probabilities(calibrator.probabilities(rows.logits).value(), rows.labels).value().nll;
}

} // namespace

TEST_CASE("vector scaling and Dirichlet calibration reach their published optima, isotonic regression its blocks") {
  // Recorded by netcal; fitted on rows 0-4999, tested on rows 5000-9999.
  const struct {
    const char* name;
    double vector_fit, vector_test, dirichlet_fit, dirichlet_test, isotonic_mse, isotonic_ece;
    int blocks;
  } nets[] = {{"lenet-5-cifar-10", 1.288895055, 1.3203365, 1.270068740, 1.3120880, .199693266, .03410981, 37},
              {"wideresnet-16-4-cifar-10", .243764051, .2350188, .230423294, .2313618, .057480451, .00897711, 32}};
  for (const auto& net : nets) {
    const auto path = mcomp_test::data("calibration/" + std::string(net.name) + ".safetensors");
    if (!path) return;
    INFO(net.name);
    const TensorStore tensors = io::read_safetensors(*path).value().tensors;
    const LogRows fit = log_rows(tensors, 0, 5000), test = log_rows(tensors, 5000, 10000);

    const auto vector = fit_vector(fit.logits, fit.labels).value();
    CHECK(vector.report.optimum_reached);
    CHECK(vector.report.nll_after == Approx(net.vector_fit).margin(1e-9));
    CHECK(nll(Calibrator::of(vector).value(), test) == Approx(net.vector_test).margin(1e-7));

    const auto dirichlet = fit_dirichlet(fit.logits, fit.labels).value();
    CHECK(dirichlet.report.optimum_reached);
    CHECK(dirichlet.report.nll_after == Approx(net.dirichlet_fit).margin(1e-9));
    CHECK(nll(Calibrator::of(dirichlet).value(), test) == Approx(net.dirichlet_test).margin(1e-7));

    const auto fit_rows = outcomes_of_logits(fit.logits, fit.labels).value();
    const auto isotonic = fit_isotonic(fit_rows.confidence, fit_rows.correct).value();
    CHECK(isotonic.blocks == net.blocks);
    CHECK(isotonic.mse_after == Approx(net.isotonic_mse).margin(1e-9));
    auto test_rows = outcomes_of_logits(test.logits, test.labels).value();
    for (double& confidence : test_rows.confidence) confidence = isotonic.map(confidence);
    CHECK(calibration_error(test_rows.confidence, test_rows.correct).value() == Approx(net.isotonic_ece).margin(1e-8));
  }
}

TEST_CASE("recorded networks have the errors by mass, of norm 2 and of classes of their table") {
  const struct {
    const char* name;
    double width, mass, mce, rms, classwise;
  } nets[] = {{"lenet-5-cifar-10", .1078878818, .1078878818, .1858213856, .1131844879, .0240601090},
              {"wideresnet-16-4-cifar-10", .0537162902, .0537162997, .2623892420, .0749014603, .0124274656},
              {"densenet-bc-100-cifar-100", .1421528157, .1421528179, .3131615006, .1654941790, .0034342830}};
  for (const auto& net : nets) {
    const auto path = mcomp_test::data("calibration/" + std::string(net.name) + ".safetensors");
    if (!path) return;
    INFO(net.name);
    const TensorStore tensors = io::read_safetensors(*path).value().tensors;
    const TensorView p = tensors.find("probabilities").value(), labels = tensors.find("labels").value();
    const auto m = measure_probabilities(p, labels).value();
    CHECK(m.ece == Approx(net.width).margin(1e-10));
    CHECK(m.ece_mass == Approx(net.mass).margin(1e-10));
    CHECK(m.mce == Approx(net.mce).margin(1e-10));
    CHECK(m.rms == Approx(net.rms).margin(1e-10));
    CHECK(m.classwise_ece == Approx(net.classwise).margin(1e-10));
    // The same from the rows one by one, and from logits in one pass.
    CHECK(classwise_calibration_error(p, labels).value() == Approx(net.classwise).margin(1e-10));
    const LogRows all = log_rows(tensors, 0, 10000);
    const auto from_logits = measure_logits(all.logits, all.labels).value();
    CHECK(from_logits.ece_mass == Approx(net.mass).margin(1e-10));
    CHECK(from_logits.classwise_ece == Approx(net.classwise).margin(1e-10));
    CHECK(from_logits.ks == Approx(m.ks).margin(1e-12));
    CHECK(m.top_label.score() > 0);
  }
}

TEST_CASE("matrix scaling of 100 classes on 5,000 rows is refused, or regularized where that is asked for") {
  const auto path = mcomp_test::data("calibration/densenet-bc-100-cifar-100.safetensors");
  if (!path) return;
  const TensorStore tensors = io::read_safetensors(*path).value().tensors;
  const LogRows fit = log_rows(tensors, 0, 5000), test = log_rows(tensors, 5000, 10000);
  for (const auto& refused : {fit_matrix(fit.logits, fit.labels), fit_dirichlet(fit.logits, fit.labels)}) {
    REQUIRE(!refused);
    CHECK(refused.error().code() == ErrorCode::insufficient_data);
    CHECK(mcomp_test::well_formed(refused.error()));
    CHECK(refused.error().rule().find("10100 parameters") != std::string::npos);
  }
}

TEST_CASE("with the penalty of ODIR, Dirichlet calibration of 100 classes is better than one temperature", "[slow]") {
  const auto path = mcomp_test::data("calibration/densenet-bc-100-cifar-100.safetensors");
  if (!path) return;
  const TensorStore tensors = io::read_safetensors(*path).value().tensors;
  const LogRows fit = log_rows(tensors, 0, 5000), test = log_rows(tensors, 5000, 10000);
  ThreadPool pool(2);
  const auto odir =
      fit_dirichlet(
          fit.logits, fit.labels,
          {.regularization = Regularization::odir, .weight_penalty = 1e5, .bias_penalty = 100, .executor = &pool})
          .value();
  CHECK(odir.report.optimum_reached);
  CHECK(odir.report.penalty > 0);
  CHECK(nll(Calibrator::of(odir).value(), test) < .86655200); // of the temperature, as published
}

TEST_CASE("google's uncertainty metrics have their published values") {
  // github.com/google/uncertainty-metrics (also google/uncertainty-baselines), tests of the general calibration error.
  const std::vector<double> p{0.42610548, 0.41748077, 0.15641374, 0.44766216, 0.47721294,
                              0.0751249,  0.1862702,  0.15139402, 0.66233578, 0.05753544,
                              0.8561222,  0.08634236, 0.18697925, 0.29836466, 0.51465609};
  const auto labels = Tensor::from(std::vector<std::int32_t>{0, 1, 2, 1, 2}, {5}).value();
  const auto m = measure_probabilities(Tensor::from(p, {5, 3}).value(), labels, {.bins = 30}).value();
  CHECK(m.ece ==
        Approx(0.412713502).margin(5e-8)); // theirs are not divided by the sums of rows, which are 1 within 1e-8
  const auto rows = outcomes_of_probabilities(Tensor::from(p, {5, 3}).value(), labels).value();
  CHECK(calibration_error(rows.confidence, rows.correct, {.binning = ErrorBinning::sweep_width}).value() ==
        Approx(0.412713502).margin(5e-8));

  // The six rows of its ECE example (one of which sums to 0.9): the largest probabilities and which are right.
  const std::vector<double> confidence{.32, .37, .39, .61, .65, .91};
  const std::vector<std::uint8_t> correct{1, 1, 0, 0, 0, 1};
  const double by_hand =
      3. / 6 * std::abs(2. / 3 - (.32 + .37 + .39) / 3) + 2. / 6 * (.61 + .65) / 2 + 1. / 6 * (1 - .91);
  CHECK(calibration_error(confidence, correct, {.bins = 10}).value() == Approx(by_hand).epsilon(1e-12));
}
