#include "mcomp/cost/price_import.hpp"

#include <cmath>
#include <map>

#include "catch.hpp"
#include "data.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

using namespace mcomp;
using mcomp::cost::Payment;
using mcomp::cost::PriceCatalogue;
using mcomp::cost::PriceImport;

namespace {

const std::string hourly = "instance_type,usd_per_hour_ondemand_linux\r\na1.large,0.051\r\na1.xlarge,unavailable\r\n";
const std::string monthly =
    "Instance-Type , Memory , CPUs , Network , Linux On Demand cost , Linux Reserved cost\n"
    "a1.large , 4.0 GiB , 2 vCPUs for a 2h burst , \"Up to 10, shared\" , $37.23 monthly , $23.43 monthly\n"
    "u.metal , 18432.0 GiB , 448 vCPUs , 25 , \"$1,460.00 monthly\" , unavailable\n"
    "old.metal , 384.0 GiB , 96 vCPUs , 100 , unavailable , unavailable\n";
const std::string terms = R"({"instance_type": "x.large", "vCPU": 8, "memory": 16, "other": [1], "pricing": {
  "us-east-1": {"linux": {"ondemand": "0.2", "pct_interrupt": "5-10%", "spot_avg": "0.05", "reserved": {
     "yrTerm1Standard.noUpfront": "0.12", "yrTerm3Convertible.allUpfront": "0.08"}}, "emr": {"emr": "0.02"}},
  "us-gov-1": {"linux": {"ondemand": "0.25", "pct_interrupt": null, "spot_avg": null}}}})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("an hourly list gives types and prices; what is unavailable is named") {
  const PriceImport prices = cost::parse_price_list(hourly, "list_2026-07-20.csv").value();
  const PriceCatalogue& catalogue = prices.catalogue;
  CHECK(catalogue.currency == "USD");
  CHECK(catalogue.date == "2026-07-20");
  CHECK(catalogue.source == "list_2026-07-20.csv, on-demand, linux");
  REQUIRE(catalogue.instances.size() == 1);
  CHECK(catalogue.instances[0].name == "a1.large");
  CHECK(catalogue.instances[0].on_demand_per_hour == 0.051);
  CHECK_FALSE(catalogue.instances[0].vcpus);
  CHECK(prices.without_on_demand == std::vector<std::string>{"a1.xlarge"});
  CHECK(PriceCatalogue::parse(to_json(catalogue), "again").value() == catalogue);
  CHECK(fmt::format("{}", prices) ==
        "1 instances, USD, 2026-07-20, list_2026-07-20.csv, on-demand, linux; 1 without an on-demand price");
  CHECK(cost::parse_price_list("\xEF\xBB\xBF" + hourly, "list_2026-07-20.csv").value() == prices);
}

TEST_CASE("a monthly list is 730 hours, and its source says that the term was assumed") {
  const PriceImport prices = cost::parse_price_list(monthly, "monthly.csv", {.date = "2020-01-02"}).value();
  const auto small = prices.catalogue.find("a1.large").value();
  CHECK(small.on_demand_per_hour == Approx(0.051).epsilon(1e-12));
  CHECK(small.vcpus == 2);
  CHECK(small.memory_gib == 4.0);
  REQUIRE(small.reserved.size() == 1);
  CHECK(small.reserved[0].per_hour == Approx(23.43 / 730).epsilon(1e-12));
  CHECK(small.reserved[0].months == 12);
  CHECK(small.reserved[0].payment == Payment::no_upfront);
  CHECK(small.reserved_per_hour == small.reserved[0].per_hour);
  const auto large = prices.catalogue.find("u.metal").value();
  CHECK(large.on_demand_per_hour == Approx(2.0).epsilon(1e-12));
  CHECK(large.reserved.empty());
  CHECK_FALSE(large.reserved_per_hour);
  CHECK(prices.without_on_demand == std::vector<std::string>{"old.metal"});
  CHECK(prices.catalogue.source.find("not stated in the list, taken as one year, no upfront") != std::string::npos);
  CHECK(PriceCatalogue::parse(to_json(prices.catalogue), "again").value() == prices.catalogue);
}

TEST_CASE("a list of terms gives every term, and the spot price with its interruptions") {
  const PriceImport prices = cost::parse_price_list(terms, "x.json", {.date = "2026-07-20"}).value();
  const auto price = prices.catalogue.find("x.large").value();
  CHECK(price.on_demand_per_hour == 0.2);
  CHECK(price.vcpus == 8);
  CHECK(price.memory_gib == 16.0);
  REQUIRE(price.reserved.size() == 2);
  CHECK(price.reserved[0] ==
        cost::ReservedPrice{.months = 12, .payment = Payment::no_upfront, .kind = "standard", .per_hour = 0.12});
  CHECK(price.reserved[1] ==
        cost::ReservedPrice{.months = 36, .payment = Payment::all_upfront, .kind = "convertible", .per_hour = 0.08});
  CHECK(price.reserved_per_hour == 0.12);
  CHECK(price.spot == cost::SpotPrice{.per_hour = 0.05, .interrupted_lower = 0.05, .interrupted_upper = 0.1});
  CHECK(PriceCatalogue::parse(to_json(prices.catalogue), "again").value() == prices.catalogue);
  CHECK(cost::parse_price_list("[" + terms + "]", "x.json", {.date = "2026-07-20"}).value() == prices);

  const PriceImport other =
      cost::parse_price_list(terms, "x.json", {.date = "2026-07-20", .region = "us-gov-1"}).value();
  CHECK_FALSE(other.catalogue.instances.at(0).spot);
  CHECK(other.catalogue.instances.at(0).reserved.empty());

  const auto open_end = cost::parse_price_list(replaced(terms, "5-10%", ">20%"), "2026-07-20").value();
  CHECK(open_end.catalogue.instances[0].spot->interrupted_lower == 0.2);
  CHECK(open_end.catalogue.instances[0].spot->interrupted_upper == 1.0);
  const auto below = cost::parse_price_list(replaced(terms, "5-10%", "<5%"), "2026-07-20").value();
  CHECK(below.catalogue.instances[0].spot->interrupted_lower == 0.0);
  CHECK(below.catalogue.instances[0].spot->interrupted_upper == 0.05);
}

TEST_CASE("lists that break a rule are refused with file and line") {
  struct Case {
    std::string text;
    const char* place;
    const char* word;
  };
  for (const auto& [text, place, word] : std::vector<Case>{
           {"", "2026-07-20.csv", "empty"},
           {"a,b\n1,2\n", "2026-07-20.csv:1", "Instance-Type"},
           {replaced(hourly, "0.051", "0,051"), "2026-07-20.csv:2", "3 cells"},
           {replaced(hourly, "a1.large,0.051", "a1.large"), "2026-07-20.csv:2", "1 cells"},
           {replaced(hourly, "0.051", "-0.051"), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "nan"), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "inf"), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "1e3"), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "0.051x"), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "0.0.51"), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "0"), "2026-07-20.csv:2", "not > 0"},
           {replaced(hourly, "0.051", std::string(400, '9')), "2026-07-20.csv:2", "not a number"},
           {replaced(hourly, "0.051", "\"0.051"), "2026-07-20.csv:2", "quote"},
           {replaced(hourly, "0.051", "\"0.051\" 3"), "2026-07-20.csv:2", "quote"},
           {replaced(hourly, "a1.xlarge", "a1.large"), "2026-07-20.csv:3", "twice"},
           {replaced(hourly, "a1.large", ""), "2026-07-20.csv:2", "empty"},
           {replaced(hourly, "a1.large", "a1\xFF"), "2026-07-20.csv:2", "ASCII"},
           {replaced(hourly, "_linux", "_lin\xFFx"), "2026-07-20.csv:1", "ASCII"},
           {replaced(hourly, "instance_type", "type"), "2026-07-20.csv:1", "instance_type"},
           {replaced(hourly, "0.051", "unavailable"), "2026-07-20.csv", "no type has"},
           {replaced(monthly, "Memory", "Storage"), "2026-07-20.csv:1", "Memory"},
           {replaced(monthly, "Network", "Memory"), "2026-07-20.csv:1", "twice"},
           {replaced(monthly, "4.0 GiB", "4.0 GB"), "2026-07-20.csv:2", "GiB"},
           {replaced(monthly, "2 vCPUs for", "2.5 vCPUs for"), "2026-07-20.csv:2", "whole"},
           {replaced(monthly, "2 vCPUs for", "vCPUs for"), "2026-07-20.csv:2", "vCPUs"},
           {replaced(monthly, "$37.23 monthly", "37.23 monthly"), "2026-07-20.csv:2", "of the form"},
           {replaced(monthly, "$37.23 monthly", "$37.23 yearly"), "2026-07-20.csv:2", "of the form"},
           {replaced(monthly, "$37.23 monthly", "$ monthly"), "2026-07-20.csv:2", "no amount"},
           {replaced(monthly, "$37.23 monthly", "$-37.23 monthly"), "2026-07-20.csv:2", "not a number"},
           {replaced(monthly, "$37.23 monthly", "$0.00 monthly"), "2026-07-20.csv:2", "not > 0"},
           {replaced(monthly, "$23.43 monthly", "$unavailable monthly"), "2026-07-20.csv:2", "no amount"},
           {replaced(terms, "x.large", ""), "2026-07-20.csv", "empty"},
           {replaced(terms, "instance_type", "type"), "2026-07-20.csv", "instance_type"},
           {replaced(terms, "pricing", "price"), "2026-07-20.csv: x.large", "pricing"},
           {replaced(terms, "\"vCPU\": 8", "\"vCPU\": -8"), "2026-07-20.csv: x.large", "vCPU"},
           {replaced(terms, "\"memory\": 16", "\"memory\": -16"), "2026-07-20.csv: x.large", "memory"},
           {replaced(terms, "\"0.2\"", "\"-0.2\""), "2026-07-20.csv: x.large: us-east-1: linux", "ondemand"},
           {replaced(terms, "\"0.2\"", "-0.2"), "2026-07-20.csv: x.large: us-east-1: linux", "ondemand"},
           {replaced(terms, "\"0.2\"", "null"), "2026-07-20.csv", "no type has"},
           {replaced(terms, "yrTerm1Standard", "yrTermStandard"), "2026-07-20.csv: x.large: us-east-1",
            "yrTermStandard"},
           {replaced(terms, "noUpfront", "someUpfront"), "2026-07-20.csv: x.large: us-east-1", "someUpfront"},
           {replaced(terms, "5-10%", "10-5%"), "2026-07-20.csv: x.large: us-east-1", "pct_interrupt"},
           {replaced(terms, "5-10%", "often"), "2026-07-20.csv: x.large: us-east-1", "pct_interrupt"},
           {"[" + terms + "," + terms + "]", "2026-07-20.csv[1]", "twice"},
           {terms.substr(0, 100), "2026-07-20.csv", "JSON"},
       }) {
    const auto parsed = cost::parse_price_list(text, "2026-07-20.csv");
    INFO(text);
    REQUIRE_FALSE(parsed);
    INFO(parsed.error().what());
    CHECK(parsed.error().code() == ErrorCode::corrupt);
    CHECK(parsed.error().subject().substr(0, std::string(place).size()) == place);
    CHECK(std::string(parsed.error().what()).find(word) != std::string::npos);
    CHECK(mcomp_test::well_formed(parsed.error()));
  }
  CHECK(cost::parse_price_list(hourly, "list.csv").error().code() == ErrorCode::invalid_argument);
  CHECK(cost::parse_price_list(hourly, "list.csv", {.date = "2026-13-01"}).error().code() == ErrorCode::corrupt);
  CHECK(cost::import_prices(mcomp_test::temporary_folder() / "2026-07-20.csv").error().code() == ErrorCode::not_found);
  const auto region = cost::parse_price_list(terms, "2026-07-20", {.region = "us-east-2"});
  REQUIRE_FALSE(region);
  CHECK(region.error().code() == ErrorCode::not_found);
  CHECK(region.error().remedy().find("us-east-1") != std::string::npos);
  CHECK(cost::parse_price_list(terms, "2026-07-20", {.operating_system = "linus"}).error().code() ==
        ErrorCode::not_found);
}

TEST_CASE("published lists are read whole") {
  const auto hourly_path = mcomp_test::data("prices/aws_us-east-1_ondemand_2026-07-20.csv");
  const auto monthly_path = mcomp_test::data("prices/ec2_ondemand_reserved_monthly.csv");
  const auto terms_path = mcomp_test::data("prices/x2iedn.32xlarge_all_terms.json");
  if (!hourly_path || !monthly_path || !terms_path) return;

  const PriceImport on_demand = cost::import_prices(*hourly_path).value();
  CHECK(on_demand.catalogue.instances.size() == 1367);
  CHECK(on_demand.without_on_demand.empty());
  CHECK(on_demand.catalogue.date == "2026-07-20");
  CHECK(on_demand.catalogue.find("a1.2xlarge").value().on_demand_per_hour == 0.204);

  // 265 rows; ten have no on-demand price, and four more no reserved one.
  const PriceImport reserved = cost::import_prices(*monthly_path, {.date = "2020-06-01"}).value();
  std::size_t with = 0;
  for (const auto& price : reserved.catalogue.instances) with += price.reserved_per_hour.has_value();
  CHECK(reserved.catalogue.instances.size() + reserved.without_on_demand.size() == 265);
  CHECK(reserved.without_on_demand.size() == 10);
  CHECK(with == 251);
  CHECK(reserved.catalogue.find("a1.2xlarge").value().reserved_per_hour == Approx(93.80 / 730).epsilon(1e-14));
  CHECK(PriceCatalogue::parse(to_json(reserved.catalogue), "again").value() == reserved.catalogue);

  const PriceImport all = cost::import_prices(*terms_path, {.date = "2026-07-20"}).value();
  const auto price = all.catalogue.find("x2iedn.32xlarge").value();
  CHECK(price.vcpus == 128);
  CHECK(price.memory_gib == 4096.0);
  CHECK(price.on_demand_per_hour == 26.676);
  CHECK(price.reserved.size() == 12);
  CHECK(price.spot == cost::SpotPrice{.per_hour = 6.669, .interrupted_lower = 0.05, .interrupted_upper = 0.1});
  std::map<std::pair<std::int64_t, Payment>, double> standard;
  for (const auto& term : price.reserved)
    if (term.kind == "standard") standard[{term.months, term.payment}] = term.per_hour;
  CHECK(standard.size() == 6);
  CHECK(standard[{36, Payment::all_upfront}] == 7.447412);
  CHECK(standard[{12, Payment::no_upfront}] == 16.41374);
  // The hourly list of the same day has the same price.
  CHECK(on_demand.catalogue.find("x2iedn.32xlarge").value().on_demand_per_hour == price.on_demand_per_hour);
}
