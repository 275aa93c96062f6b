// compare, gate and protect_slice as a user runs them.

#include <cmath>

#include "fashion_mnist.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/core/random.hpp"
#include "mcomp/evaluate/evaluation.hpp"
#include "mcomp/io/safetensors.hpp"
#include "recorded_rows.hpp"
#include "run_program.hpp"

using namespace mcomp;
using mcomp_test::run_program;

namespace {

/// Recorded logits of 2,000 rows in two columns of slices; right but in `wrong` of each group of "region".
std::filesystem::path recorded(const std::string& name, const std::array<int, 2>& wrong, bool slices = true) {
  constexpr std::int64_t rows = 2000;
  std::vector<float> logits;
  std::vector<std::int64_t> labels;
  std::vector<std::int32_t> groups;
  std::array<int, 2> left = wrong;
  Random random(4);
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::int64_t>(random.below(3));
    const auto region = static_cast<std::int32_t>(i % 4 == 0 ? 1 : 0);
    auto answer = label;
    if (left[static_cast<std::size_t>(region)] > 0) {
      --left[static_cast<std::size_t>(region)];
      answer = (label + 1) % 3;
    }
    for (std::int64_t k = 0; k < 3; ++k) logits.push_back(k == answer ? 2 : 0);
    labels.push_back(label);
    groups.push_back(region);
    groups.push_back(static_cast<std::int32_t>(i % 5) - 1);
  }
  TensorStore store;
  store.put("logits", Tensor::from(logits, Shape{rows, 3}).value());
  store.put("labels", Tensor::from(labels, Shape{rows}).value());
  if (slices) store.put("slices", Tensor::from(groups, Shape{rows, 2}).value());
  const auto path = mcomp_test::temporary_folder() / name;
  const std::map<std::string, std::string> metadata{
      {"slices", R"({"region": ["eu", "us"], "tier": ["a", "b", "c", "d"]})"}};
  REQUIRE(io::write_safetensors(path, store, slices ? metadata : std::map<std::string, std::string>{}));
  return path;
}

std::filesystem::path written(const std::string& name, const std::string& text) {
  const auto path = mcomp_test::temporary_folder() / name;
  REQUIRE(write_file(path, text));
  return path;
}

} // namespace

TEST_CASE("compare: recorded outputs row by row, slices by name") {
  const auto baseline = recorded("baseline.safetensors", {0, 0}),
             candidate = recorded("candidate.safetensors", {3, 30});
  const std::string files = fmt::format("--baseline '{}' --candidate '{}' ", baseline.string(), candidate.string());
  std::filesystem::path out;
  const auto report = run_program(MCOMP_COMPARE, files + "--margin 0.03 --cross region,tier", 3, &out);
  const auto& evaluation = report.at("evaluation");
  CHECK(evaluation.at("evidence").at("accuracy").at("only_baseline_right") == 33);
  CHECK(evaluation.at("evidence").at("slices").size() == 2 + 4 + 8);
  CHECK(evaluation.at("evidence").at("slices")[1].at("name") == "region=us");
  CHECK(evaluation.at("evidence").at("slices")[1].at("accuracy").at("only_baseline_right") == 30);
  CHECK(report.at("status") == "rejected");
  CHECK(evaluation.at("exemplars").size() == 20);
  CHECK(evaluate::evaluation_from_json(read_file(out / "evaluation.json").value(), "e").value().rows == 2000);
  CHECK(read_file(out / "junit.xml").value().find("<testsuites>") != std::string::npos);
  CHECK(read_file(out / "summary.md").value().find("region=us") != std::string::npos);

  run_program(MCOMP_COMPARE, files + "--margin 0.1");
  run_program(
      MCOMP_COMPARE,
      fmt::format("--baseline '{}:0-99' --candidate '{}:0-99' --margin 0.001", baseline.string(), baseline.string()),
      4);
  const auto plain = recorded("plain.safetensors", {0, 0}, false);
  run_program(MCOMP_COMPARE,
              fmt::format("--baseline '{}' --candidate '{}' --margin 0.01", plain.string(), plain.string()));
  // Other rows are another question.
  const auto mixed = run_program(
      MCOMP_COMPARE, fmt::format("--baseline '{}:0-99' --candidate '{}:100-199'", baseline.string(), baseline.string()),
      1);
  CHECK(mixed.at("error").at("subject").get<std::string>().find("labels") != std::string::npos);
  run_program(MCOMP_COMPARE,
              fmt::format("--baseline '{}:1900-2100' --candidate '{}'", baseline.string(), baseline.string()), 1);
  run_program(MCOMP_COMPARE, files + "--logits nothing", 1);
  run_program(MCOMP_COMPARE, files + "--cross region,age", 1);
  run_program(MCOMP_COMPARE, files + "--margin 0", 2);
}

TEST_CASE("gate: exit status 0, 3 and 4, of an evaluation and of outputs") {
  const auto baseline = recorded("baseline.safetensors", {0, 0}),
             candidate = recorded("candidate.safetensors", {3, 30});
  const std::string files = fmt::format("--baseline '{}' --candidate '{}'", baseline.string(), candidate.string());
  const auto strict = written("strict.json", R"({"max_accuracy_loss": 0.03, "max_slice_accuracy_loss": 0.03})");
  const auto average = written("average.json", R"({"max_accuracy_loss": 0.03})");
  const auto protecting =
      written("protecting.json", R"({"protected_slices": {"region=us": 0.1}, "min_slice_samples": 100})");
  const auto unmeasured = written("unmeasured.json", R"({"min_speedup": 1.1, "max_accuracy_loss": 0.03})");
  const auto gate = [&](const std::filesystem::path& criteria, const std::string& what, int expected) {
    return run_program(MCOMP_GATE, fmt::format("--criteria '{}' {}", criteria.string(), what), expected);
  };
  gate(average, files, 0);
  gate(strict, files, 3);
  gate(protecting, files, 0);
  gate(unmeasured, files, 4);

  std::filesystem::path out;
  run_program(MCOMP_GATE, fmt::format("--criteria '{}' {}", strict.string(), files), 3, &out);
  const std::string kept = fmt::format("--evaluation '{}'", (out / "evaluation.json").string());
  gate(average, kept, 0);
  gate(strict, kept, 3);
  gate(unmeasured, kept, 4);

  gate(written("wrong.json", R"({"max_accuracy_los": 0.03})"), kept, 1);
  gate(written("empty.json", "{}"), kept, 1);
  gate(average, "--evaluation /nonexistent.json", 1);
  gate(average, fmt::format("--evaluation '{}'", average.string()), 1);
  gate(average, "", 1);
  gate(average, kept + " " + files, 2);
  gate(average, fmt::format("--baseline '{}'", baseline.string()), 2);
}

TEST_CASE("recorded rows: ranges, names of slices, and what is refused") {
  using namespace example;
  CHECK_FALSE(row_source("a.safetensors", "--fit").value().first);
  const RowSource range = row_source("d:/a.safetensors:5-20", "--fit").value();
  CHECK(range.file == "d:/a.safetensors");
  CHECK(range.first == 5);
  CHECK(range.last == 20);

  const auto path = mcomp_test::temporary_folder() / "x.safetensors";
  const auto read = [&](const Tensor& slices, const std::string& metadata, const RowSource& rows = {}) {
    TensorStore store;
    store.put("probabilities", Tensor::from(std::vector<double>{0.5, 0.5, 1, 0}, Shape{2, 2}).value());
    store.put("labels", Tensor::from(std::vector<std::uint8_t>{1, 0}, Shape{2}).value());
    store.put("slices", slices);
    REQUIRE(io::write_safetensors(path, store,
                                  metadata.empty() ? std::map<std::string, std::string>{}
                                                   : std::map<std::string, std::string>{{"slices", metadata}}));
    return read_rows({.file = path.string(), .first = rows.first, .last = rows.last}, {});
  };
  const Tensor one = Tensor::from(std::vector<std::int32_t>{1, -1}, Shape{2}).value();
  const Tensor two = Tensor::from(std::vector<std::int32_t>{1, 0, -1, 1}, Shape{2, 2}).value();
  const std::vector<std::string> named{"eu", "us"};
  for (const char* metadata :
       {R"(["eu", "us"])", R"({"region": ["eu", "us"]})", R"([["eu", "us"]])", R"({"0": "eu", "1": "us"})"}) {
    INFO(metadata);
    const Rows rows = read(one, metadata).value();
    REQUIRE(rows.slices.size() == 1);
    CHECK(rows.slices[0].groups == named);
    CHECK(rows.slices[0].group == std::vector<std::int32_t>{1, -1});
    CHECK(rows.are_probabilities);
    CHECK(rows.outputs.dtype() == DType::f64);
    CHECK(scores_of(rows).value().correct == std::vector<std::uint8_t>{0, 1});
  }
  CHECK(read(one, "").value().slices[0].groups == std::vector<std::string>{"0", "1"});
  const Rows pair = read(two, R"({"region": ["eu", "us"], "tier": ["x"]})").value();
  REQUIRE(pair.slices.size() == 2);
  CHECK(pair.slices[1].dimension == "tier");
  CHECK(pair.slices[1].groups == std::vector<std::string>{"x", "1"});
  // The last row by its number, and the end of the rows by theirs.
  for (const std::int64_t last : {1, 2})
    CHECK(read(one, "", {.file = {}, .first = 1, .last = last}).value().count() == 1);
  CHECK_FALSE(read(one, "", {.file = {}, .first = 1, .last = 3}));
  CHECK_FALSE(read(one, "", {.file = {}, .first = 2, .last = 2}));
  for (const auto& [slices, metadata] :
       {std::pair(one, "{"), std::pair(two, R"({"a": []})"), std::pair(two, R"({"a": [], "b": 3})"),
        std::pair(one, R"(["eu", "eu"])"), std::pair(Tensor::from(std::vector<std::int32_t>{1}, Shape{1}).value(), ""),
        std::pair(Tensor::from(std::vector<float>{1, 2}, Shape{2}).value(), "")}) {
    const auto wrong = read(slices, metadata);
    INFO(metadata);
    REQUIRE_FALSE(wrong);
    CHECK(mcomp_test::well_formed(wrong.error()));
    CHECK(wrong.error().subject().find("x.safetensors") != std::string::npos);
  }
}

TEST_CASE("protect_slice: passes on average, rejected for a slice, attributed, repaired, accepted", "[slow]") {
  if (!std::filesystem::exists(std::filesystem::path(example::fashion_mnist_folder) / "t10k-images-idx3-ubyte.gz")) {
    mcomp_test::skip("Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)");
    return;
  }
  const auto report = run_program(MCOMP_PROTECT_SLICE, "");
  const auto check = [&](const char* which, const std::string& name) {
    for (const auto& c : report.at(which).at("verdict").at("checks"))
      if (c.at("name") == name) return c.at("outcome").get<std::string>();
    return std::string("absent");
  };
  CHECK(report.at("first").at("verdict").at("outcome") == "fail");
  CHECK(check("first", "max_accuracy_loss") == "pass");
  CHECK(check("first", "max_slice_accuracy_loss[garment=shirt]") == "fail");
  CHECK(report.at("first").at("exemplars").size() == 20);
  CHECK(report.at("evaluation").at("verdict").at("outcome") == "pass");
  const auto repaired = report.at("repaired_layers");
  CHECK(repaired.size() < report.at("attribution").size());
  CHECK(repaired[0] == report.at("attribution")[0].at("layer"));
  CHECK(report.at("repaired_bytes").get<int>() > report.at("candidate_bytes").get<int>());
  CHECK(report.at("repaired_bytes").get<int>() < 0.25 * report.at("baseline_bytes").get<int>());
}
