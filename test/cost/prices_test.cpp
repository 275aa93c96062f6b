#include "mcomp/cost/prices.hpp"

#include <cmath>
#include <fstream>
#include <limits>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using mcomp::cost::PriceCatalogue;

namespace {

const std::string good = R"({"currency": "USD", "date": "2026-07-20", "source": "list", "hours_per_month": 730,
  "instances": [
    {"name": "a1.2xlarge", "vcpus": 8, "memory_gib": 16, "on_demand_per_hour": 0.204, "reserved_per_hour": 0.1285,
     "term": "1 year, no upfront"},
    {"name": "a1.4xlarge", "vcpus": 16, "on_demand_per_hour": 0.408}]})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = good;
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("a price file says what it says, and survives a round trip") {
  const PriceCatalogue catalogue = PriceCatalogue::parse(good, "prices.json").value();
  CHECK(catalogue.instances.size() == 2);
  CHECK(catalogue.hours_per_month == 730);
  const auto price = catalogue.find("a1.2xlarge").value();
  CHECK(price.vcpus == 8);
  CHECK(price.memory_gib == 16.0);
  CHECK(price.reserved_per_hour == 0.1285);
  CHECK(price.term == "1 year, no upfront");
  CHECK_FALSE(catalogue.find("a1.4xlarge").value().reserved_per_hour);
  CHECK(PriceCatalogue::parse(to_json(catalogue), "again").value() == catalogue);
  CHECK(PriceCatalogue::parse(replaced(R"("hours_per_month": 730,)", ""), "x").value() == catalogue);
  CHECK(fmt::format("{}", price) == "a1.2xlarge: 8 vCPUs, 0.204 per hour, reserved 0.1285 (1 year, no upfront)");
  CHECK(fmt::format("{}", catalogue) == "2 instances, USD, 2026-07-20, list");
  const auto path = mcomp_test::temporary_folder() / "prices.json";
  write_file(path, good).value();
  CHECK(PriceCatalogue::read(path).value() == catalogue);
}

TEST_CASE("an instance that is not listed is an error that proposes the one that was meant") {
  const auto missing = PriceCatalogue::parse(good, "prices.json").value().find("a1.2xlrage");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code() == ErrorCode::not_found);
  CHECK(missing.error().remedy().find("a1.2xlarge") != std::string::npos);
  CHECK(PriceCatalogue::read(mcomp_test::temporary_folder() / "absent.json").error().code() == ErrorCode::not_found);
}

TEST_CASE("price files that break a rule are refused and say which") {
  struct Case {
    std::string text;
    const char* word;
  };
  for (const auto& [text, word] : std::vector<Case>{
           {"", "JSON"},
           {"[]", "object"},
           {"{}", "currency"},
           {replaced("\"USD\"", "\"usd\""), "currency"},
           {replaced("\"USD\"", "\"US$\""), "currency"},
           {replaced("2026-07-20", "2026-02-30"), "date"},
           {replaced("2026-07-20", "20 July 26"), "date"},
           {replaced("2026-07-20", "2026-7-200"), "date"},
           {replaced("\"list\"", "\"\""), "source"},
           {replaced("730", "0"), "hours"},
           {replaced("730", "745"), "hours"},
           {replaced("730", "-730"), "hours"},
           {replaced("730", "\"730\""), "number"},
           {replaced("0.204", "-0.204"), "on_demand_per_hour"},
           {replaced("0.204", "0"), "on_demand_per_hour"},
           {replaced("0.204", "NaN"), "JSON"},
           {replaced("0.204", "1e999"), "range"},
           {replaced("0.204", "\"$0.204\""), "number"},
           {replaced("0.204", "null"), "number"},
           {replaced("0.1285", "-1"), "reserved_per_hour"},
           {replaced("\"reserved_per_hour\": 0.1285,", ""), "term"},
           {replaced("\"1 year, no upfront\"", "\"\""), "term"},
           {replaced("\"vcpus\": 8", "\"vcpus\": 0"), "vcpus"},
           {replaced("\"vcpus\": 8", "\"vcpus\": 8.5"), "whole number"},
           {replaced("\"memory_gib\": 16", "\"memory_gib\": 0"), "memory_gib"},
           {replaced("a1.4xlarge", "a1.2xlarge"), "twice"},
           {replaced("a1.4xlarge", ""), "name"},
           {replaced("\"memory_gib\"", "\"memory_gb\""), "memory_gb"},
           {replaced("\"source\"", "\"sauce\""), "source"},
           {replaced("\"vcpus\": 8,", "\"vcpus\": 8, \"vcpus\": 8,"), "twice"},
           {R"({"currency":"USD","date":"2026-07-20","source":"list","instances":[]})", "no instance"},
           {R"({"currency":"USD","date":"2026-07-20","source":"list","instances":[3]})", "object"},
       }) {
    const auto parsed = PriceCatalogue::parse(text, "prices.json");
    INFO(text);
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().what());
    CHECK(parsed.error().code() == ErrorCode::corrupt);
    CHECK(std::string(parsed.error().what()).find(word) != std::string::npos);
    CHECK(parsed.error().subject().substr(0, 11) == "prices.json");
    CHECK(mcomp_test::well_formed(parsed.error()));
  }
}

TEST_CASE("a catalogue that was filled by hand is held to the same rules") {
  PriceCatalogue catalogue = PriceCatalogue::parse(good, "prices.json").value();
  CHECK(catalogue.check("mine"));
  catalogue.instances[0].on_demand_per_hour = std::numeric_limits<double>::quiet_NaN();
  const auto status = catalogue.check("mine");
  REQUIRE_FALSE(status);
  CHECK(status.error().code() == ErrorCode::invalid_value);
  CHECK(status.error().subject() == "mine: instance 'a1.2xlarge'");
}

TEST_CASE("reserved, spot, storage and egress prices survive a round trip and print") {
  const std::string text = R"({"currency": "EUR", "date": "2026-07-20", "source": "list", "instances": [
    {"name": "a", "on_demand_per_hour": 1, "reserved": [{"months": 36, "payment": "partial upfront", "kind": "convertible",
      "per_hour": 0.5}, {"months": 12, "payment": "all upfront", "per_hour": 0.6}],
     "spot": {"per_hour": 0.25, "interrupted_per_month": [0.05, 0.15]}}],
    "storage": [{"name": "ssd", "per_gib_month": 0.08}],
    "egress": [{"from_gib": 0, "per_gib": 0}, {"from_gib": 100, "per_gib": 0.09}, {"from_gib": 1000, "per_gib": 0.07}]})";
  const PriceCatalogue catalogue = PriceCatalogue::parse(text, "x").value();
  const auto& price = catalogue.instances.at(0);
  CHECK_FALSE(price.vcpus);
  CHECK(price.reserved.at(0).payment == cost::Payment::partial_upfront);
  CHECK(price.reserved.at(1) == cost::ReservedPrice{.payment = cost::Payment::all_upfront, .per_hour = 0.6});
  CHECK(fmt::format("{}", price) == "a: 1 per hour, spot 0.25");
  CHECK(fmt::format("{}", cost::Payment::all_upfront) == "all upfront");
  CHECK(PriceCatalogue::parse(to_json(catalogue), "again").value() == catalogue);
  CHECK(catalogue.storage_per_month("ssd", 500).value() == Approx(40));
  CHECK(catalogue.egress_per_month(0).value() == 0);
  CHECK(catalogue.egress_per_month(100).value() == 0);
  CHECK(catalogue.egress_per_month(150).value() == Approx(4.5));
  CHECK(catalogue.egress_per_month(2000).value() == Approx(900 * 0.09 + 1000 * 0.07));
  // A tenth interrupted a month: after a month of constant rate, the share that is left is 0.9.
  CHECK(std::exp(-730 * cost::interruptions_per_hour(*price.spot).value()) == Approx(0.9).epsilon(1e-14));

  CHECK(catalogue.storage_per_month("sdd", 1).error().code() == ErrorCode::not_found);
  CHECK(catalogue.storage_per_month("ssd", -1).error().code() == ErrorCode::invalid_value);
  CHECK(catalogue.egress_per_month(-1).error().code() == ErrorCode::invalid_value);
  CHECK(catalogue.egress_per_month(std::nan("")).error().code() == ErrorCode::invalid_value);
  CHECK(catalogue.egress_per_month(INFINITY).error().code() == ErrorCode::invalid_value);
  CHECK(PriceCatalogue::parse(good, "x").value().egress_per_month(1).error().code() == ErrorCode::not_found);
  CHECK(cost::interruptions_per_hour({.per_hour = 1, .interrupted_lower = 1}).error().code() ==
        ErrorCode::invalid_value);
  CHECK(cost::interruptions_per_hour(*price.spot, 0).error().code() == ErrorCode::invalid_value);

  const auto broken = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const std::size_t at = changed.find(from);
    REQUIRE(at != std::string::npos);
    const auto parsed = PriceCatalogue::parse(changed.replace(at, from.size(), to), "x");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == ErrorCode::corrupt);
    CHECK(mcomp_test::well_formed(parsed.error()));
    return std::string(parsed.error().what());
  };
  CHECK(broken("36", "0").find("months") != std::string::npos);
  CHECK(broken("partial upfront", "some upfront").find("some upfront") != std::string::npos);
  CHECK(broken("0.5}", "-0.5}").find("per_hour") != std::string::npos);
  CHECK(broken("36, \"payment\": \"partial upfront\", \"kind\": \"convertible\"", "12, \"payment\": \"all upfront\"")
            .find("twice") != std::string::npos);
  CHECK(broken("0.25", "0").find("spot") != std::string::npos);
  CHECK(broken("[0.05, 0.15]", "[0.15, 0.05]").find("interrupted") != std::string::npos);
  CHECK(broken("[0.05, 0.15]", "[0.15]").find("interrupted") != std::string::npos);
  CHECK(broken("0.08", "-0.08").find("ssd") != std::string::npos);
  CHECK(broken("\"from_gib\": 0,", "\"from_gib\": 1,").find("egress") != std::string::npos);
  CHECK(broken("1000", "100").find("egress") != std::string::npos);
  CHECK(broken("0.07", "-0.07").find("egress") != std::string::npos);
}

TEST_CASE("published monthly prices are 730 hours of the published hourly ones") {
  const auto hourly_path = mcomp_test::data("prices/aws_us-east-1_ondemand_2026-07-20.csv");
  const auto monthly_path = mcomp_test::data("prices/ec2_ondemand_reserved_monthly.csv");
  if (!hourly_path || !monthly_path) return;
  std::map<std::string, double> hourly;
  std::string line;
  std::ifstream hourly_file(*hourly_path), monthly_file(*monthly_path);
  std::getline(hourly_file, line);
  while (std::getline(hourly_file, line)) {
    const std::size_t comma = line.find(',');
    hourly[line.substr(0, comma)] = std::stod(line.substr(comma + 1));
  }
  // The monthly list is of another year, so some prices have moved since; nearly all have not.
  int same = 0, compared = 0;
  std::getline(monthly_file, line);
  while (std::getline(monthly_file, line)) {
    const auto found = hourly.find(line.substr(0, line.find(' ')));
    const std::size_t dollar = line.find('$');
    if (found == hourly.end() || dollar == std::string::npos) continue;
    ++compared;
    std::string amount = line.substr(dollar + 1, line.find(" monthly", dollar) - dollar - 1);
    std::erase(amount, ',');
    if (std::abs(std::stod(amount) - 730 * found->second) < 0.0051) ++same;
  }
  INFO(same << " of " << compared);
  CHECK(compared > 200);
  CHECK(same > 0.9 * compared);
}
