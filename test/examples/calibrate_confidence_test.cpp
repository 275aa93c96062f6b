// calibrate_confidence as a user runs it, on recorded networks and on files that are made here.

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/calibrate/calibrator.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/io/safetensors.hpp"

namespace {

using Json = nlohmann::json;
using namespace mcomp;

/// One folder for all runs.
std::filesystem::path folder() {
  static const std::filesystem::path path = mcomp_test::temporary_folder();
  return path;
}

std::filesystem::path out() {
  return folder() / "calibrated";
}

void expect(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
}

/// Runs it; the report, or null where there is none.
Json run(const std::string& arguments, int expected = 0) {
  std::filesystem::remove_all(out());
  const std::string command = fmt::format("'{}' {} --out '{}' >'{}.log' 2>&1", MCOMP_CALIBRATE_CONFIDENCE, arguments,
                                          out().string(), out().string());
  const int status = std::system(command.c_str());
  if (status != expected * 256)
    FAIL(command << "\nexit status " << status << "\n" << read_file(out().string() + ".log").value());
  if (!std::filesystem::exists(out() / "report.json")) return {};
  return Json::parse(read_file(out() / "report.json").value());
}

/// A file of `rows` rows of four classes whose labels are drawn from softmax(z / 2).
std::string made(const std::string& name, std::int64_t rows, const std::function<void(TensorStore&)>& change = {},
                 const std::map<std::string, std::string>& metadata = {}) {
  Random random(7);
  std::vector<float> z;
  std::vector<std::int32_t> labels, slices;
  for (std::int64_t i = 0; i < rows; ++i) {
    double p[4], sum = 0;
    for (double& e : p) {
      z.push_back(static_cast<float>(3 * random.normal()));
      sum += e = std::exp(static_cast<double>(z.back()) / 2);
    }
    double u = random.uniform() * sum;
    int label = 0;
    while (label < 3 && u >= p[label]) u -= p[label++];
    labels.push_back(label);
    slices.insert(slices.end(), {static_cast<std::int32_t>(i % 3), static_cast<std::int32_t>(i % 5 == 0)});
  }
  TensorStore store;
  store.put("logits", Tensor::from(z, {rows, 4}).value());
  store.put("labels", Tensor::from(labels, {rows}).value());
  store.put("slices", Tensor::from(slices, {rows, 2}).value());
  if (change) change(store);
  const auto path = folder() / (name + ".safetensors");
  io::write_safetensors(path, store, metadata).value();
  return "'" + path.string() + "'";
}

} // namespace

TEST_CASE("calibrate_confidence: ResNet-110 by named tensors has its published numbers") {
  const auto path = mcomp_test::data("calibration/resnet110-cifar-10-logits.safetensors");
  if (!path) return;
  const Json report =
      run(fmt::format("--fit '{0}' --report '{0}' --logits val_logits --labels val_labels --report-logits "
                      "test_logits --report-labels test_labels --method temperature --json '{1}.json'",
                      path->string(), out().string()));
  CHECK(report["before"]["accuracy_fraction"] == Approx(.9356));
  CHECK(report["before"]["ece"].get<double>() == Approx(.047503).margin(1e-5));
  CHECK(report["before"]["nll_nats"].get<double>() == Approx(.358274).margin(1e-5));
  CHECK(report["after"]["ece"].get<double>() == Approx(.011321).margin(1e-5));
  CHECK(report["after"]["nll_nats"].get<double>() == Approx(.209261).margin(1e-5));
  CHECK(report["overlapping_rows"] == 0);
  CHECK(report["guard"]["rejected"] == false);
  CHECK(report["fit_report"]["optimum_reached"] == true);
  CHECK(Json::parse(read_file(out().string() + ".json").value()) == report);
  CHECK(read_file(out() / "reliability.svg")->find("ECE 0.0475 (15 bins)") != std::string::npos);
  const auto calibrator = calibrate::Calibrator::from_json(read_file(out() / "calibrator.json").value()).value();
  CHECK(fmt::format("{}", calibrator) == "temperature 2.395");
}

TEST_CASE("calibrate_confidence: ranges of one file, a method chosen by cross-validation, slices with names") {
  const std::string file =
      made("slices", 3000, {},
           {{"slices", R"({"weather": ["sun", "rain", "snow", "hail"], "night": {"0": "no", "1": "yes"}})"}});
  const Json report = run(fmt::format("--fit {0}:0-1499 --report {0}:1500-2999 --threads 2", file));
  CHECK(report["status"] == "done");
  CHECK(report["method"] == "temperature");
  CHECK(report["method_reason"] == "least NLL in 5-fold cross-validation on the rows of the fit");
  CHECK(report["candidates"].size() >= 8);
  CHECK(report["fit"]["rows"] == 1500);
  CHECK(report["report"]["first_row"] == 1500);
  CHECK(report["after"]["nll_nats"] < report["before"]["nll_nats"]);
  CHECK(report["before"]["calibration_test"]["p_value"] <= .001);
  CHECK(report["after"]["calibration_test"]["p_value"] > .001);
  REQUIRE(report["slices"].size() == 6);
  CHECK(report["slices"][0]["column"] == "weather");
  CHECK(report["slices"][0]["slice"] == "sun");
  CHECK(report["slices"][0]["rows"] == 500);
  CHECK(report["slices"][3]["slice"] == "hail"); // named, and without rows
  CHECK(report["slices"][3]["rows"] == 0);
  CHECK(report["slices"][5]["slice"] == "yes");
  CHECK(report["slices"][5]["rows"] == 300);
  CHECK(report["conformal"].size() == 3);
  for (const auto& sets : report["conformal"]) CHECK(sets["covered_fraction"].get<double>() == Approx(.9).margin(.035));

  const Json overlapping =
      run(fmt::format("--fit {0}:0-1499 --report {0}:1000-2999 --method slice_temperature --slice-column 1", file));
  CHECK(overlapping["overlapping_rows"] == 500);
  CHECK(overlapping["calibrator"].get<std::string>().find("of 2 slices") != std::string::npos);
  // Few rows: isotonic regression is rejected, and the report says so.
  const Json rejected = run(
      fmt::format("--fit {0}:0-39 --report {0}:40-2999 --method histogram", made("calm", 3000, [](TensorStore& store) {
                    Tensor half = Tensor::copy_of(store.find("logits").value()).value();
                    for (float& z : half.mutable_values<float>()) z /= 2; // calibrated as they are
                    store.put("logits", std::move(half));
                  })));
  CHECK(rejected["calibrator_rejected"] == true);
  CHECK(rejected["calibrator"] == "identity");
  CHECK(rejected["after"]["ece"].get<double>() == Approx(rejected["before"]["ece"].get<double>()).margin(1e-6));
}

TEST_CASE("calibrate_confidence: probabilities, also such that are zero for a label") {
  const std::string file = made("zero", 400, [](TensorStore& store) {
    std::vector<float> p;
    for (int i = 0; i < 400; ++i) p.insert(p.end(), {1, 0, 0, 0});
    store.erase("logits");
    store.erase("slices");
    store.put("probabilities", Tensor::from(p, {400, 4}).value());
  });
  const Json report = run(fmt::format("--fit {0}:0-199 --report {0}:200-399", file));
  CHECK(report["before"]["nll_nats"].is_null());
  CHECK(report["before"]["infinite_nll_rows"] > 0);
  CHECK(report["after"]["nll_nats"].get<double>() < 2);
}

TEST_CASE("calibrate_confidence: errors are said before any work, and name what is wrong") {
  const std::string file = made("good", 50);
  const auto error = [&](const std::string& arguments) {
    const Json report = run(arguments, 1);
    REQUIRE(report.contains("error"));
    CHECK(!std::filesystem::exists(out() / "reliability.svg"));
    return report["error"]["code"].get<std::string>() + ": " + report["error"]["subject"].get<std::string>() + ": " +
           report["error"]["rule"].get<std::string>();
  };
  run(fmt::format("--fit {0}", file), 2);
  run(fmt::format("--fit {0} --report {0} --colour red", file), 2);
  run(fmt::format("--fit {0} --report {0} --criterion ece", file), 2);
  expect(error(fmt::format("--fit {0}:0-24 --report {0}:25-51", file)), "rows 25-51 are asked, the file has 0-49");
  for (const char* const range : {"9-3", "a-b", "5", "-3-4", "1-2-3", "", "99999999999999999999-1"})
    expect(error(fmt::format("--fit {0}:{1} --report {0}", file, range)), "is no range of rows");
  expect(error(fmt::format("--fit {0} --report {0} --method temprature", file)), "there is no calibrator");
  expect(error(fmt::format("--fit {0} --report {0} --logits lgits", file)), "lgits");
  expect(error(fmt::format("--fit {0} --report {0} --slices groups", file)), "groups");
  expect(error(fmt::format("--fit {0} --report absent.safetensors", file)), "absent.safetensors");
  expect(error(fmt::format("--fit {0} --report {1}", file,
                           made("nan", 50,
                                [](TensorStore& store) {
                                  Tensor z = Tensor::copy_of(store.find("logits").value()).value();
                                  z.mutable_values<float>()[17] = std::numeric_limits<float>::quiet_NaN();
                                  store.put("logits", std::move(z));
                                }))),
         "row 4 has NaN");
  expect(error(fmt::format("--fit {0} --report {1}", file,
                           made("outside", 50,
                                [](TensorStore& store) {
                                  store.put("labels", Tensor::from(std::vector<std::int32_t>(50, 4), {50}).value());
                                }))),
         "label 4 of row 0");
  expect(error(fmt::format("--fit {0} --report {1}", file,
                           made("short", 50,
                                [](TensorStore& store) {
                                  store.put("labels", Tensor::from(std::vector<std::int32_t>(49, 0), {49}).value());
                                }))),
         "[50] is needed");
  expect(error(fmt::format("--fit {0} --report {0}", made("names", 50, {}, {{"slices", "[\"one\"]"}}))),
         "no list of names");
  // One class only: nothing to fit on but the identity.
  const std::string one = made("one", 50, [](TensorStore& store) {
    store.put("labels", Tensor::from(std::vector<std::int32_t>(50, 1), {50}).value());
  });
  expect(error(fmt::format("--fit {0} --report {0} --method vector", one)), "no row has class 0");
  CHECK(run(fmt::format("--fit {0} --report {0}", one))["status"] == "done");
}
