// forecast as a user runs it: traces, prices, latencies and policies of every kind, what it writes, and what it
// refuses.

#include <fstream>

#include "chart.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "run_program.hpp"

namespace {

using Json = nlohmann::json;
using namespace mcomp;

std::string write(const std::string& name, const std::string& text) {
  static const std::filesystem::path folder = mcomp_test::temporary_folder();
  const auto path = folder / name;
  std::ofstream(path, std::ios::binary) << text;
  return path.string();
}

Json run(const std::string& arguments, int expected = 0, std::filesystem::path* folder = nullptr) {
  const std::string few = arguments.find("--replicates") == std::string::npos ? " --replicates 20" : "";
  return mcomp_test::run_program(MCOMP_FORECAST, arguments + few, expected, folder);
}

/// Fails, and says what `word` names.
void refuse(const std::string& arguments, const std::string& word) {
  const Json report = run(arguments, 1);
  INFO(report.dump(1));
  REQUIRE(report.contains("error"));
  const Json& error = report["error"];
  CHECK((error["subject"].get<std::string>() + error["rule"].get<std::string>() + error["remedy"].get<std::string>())
            .find(word) != std::string::npos);
}

/// Requests a minute, 100 a second, for so many minutes.
std::string minutes(int count, const std::string& line_end = "\n", double requests = 6000) {
  std::string text = "minute,requests" + line_end;
  for (int i = 0; i < count; ++i) text += fmt::format("{},{}{}", i, requests, line_end);
  return text;
}

const std::string one_price =
    R"({"currency": "EUR", "date": "2026-07-20", "source": "test", "instances": [{"name": "box", "on_demand_per_hour": 1}]})";

/// 100 requests a second of 50 and of 30 ms on schedules of 10 and 6 machines at 1 EUR an hour.
std::string by_hand(const std::string& trace) {
  return fmt::format("--trace '{}' --prices '{}' --baseline-latency '{}' --candidate-latency '{}' --latency-unit ms "
                     "--scaling scheduled --schedule 0:10 --candidate-schedule 0:6 --compress-cost 5840 ",
                     trace, write("one_price.json", one_price), write("50.csv", "50\n50\n"),
                     write("30.json", "[30, 30]"));
}

/// Every element is closed in turn, and text holds no bare sign: what a picture needs to be read at all.
void check_xml(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    const std::size_t end = text.find('>', at);
    REQUIRE(end != std::string::npos);
    const std::string tag = text.substr(at + 1, end - at - 1);
    CHECK(tag.find('<') == std::string::npos);
    if (tag.front() == '/') {
      REQUIRE_FALSE(open.empty());
      CHECK(open.back() == tag.substr(1));
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  CHECK(open.empty());
  for (std::size_t at = text.find('&'); at != std::string::npos; at = text.find('&', at + 1))
    CHECK(text.substr(at, 6).find(';') != std::string::npos);
}

} // namespace

TEST_CASE("forecast: an hour by hand, with lines that end in CR LF") {
  std::filesystem::path out;
  const Json report = run(by_hand(write("hour.csv", minutes(60, "\r\n"))) + "--candidate-label 'int8 <&>'", 0, &out);
  const Json& f = report["forecast"];
  CHECK(f["schema"] == "mcomp-forecast-1");
  CHECK(f["baseline"]["per_month"].get<double>() == Approx(7300));
  CHECK(f["candidate"]["per_month"].get<double>() == Approx(4380));
  CHECK(f["saving"]["per_month"].get<double>() == Approx(2920));
  CHECK(f["break_even"]["months"].get<double>() == Approx(2));
  CHECK(f["baseline"]["per_million_requests"].get<double>() == Approx(7300 / (100 * 3600 * 730.) * 1e6));
  CHECK(report["decision"] == "adopt");
  CHECK(Json::parse(read_file(out / "forecast.json").value()) == f);
  const std::string text = read_file(out / "forecast.txt").value();
  // Each number names its inputs, and those their files.
  for (const Json& row : report["results"]) CHECK_FALSE(row["from"].get<std::string>().empty());
  for (const Json& row : report["inputs"]) {
    INFO(row.dump());
    CHECK_FALSE(row["from"].get<std::string>().empty());
    CHECK(text.find(row["from"].get<std::string>()) != std::string::npos);
  }
  CHECK(text.find("hour.csv (sha256 ") != std::string::npos);
  const std::string svg = read_file(out / "forecast.svg").value();
  check_xml(svg);
  CHECK(svg.find("int8 &lt;&amp;&gt;") != std::string::npos);
  CHECK(svg.find("stroke-dasharray=\"7 3\"") != std::string::npos);
  CHECK(svg.find("EUR") != std::string::npos);
}

TEST_CASE("forecast: without arguments it forecasts a synthetic fortnight") {
  std::filesystem::path out;
  const Json report = run("", 0, &out);
  CHECK(report["forecast"]["trace"]["hours"] == 14 * 24);
  CHECK(report["forecast"]["saving"]["per_month"].get<double>() > 0);
  CHECK(report["forecast"]["saving"]["per_month_interval"]["lower"].get<double>() > 0);
  check_xml(read_file(out / "forecast.svg").value());
  CHECK(read_file(out / "forecast.txt").value().find("made up") != std::string::npos);
}

TEST_CASE("forecast: traces with gaps, without traffic and of one minute") {
  const Json gaps = run("--trace '" + write("gaps.csv", "minute,requests\n0,6000\n1,6000\n30,6000\n31,6000\n") + "'");
  CHECK(gaps["forecast"]["trace"]["filled"] == 28);
  refuse("--gaps refuse --trace '" + write("gaps.csv", "minute,requests\n0,6000\n1,6000\n30,6000\n31,6000\n") + "'",
         "not recorded");
  std::filesystem::path out;
  const Json silent = run("--trace '" + write("zero.csv", minutes(1500, "\n", 0)) + "'", 0, &out);
  CHECK(silent["forecast"]["saving"]["per_month"] == 0);
  CHECK(silent["forecast"]["baseline"]["per_million_requests"].is_null());
  check_xml(read_file(out / "forecast.svg").value());
  const Json minute = run("--trace '" + write("minute.csv", minutes(1)) + "'", 0, &out);
  CHECK(minute["forecast"]["trace"]["intervals"] == 1);
  check_xml(read_file(out / "forecast.svg").value());
  run("--gate --trace '" + write("zero.csv", minutes(1500, "\n", 0)) + "'", 3);
  const Json flood = run("--gate --trace '" + write("flood.csv", minutes(10, "\n", 1e12)) + "'", 4);
  CHECK(flood["forecast"]["baseline"]["objective_kept"] == false);
}

TEST_CASE("forecast: arrivals with tokens") {
  std::string text = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  for (int i = 0; i < 3600; ++i)
    text += fmt::format("2023-11-16 18:{:02}:{:02}.5,{},{}\n", i / 60, i % 60, 100, 20 + i % 2 * 20);
  const std::string trace = "--trace '" + write("tokens.csv", text) + "' ";
  const std::string rates = "--baseline-fixed-seconds 0.1 --baseline-seconds-per-prompt-token 0.001 "
                            "--baseline-seconds-per-generated-token 0.01 --candidate-fixed-seconds 0.1 "
                            "--candidate-seconds-per-generated-token 0.01 --objective-ms 5000 ";
  const Json report = run(trace + rates);
  const Json& f = report["forecast"];
  CHECK(f["baseline"]["mean_service_seconds"].get<double>() == Approx(0.5));
  CHECK(f["candidate"]["mean_service_seconds"].get<double>() == Approx(0.4));
  CHECK(f["baseline"]["per_million_tokens"].get<double>() ==
        Approx(f["baseline"]["per_million_requests"].get<double>() / 130));
  // The last arrival is 3599 s after the first: a second is missing of the last minute.
  CHECK(f["notes"].dump().find("the recording ends 59 s into its last interval of 60 s") != std::string::npos);
  CHECK(run(trace + rates + "--interval-seconds 1")["forecast"]["notes"].dump().find("the recording ends 0 s") !=
        std::string::npos);
  refuse(trace + rates + "--tokens-per-request 5", "tokens");
  refuse("--trace '" + write("hour.csv", minutes(60)) + "' " + rates, "single arrivals");
  refuse(trace + rates + "--baseline-latency x.csv", "both");
}

TEST_CASE("forecast: traces and latencies as other programs write them") {
  const std::string latencies =
      "--baseline-latency '" + write("quoted_latency.csv", "\"round\",\"seconds\"\r\n\"1,a\", \"0.05\"\r\n2,0.05\r\n") +
      "' --latency-column seconds ";
  const Json counts =
      run(latencies + "--candidate-latency '" + write("other.csv", "round,seconds\n1,0.04\n") + "' --trace '" +
          write("quoted.csv", "\xEF\xBB\xBF\"minute\", \"requests\"\r\n\"0\", \"6000\"\r\n1.0, 6000\r\n") + "'");
  CHECK(counts["forecast"]["trace"]["requests"] == 12000);
  CHECK(counts["forecast"]["baseline"]["mean_service_seconds"].get<double>() == Approx(0.05));
  CHECK(counts["forecast"]["candidate"]["mean_service_seconds"].get<double>() == Approx(0.04));
  const Json zones = run("--trace '" +
                         write("zones.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n"
                                            "2024-05-10 00:00:00.009930+00:00,2162,5\n"
                                            "2024-05-10 00:00:30.017335+00:00,2399,6\n") +
                         "'");
  CHECK(zones["forecast"]["trace"]["requests"] == 2);
}

TEST_CASE("forecast: names that are no UTF-8 and very long leave JSON and picture whole") {
  std::filesystem::path out;
  const std::string name = "gr\xFC\xDF"
                           "e \xE2\x82\xAC " +
                           std::string(300, 'x');
  const Json report = run(by_hand(write("hour.csv", minutes(60))) + "--candidate-label '" + name + "'", 0, &out);
  CHECK(report["forecast"]["candidate"]["label"].get<std::string>().find("\xE2\x82\xAC") != std::string::npos);
  const std::string svg = read_file(out / "forecast.svg").value();
  check_xml(svg);
  CHECK(svg.find("gr\uFFFD\uFFFD"
                 "e \u20AC") != std::string::npos);
  CHECK(svg.find('\xFC') == std::string::npos);
  CHECK(svg.find("saves 2920.00 EUR a month") != std::string::npos); // the title keeps its figure
}

TEST_CASE("forecast: the mix of commitments is said, and a candidate that costs more in every hour") {
  std::filesystem::path out;
  const std::string prices = write(
      "reserved.json", R"({"currency": "USD", "date": "2026-07-20", "source": "test", "instances": [{"name": "box",
      "on_demand_per_hour": 1, "reserved": [{"months": 12, "payment": "no upfront", "kind": "standard",
      "per_hour": 0.6}]}]})");
  const std::string sides =
      fmt::format("--prices '{}' --baseline-latency '{}' --candidate-latency '{}' --latency-unit ms "
                  "--scaling scheduled --schedule 0:6 --candidate-schedule 0:10 --commitments",
                  prices, write("30.json", "[30, 30]"), write("50.csv", "50\n50\n"));
  const Json report = run("--trace '" + write("hour.csv", minutes(60)) + "' " + sides, 0, &out);
  CHECK(report["forecast"]["baseline"]["committed_per_month"].get<double>() == Approx(6 * 0.6 * 730));
  const std::string text = read_file(out / "forecast.txt").value();
  CHECK(text.find("baseline: 6 of 12 months, no upfront, standard\n") != std::string::npos);
  CHECK(text.find("candidate: 10 of 12 months, no upfront, standard\n") != std::string::npos);
  CHECK(text.find("costs 66.7% more for machines, 2920.00 USD a month") != std::string::npos);
  CHECK(text.find("2920.00 USD more a month") != std::string::npos);
}

TEST_CASE("forecast: price lists of every kind") {
  const std::string trace = "--trace '" + write("hour.csv", minutes(60)) + "' ";
  const auto price = [&](const std::string& arguments) {
    return run(trace + arguments)["forecast"]["baseline"]["price_per_hour"].get<double>();
  };
  const std::string list =
      write("list_2026-07-20.csv", "instance_type,usd_per_hour_ondemand_linux\r\na.1,0.25\r\nb.1,unavailable\r\n");
  CHECK(price("--prices '" + list + "'") == 0.25); // the only one
  refuse(trace + "--prices '" + list + "' --instance b.1", "a.1");
  refuse(trace + "--prices '" + list + "' --instance b.1", "unavailable");
  const std::string monthly =
      write("monthly.csv", "Instance-Type , Memory , CPUs , Linux On Demand cost , Linux Reserved cost\n"
                           "a.1 , 16.0 GiB , 8 vCPUs , $73.00 monthly , $36.50 monthly\n"
                           "b.1 , 16.0 GiB , 8 vCPUs , $146.00 monthly , unavailable\n");
  refuse(trace + "--prices '" + monthly + "' --instance a.1", "--price-date");
  CHECK(price("--prices '" + monthly + "' --instance a.1 --price-date 2026-07-20 --commitments --expiring 3") ==
        Approx(0.1));
  refuse(trace + "--prices '" + monthly + "' --price-date 2026-07-20", "none is named");
  refuse(trace + "--prices '" + monthly + "' --price-date 2026-07-20 --instance b.1 --expiring 3", "reserved");
  const std::string terms = write("terms.json", R"({"instance_type": "x.1", "pricing": {"us-east-1": {"linux":
      {"ondemand": "2.5", "reserved": {"yrTerm1Standard.noUpfront": "1.5"}}}}})");
  CHECK(price("--prices '" + terms + "' --price-date 2026-07-20") == 2.5);
  refuse(trace + "--prices '" + terms + "' --price-date 2026-07-20 --price-region mars", "mars");
  refuse(trace + "--prices '" + write("neither.json", "{\"a\": 1}") + "'", "neither");
  refuse(trace + "--prices '" + write("broken.json", "{\"a\": ") + "'", "JSON");
  refuse(trace + "--prices '" + write("one_price.json", one_price) + "' --price-date 2026-07-20", "its own date");
}

TEST_CASE("forecast: what cannot be is refused before any work") {
  const auto trace = [](const std::string& text) { return "--trace '" + write("bad.csv", text) + "'"; };
  refuse(trace(""), "empty");
  refuse(trace("minute,requests\n"), "no line of data");
  refuse(trace("minute,requests\n0,5\n1,-3\n"), "-3");
  refuse(trace("minute,requests\n-1,5\n"), "negative");
  refuse(trace("minute,requests\n5,5\n2,5\n"), "not after");
  refuse(trace("minute,requests\n0,many\n"), "many");
  refuse(trace("time,count\n0,5\n"), "neither");
  refuse(trace("TIMESTAMP,requests\n0,5\n"), "both");
  refuse(trace(std::string("\xFF\xFEm\0i\0n\0,\0r\0\n\0", 14)), "neither"); // UTF-16: no text of ours, and none of JSON
  refuse("--trace nowhere.csv", "nowhere.csv");
  const std::string hour = "--trace '" + write("hour.csv", minutes(60)) + "' ";
  refuse(hour + "--baseline-latency '" + write("l.csv", "seconds\n0.1\n-0.1\n") + "'", "-0.1");
  refuse(hour + "--baseline-latency '" + write("l.csv", "0.1\nx\n") + "'", "line 2");
  refuse(hour + "--baseline-latency '" + write("l.csv", "a,b\n1,2\n") + "'", "--latency-column");
  refuse(hour + "--baseline-latency '" + write("l.csv", "latency_ms\n1\n") + "'", "--latency-unit");
  refuse(hour + "--baseline-latency '" + write("l.csv", "seconds\n") + "'", "no latency");
  refuse(hour + "--baseline-latency '" + write("l.json", "{\"milliseconds\": [1]}") + "'", "other keys");
  refuse(hour + "--target 1.2", "target");
  refuse(hour + "--compress-cost 1e308 --evaluate-cost 1e308", "inf");
  refuse(hour + "--scaling queue --target 0.5", "no use");
  refuse(hour + "--scaling scheduled", "--schedule");
  refuse(hour + "--scaling scheduled --schedule 0:x", "0:x");
  refuse(hour + "--policy '" + write("p.json", "{\"targte\": 1}") + "'", "targte");
  refuse(hour + "--quantile 0.9", "0.95");
  refuse(hour + "--slices '" + write("s.json", "[{\"name\": 1}]") + "'", "slice 0");
  refuse(hour + "--log log.json", "--date");
  run("--peak-instances 5 --scale 2", 2);
  run("--objective-ms 0", 2);
}

TEST_CASE("forecast: the policy file, the scale, slices and the log") {
  const std::string policy = write(
      "policy.json", R"({"policy": "scheduled", "schedule": "0:4", "candidate_schedule": "0:2", "boot_seconds": 9})");
  const std::string hour = "--trace '" + write("hour.csv", minutes(60)) + "' ";
  const Json scheduled = run(hour + "--policy '" + policy + "'");
  CHECK(scheduled["forecast"]["baseline"]["mean_instances"].get<double>() == Approx(4));
  CHECK(scheduled["forecast"]["candidate"]["mean_instances"].get<double>() == Approx(2));
  const Json before = run(hour + "--policy '" + policy + "' --schedule 0:5");
  CHECK(before["forecast"]["baseline"]["mean_instances"].get<double>() == Approx(5));
  const Json peak = run(hour + "--peak-instances 50 --slices '" +
                        write("s.json", R"([{"name": "night", "traffic_share": 0.03, "accuracy_loss": 0.02}])") + "'");
  CHECK(peak["forecast"]["baseline"]["peak_instances"].get<double>() >= 50);
  CHECK(peak["forecast"]["baseline"]["peak_instances"].get<double>() < 53);
  CHECK(peak["forecast"]["slices"][0]["risky"] == true);
  CHECK(peak["inputs"][1]["what"] == "scaled");
  const std::string log = (std::filesystem::path(hour.substr(9, hour.rfind('/') - 9)) / "log.json").string();
  const Json first = run(hour + "--recipe a --date 2026-07-20 --log '" + log + "'");
  CHECK_FALSE(first.contains("due"));
  const Json second = run(hour + "--recipe b --date 2026-07-21 --scale 3 --log '" + log + "'");
  CHECK(second["due"]["needed"] == true);
  CHECK(second["due"]["reasons"].size() >= 2);
  CHECK(Json::parse(read_file(log).value())["records"].size() == 2);
}

TEST_CASE("forecast: a recorded service at fifty instances") {
  const auto trace = mcomp_test::data("traffic/twitter_requests_per_minute.csv");
  const auto prices = mcomp_test::data("prices/aws_us-east-1_ondemand_2026-07-20.csv");
  if (!trace || !prices) return;
  const Json report =
      run(fmt::format("--trace '{}' --prices '{}' --instance c7i.large --peak-instances 50 --replicates 0",
                      trace->string(), prices->string()));
  CHECK(report["forecast"]["baseline"]["peak_instances"].get<double>() >= 50);
  CHECK(report["forecast"]["trace"]["filled"] == 611);
  CHECK(report["forecast"]["saving"]["per_month"].get<double>() > 0);
}

TEST_CASE("a long series is drawn by its means, least and most values") {
  std::vector<double> values(10);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  const auto columns = example::downsample(values, 4); // threes, and one that is left
  REQUIRE(columns.size() == 4);
  CHECK(columns[1].mean == Approx(4));
  CHECK(columns[1].low == 3);
  CHECK(columns[1].high == 5);
  CHECK(columns[3].mean == 9);
  CHECK(example::downsample(values, 100).size() == 10);
  CHECK(example::downsample({}, 4).empty());
}
