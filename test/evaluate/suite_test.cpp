#include "mcomp/evaluate/suite.hpp"

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using namespace mcomp::evaluate;

namespace {

SuiteParts parts() {
  return {.name = "small",
          .version = "1",
          .inputs = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, Shape{3, 2}).value(),
          .labels = Tensor::from(std::vector<std::int32_t>{0, 1, 1}, Shape{3}).value(),
          .slicings = {{.dimension = "region", .groups = {"eu", "us"}, .group = {0, 1, -1}}},
          .versions = {{"inputs", "made"}}};
}

std::string fingerprint_of(SuiteParts p) {
  return Suite::freeze(std::move(p)).value().fingerprint();
}

void refused(SuiteParts p, ErrorCode code) {
  const auto suite = Suite::freeze(std::move(p));
  REQUIRE_FALSE(suite);
  CHECK(suite.error().code() == code);
  CHECK(mcomp_test::well_formed(suite.error()));
}

} // namespace

TEST_CASE("suite: equal content has an equal fingerprint, any change another", "[suite]") {
  const std::string first = fingerprint_of(parts());
  CHECK(first.size() == 64);
  CHECK(fingerprint_of(parts()) == first);
  SuiteParts named = parts();
  named.name = "other";
  CHECK(fingerprint_of(std::move(named)) == first);

  std::vector<SuiteParts> changed(7, parts());
  changed[0].version = "2";
  changed[1].inputs.mutable_values<float>()[5] = 7;
  changed[2].labels.mutable_values<std::int32_t>()[0] = 1;
  changed[3].slicings[0].group[2] = 0;
  changed[4].slicings[0].groups[1] = "ap";
  changed[5].versions["inputs"] = "bought";
  changed[6].slicings.clear();
  for (SuiteParts& p : changed) CHECK(fingerprint_of(std::move(p)) != first);

  const Suite suite = Suite::freeze(parts()).value();
  CHECK(suite.rows() == 3);
  CHECK(suite.slicing("region").value()->groups.size() == 2);
  CHECK(suite.slicing("cohort").error().code() == ErrorCode::not_found);
  CHECK(fmt::format("{}", suite).find("region: eu 1, us 1, in none 1") != std::string::npos);
}

TEST_CASE("suite: what cannot be frozen", "[suite]") {
  SuiteParts p = parts();
  p.name.clear();
  refused(std::move(p), ErrorCode::invalid_argument);
  p = parts();
  p.labels = Tensor::from(std::vector<std::int32_t>{}, Shape{0}).value();
  refused(std::move(p), ErrorCode::insufficient_data);
  p = parts();
  p.labels = Tensor::from(std::vector<std::int32_t>{0, -1, 1}, Shape{3}).value();
  refused(std::move(p), ErrorCode::invalid_value);
  p = parts();
  p.labels = Tensor::from(std::vector<float>{0, 1, 1}, Shape{3}).value();
  refused(std::move(p), ErrorCode::invalid_dtype);
  p = parts();
  p.inputs = Tensor::from(std::vector<float>{1, 2}, Shape{2, 1}).value();
  refused(std::move(p), ErrorCode::invalid_shape);
  p = parts();
  p.slicings.push_back(p.slicings[0]);
  refused(std::move(p), ErrorCode::invalid_argument);
  p = parts();
  p.slicings[0].group.pop_back();
  refused(std::move(p), ErrorCode::invalid_shape);
  p = parts();
  p.slicings[0].groups[1] = "eu";
  refused(std::move(p), ErrorCode::invalid_argument);
}

TEST_CASE("slicing: by name, intersections, rows", "[slices]") {
  const std::vector<std::string> names{"us", "eu", "", "us"};
  const auto region = slice_by("region", names).value();
  CHECK(region == Slicing{"region", {"eu", "us"}, {1, 0, -1, 1}});
  CHECK(slice_name(region, 1) == "region=us");
  CHECK(rows_of(region, 1) == std::vector<std::int64_t>{0, 3});
  CHECK(rows_of(region, 2).empty());
  const Slicing cohort{"cohort", {"new", "old"}, {0, 0, 0, 1}};
  const auto both = intersect(region, cohort).value();
  CHECK(both == Slicing{"region & cohort", {"eu & new", "us & new", "us & old"}, {1, 0, -1, 2}});
  CHECK_FALSE(intersect(region, Slicing{"short", {"x"}, {0}}));
  CHECK_FALSE(slice_by("", names));
}
