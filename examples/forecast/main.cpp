// What a compression is worth on recorded traffic: baseline and candidate replayed on a trace under a scaling policy
// and priced; as JSON, as a table in which every number names its inputs, and as a picture.

#include <cmath>
#include <filesystem>
#include <thread>

#include "chart.hpp"
#include "inputs.hpp"
#include "mcomp/core/executor.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"
#include "mcomp/cost/forecast_log.hpp"
#include "program.hpp"
#include "progress_line.hpp"
#include "rules.hpp"
#include "table.hpp"

namespace {

using namespace example;
using namespace mcomp::cost;
using mcomp::Error;
using mcomp::ErrorCode;
using mcomp::Result;
using mcomp::Status;
using Json = Report::Json;

struct SideArguments {
  std::string label, latency, instance;
  TokenRate tokens;
  std::int64_t batch = 1, servers = 1;
  double storage_gib = 0, egress_kib = 0;
};

struct Options {
  TraceArguments trace;
  PriceArguments prices;
  RuleArguments rules;
  SideArguments baseline{.label = "baseline", .latency = {}, .instance = {}, .tokens = {}},
      candidate{.label = "candidate", .latency = {}, .instance = {}, .tokens = {}};
  std::string latency_unit, latency_column, slices, storage, recipe, log, date;
  double objective_ms = 100, quantile = 0.95, drop_share = 0.001, batch_wait_ms = 0;
  std::optional<double> scale, tokens_per_request;
  std::optional<std::int64_t> peak_instances;
  double compress_cost = 0, evaluate_cost = 0, growth = 0;
  bool commitments = false, gate = false;
  std::optional<std::int64_t> expiring, most_spot;
  std::int64_t commitment_months = OfferOptions{}.horizon_months;
  std::int64_t staying = 0;
  double probability = 1, months_until = 0;
  ForecastOptions how;
  int threads = 1;
};

void add_side(CLI::App& app, const std::string& side, SideArguments& a) {
  const std::string prefix = "--" + side + "-";
  app.add_option(prefix + "label", a.label, "What the " + side + " is called")->capture_default_str();
  app.add_option(prefix + "latency", a.latency,
                 "Measured service times of the " + side +
                     ", one request (or batch) each: CSV or JSON; default: made-up "
                     "ones of this example");
  app.add_option(prefix + "fixed-seconds", a.tokens.fixed,
                 "In place of a file, for traces with tokens: seconds a request");
  app.add_option(prefix + "seconds-per-prompt-token", a.tokens.per_prompt, "and for each prompt token");
  app.add_option(prefix + "seconds-per-generated-token", a.tokens.per_generated, "and for each generated token");
  app.add_option(prefix + "batch", a.batch, "Requests that are served together")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  app.add_option(prefix + "servers", a.servers, "Workers on one instance")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  app.add_option(prefix + "storage-gib", a.storage_gib, "Kept all the time, at the price of --storage")
      ->check(CLI::NonNegativeNumber);
  app.add_option(prefix + "egress-kib-per-request", a.egress_kib, "Sent out, at the tiers of the price list")
      ->check(CLI::NonNegativeNumber);
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--trace", o.trace.file,
                 "Requests per interval, or single arrivals (CSV); default: a synthetic fortnight");
  app.add_option("--trace-kind", o.trace.kind, "auto tells it by the column names")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "requests", "arrivals"}));
  app.add_option("--time-column", o.trace.time_column, "Default: minute, or TIMESTAMP of arrivals");
  app.add_option("--requests-column", o.trace.requests_column)->capture_default_str();
  app.add_option("--prompt-column", o.trace.prompt_column, "Default: ContextTokens, where it is there");
  app.add_option("--generated-column", o.trace.generated_column, "Default: GeneratedTokens, where it is there");
  app.add_option("--interval-seconds", o.trace.interval_seconds, "Of the trace; arrivals are counted by it")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--gaps", o.trace.gaps, "Intervals that were not recorded: fill, silence or refuse")
      ->capture_default_str()
      ->check(CLI::IsMember({"fill", "silence", "refuse"}));
  app.add_option("--prices", o.prices.file,
                 "Price list: JSON of mcomp, on-demand CSV, monthly CSV, terms JSON; default: that of this example");
  app.add_option("--prices-kind", o.prices.kind, "auto tells it by content")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "json", "list"}));
  app.add_option("--price-date", o.prices.date, "Of a list whose name has none: 2026-07-20");
  app.add_option("--price-region", o.prices.region, "Of a terms JSON")->capture_default_str();
  app.add_option("--price-system", o.prices.system, "Of a terms JSON")->capture_default_str();
  app.add_option("--price-currency", o.prices.currency, "Of a terms JSON")->capture_default_str();
  app.add_option("--instance", o.baseline.instance,
                 "Type of machine; default: the only one of the list, c5.large of this example's");
  app.add_option("--candidate-instance", o.candidate.instance, "Where the candidate runs on another");
  add_side(app, "baseline", o.baseline);
  add_side(app, "candidate", o.candidate);
  app.add_option("--latency-unit", o.latency_unit, "s (default), ms or us")->check(CLI::IsMember({"s", "ms", "us"}));
  app.add_option("--latency-column", o.latency_column, "Of CSV files with several columns");
  app.add_option("--batch-wait-ms", o.batch_wait_ms, "Most that a request waits for its batch")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--storage", o.storage, "Name of the storage in the price list");
  app.add_option("--policy", o.rules.file, "Scaling rules (JSON); the options below go before it");
  app.add_option("--scaling", o.rules.policy, "target (default), queue, scheduled or predictive")
      ->check(CLI::IsMember({"target", "queue", "scheduled", "predictive"}));
  app.add_option("--target", o.rules.target, "Busy share that is aimed at (target, predictive; default 0.6)");
  app.add_option("--tolerance", o.rules.tolerance, "Of the target, relative (default 0.1)");
  app.add_option("--lookahead-seconds", o.rules.lookahead_seconds, "Of predictive (default 600)");
  app.add_option("--queue-high", o.rules.queue_high, "Waiting requests an instance that add machines (default 1)");
  app.add_option("--queue-low", o.rules.queue_low, "and that remove one (default 0.05)");
  app.add_option("--queue-step", o.rules.step, "Share of the fleet that is added (default 0.2)");
  app.add_option("--schedule", o.rules.schedule, "Hours and instances: 0:10,8.5:40");
  app.add_option("--candidate-schedule", o.rules.candidate_schedule, "Where the candidate has another");
  app.add_option("--decision-seconds", o.rules.decision_seconds, "How often the policy looks (default 60)");
  app.add_option("--boot-seconds", o.rules.boot_seconds, "Until a new instance serves (default 120)");
  app.add_option("--candidate-boot-seconds", o.rules.candidate_boot_seconds, "Where it differs");
  app.add_option("--cooldown-out-seconds", o.rules.cooldown_out_seconds,
                 "After growth, until it may grow again (default 0)");
  app.add_option("--cooldown-in-seconds", o.rules.cooldown_in_seconds,
                 "After any change, until it may shrink (default 300)");
  app.add_option("--min-instances", o.rules.min_instances, "Default 1");
  app.add_option("--max-instances", o.rules.max_instances, "Default 1000");
  app.add_option("--queue-limit", o.rules.queue_limit, "Requests beyond it are dropped (default: none are)");
  app.add_option("--objective-ms", o.objective_ms, "Response time that a share of requests keeps")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--quantile", o.quantile, "That share: 0.5, 0.95 or 0.99")->capture_default_str();
  app.add_option("--drop-share", o.drop_share, "Of requests that may be dropped")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  auto* scale = app.add_option("--scale", o.scale, "Times the traffic of the trace")->check(CLI::NonNegativeNumber);
  app.add_option("--peak-instances", o.peak_instances, "Scale the trace until the baseline has so many at its peak")
      ->check(CLI::Range(1, 100000))
      ->excludes(scale);
  app.add_option("--tokens-per-request", o.tokens_per_request, "Mean, where the trace has no tokens")
      ->check(CLI::PositiveNumber);
  app.add_option("--compress-cost", o.compress_cost, "Once, in the currency of the prices")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--evaluate-cost", o.evaluate_cost, "Once")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--growth", o.growth, "Of traffic a month: 0.02 for 2 %")->capture_default_str();
  app.add_option("--horizon-months", o.how.horizon_months, "A later break-even is not worth it")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--slices", o.slices, "Share of traffic and accuracy loss by slice (JSON)");
  app.add_flag("--commitments", o.commitments, "Find the best mix of reserved and on-demand machines for either side");
  app.add_option("--commitment-months", o.commitment_months,
                 "How long the machines are needed; what a term binds beyond it is lost")
      ->capture_default_str()
      ->check(CLI::Range(1, 1200));
  app.add_option("--most-spot", o.most_spot, "Machines of it that may be spot ones")->check(CLI::NonNegativeNumber);
  app.add_option("--expiring", o.expiring, "Reservations that run out: how many to renew")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--staying", o.staying, "Reservations that stay")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--adoption-probability", o.probability, "Of the candidate, for the renewal")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--months-until-adoption", o.months_until)->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--recipe", o.recipe, "Name of what makes the candidate, kept in the log");
  app.add_option("--log", o.log, "Log of forecasts (JSON): says whether a new one was due, and keeps this one");
  app.add_option("--date", o.date, "Of this forecast, for the log: 2026-07-20");
  app.add_flag("--gate", o.gate, "Exit with 3 where the advice is against it, 4 where it is undecided");
  app.add_option("--replicates", o.how.replicates, "Of the interval, 0 for none")->capture_default_str();
  app.add_option("--level", o.how.level, "Of the interval")->capture_default_str();
  app.add_option("--block-days", o.how.block_days, "Days drawn together; 0: 7 from 21 days on, else 1")
      ->capture_default_str();
  app.add_option("--step", o.how.step, "Of the sensitivity")->capture_default_str();
  app.add_option("--seed", o.how.seed)->capture_default_str();
  app.add_option("--threads", o.threads)->capture_default_str()->check(CLI::Range(1, 1024));
}

/// Fills service times of one side, and says where they come from.
Status take_service(const Options& o, const SideArguments& a, const Trace& trace, const char* key, const char* example,
                    ForecastSide& side, std::vector<Source>& sources) {
  const auto keep = [&](const std::string& value, std::string from) {
    std::string more;
    if (a.batch > 1) more += fmt::format(", batches of {}", a.batch);
    if (a.servers > 1) more += fmt::format(", {} servers an instance", a.servers);
    sources.push_back({key, side.label, value + more, std::move(from)});
  };
  if (a.tokens.given()) {
    if (!a.latency.empty())
      return Error(ErrorCode::invalid_argument, side.label, "it has both a latency file and seconds for tokens",
                   "pass one of them");
    if (!trace.arrivals)
      return Error(ErrorCode::invalid_argument, side.label, "seconds for tokens need a trace of single arrivals",
                   "pass such a trace, or a latency file");
    const auto work = trace.arrivals->work_seconds(a.tokens.fixed.value_or(0), a.tokens.per_prompt.value_or(0),
                                                   a.tokens.per_generated.value_or(0));
    if (!work) return work.error();
    auto service = ServiceTime::empirical(*work);
    if (!service) return service.error();
    keep(fmt::format("{} requests, mean {:.4g} s", work->size(), service->mean()),
         fmt::format("options: {:g} s + {:g} s a prompt token + {:g} s a generated token, of the requests of T",
                     a.tokens.fixed.value_or(0), a.tokens.per_prompt.value_or(0), a.tokens.per_generated.value_or(0)));
    side.service = std::move(*service);
    return {};
  }
  const bool own = !a.latency.empty();
  const std::string file = own ? a.latency : example_file(example);
  auto seconds = own ? read_latencies(file, o.latency_column, o.latency_unit) : read_latencies(file, "", "s");
  if (!seconds) return seconds.error();
  const auto service = ServiceTime::empirical(*seconds);
  if (!service) return service.error();
  const auto from = described(file);
  if (!from) return from.error();
  keep(fmt::format("{} service times, mean {:.4g} ms, p95 {:.4g} ms", seconds->size(), service->mean() * 1e3,
                   service->quantile(0.95) * 1e3),
       own ? *from : *from + ", made up for this example");
  side.service_seconds = std::move(*seconds);
  return {};
}

/// "c5.large, 2 vCPUs: 0.085 an hour, reserved 0.054 (1 year, no upfront), spot 0.03"
std::string priced(const InstancePrice& machine) {
  std::string text = machine.name;
  if (machine.vcpus) text += fmt::format(", {} vCPUs", *machine.vcpus);
  text += fmt::format(": {:.6g} an hour", machine.on_demand_per_hour);
  if (machine.reserved_per_hour)
    text += fmt::format(", reserved {:.6g} ({})", *machine.reserved_per_hour, machine.term);
  if (machine.spot) text += fmt::format(", spot {:.6g}", machine.spot->per_hour);
  return text;
}

Result<ForecastInputs> collect(const Options& o, Trace& trace, std::vector<Source>& sources) {
  auto prices = read_prices(o.prices);
  if (!prices) return prices.error();
  auto rules = read_rules(o.rules);
  if (!rules) return rules.error();
  ForecastInputs in;
  for (const auto& [side, a] : {std::pair(&in.baseline, &o.baseline), std::pair(&in.candidate, &o.candidate)}) {
    side->label = a->label;
    side->batch_size = a->batch;
    side->batch_wait_seconds = o.batch_wait_ms / 1e3;
    side->servers_per_instance = a->servers;
    side->storage = o.storage;
    side->storage_gib = a->storage_gib;
    side->egress_gib_per_request = a->egress_kib / (1024 * 1024);
  }
  const bool own_prices = !o.prices.file.empty();
  auto instance =
      choose_instance(*prices, o.baseline.instance.empty() && !own_prices ? "c5.large" : o.baseline.instance);
  if (!instance) return instance.error();
  in.baseline.instance = *instance;
  auto other = choose_instance(*prices, o.candidate.instance.empty() ? *instance : o.candidate.instance);
  if (!other) return other.error();
  in.candidate.instance = *other;
  in.prices = std::move(prices->catalogue);
  const auto before = in.prices.find(*instance), after = in.prices.find(*other);
  if (!before) return before.error();
  if (!after) return after.error();

  sources.insert(sources.end(), trace.sources.begin(), trace.sources.end());
  if (const Status taken = take_service(o, o.baseline, trace, "B", "baseline_latency.csv", in.baseline, sources);
      !taken)
    return taken.error();
  if (const Status taken = take_service(o, o.candidate, trace, "C", "candidate_latency.csv", in.candidate, sources);
      !taken)
    return taken.error();
  sources.insert(sources.end(), prices->sources.begin(), prices->sources.end());
  sources.push_back({"I", "instances",
                     *instance == *other ? priced(*before) : priced(*before) + "; candidate on " + priced(*after),
                     "options, found in P"});
  in.scaling = rules->scaling;
  in.candidate.policy = rules->candidate_policy;
  in.candidate.boot_seconds = rules->candidate_boot_seconds;
  sources.insert(sources.end(), rules->sources.begin(), rules->sources.end());

  const double seconds = o.objective_ms / 1e3;
  if (o.quantile == 0.5)
    in.objective.p50_seconds = seconds;
  else if (o.quantile == 0.95)
    in.objective.p95_seconds = seconds;
  else if (o.quantile == 0.99)
    in.objective.p99_seconds = seconds;
  else
    return Error(ErrorCode::invalid_argument, "--quantile",
                 fmt::format("{} is none of those that a replay finds", o.quantile), "pass 0.5, 0.95 or 0.99");
  in.drop_share = o.drop_share;
  in.tokens_per_request = trace.tokens_per_request;
  if (o.tokens_per_request) {
    if (trace.tokens_per_request)
      return Error(ErrorCode::invalid_argument, "--tokens-per-request", "the trace has its own tokens",
                   "leave it out, or name no token columns");
    in.tokens_per_request = o.tokens_per_request;
  }
  sources.push_back(
      {"O", "objective",
       fmt::format("{:g} % within {:g} ms, at most {:g} % dropped{}", 100 * o.quantile, o.objective_ms,
                   100 * o.drop_share,
                   o.tokens_per_request ? fmt::format("; {:g} tokens a request", *o.tokens_per_request) : ""),
       "options"});
  in.compress_cost = o.compress_cost;
  in.evaluate_cost = o.evaluate_cost;
  in.growth_per_month = o.growth;
  sources.push_back({"E", "once",
                     fmt::format("{:g} to compress, {:g} to evaluate, {}; growth {:g} % a month", o.compress_cost,
                                 o.evaluate_cost, in.prices.currency, 100 * o.growth),
                     "options"});
  if (!o.slices.empty()) {
    auto slices = read_slices(o.slices);
    if (!slices) return slices.error();
    const auto from = described(o.slices);
    if (!from) return from.error();
    sources.push_back({"L", "slices", fmt::format("{} slices", slices->size()), *from});
    in.slices = std::move(*slices);
  }
  if (o.commitments || o.most_spot) {
    in.commitment = OfferOptions{.horizon_months = o.commitment_months, .most_spot = o.most_spot};
    sources.push_back(
        {"M", "committed",
         fmt::format("any of the list's, for a need of {} months{}", o.commitment_months,
                     o.most_spot ? fmt::format(", at most {} spot machines", *o.most_spot) : ", no spot machines"),
         "options"});
  }
  if (o.expiring) {
    std::optional<double> reserved = before->reserved_per_hour;
    for (const ReservedPrice& price : before->reserved)
      if (price.months == 12 && (!reserved || price.per_hour < *reserved)) reserved = price.per_hour;
    if (!reserved)
      return Error(ErrorCode::not_found, "--expiring", fmt::format("{} has no reserved price of a year", *instance),
                   "pass a price list that has one");
    in.reservations = ExpiringReservations{.staying = o.staying,
                                           .expiring = *o.expiring,
                                           .reserved_per_hour = *reserved,
                                           .probability = o.probability,
                                           .months_until = o.months_until};
  }
  in.recipe = o.recipe;
  in.trace = std::move(trace.requests);
  return in;
}

/// Scales the trace as asked, and says so.
Status scale(const Options& o, ForecastInputs& in, std::vector<Source>& sources) {
  double factor = o.scale.value_or(1);
  std::string from = "--scale";
  if (o.peak_instances) {
    const auto found = scale_for_peak(in, in.baseline, *o.peak_instances);
    if (!found) return found.error();
    factor = *found;
    from = fmt::format("--peak-instances {}: the least that makes the baseline (B, S) have so many", *o.peak_instances);
  }
  if (factor == 1) return {};
  auto scaled = in.trace.scaled(factor);
  if (!scaled) return scaled.error();
  in.trace = std::move(*scaled);
  const auto summary = in.trace.summary();
  if (!summary) return summary.error();
  sources.insert(sources.begin() + 1,
                 Source{"T", "scaled", fmt::format("times {:.6g}: {}", factor, to_string(*summary)), from});
  return {};
}

/// Says whether a new forecast was due, and keeps this one.
Status keep_in_log(const Options& o, const ForecastInputs& in, const Forecast& forecast, Report& report) {
  if (o.log.empty()) return {};
  if (o.date.empty())
    return Error(ErrorCode::invalid_argument, "--log", "a forecast in it needs its date", "pass --date 2026-07-20");
  ForecastLog log;
  if (std::filesystem::exists(o.log)) {
    auto read = ForecastLog::read(o.log);
    if (!read) return read.error();
    log = std::move(*read);
  }
  auto own = record(forecast, o.date);
  if (!own) return own.error();
  if (!log.records.empty()) {
    const auto due = needs_new_forecast(log.records.back(),
                                        {.date = o.date, .recipe = o.recipe, .prices = &in.prices, .trace = &in.trace});
    if (!due) return due.error();
    report.say("due", Json::parse(to_json(*due)),
               fmt::format("the forecast of {}: {}", log.records.back().date, to_string(*due)));
  }
  log.records.push_back(std::move(*own));
  return mcomp::write_file(o.log, to_json(log) + "\n");
}

Result<ExitStatus> run(const Options& o, const std::filesystem::path& out, Report& report) {
  ProgressLine progress;
  progress.show("reading");
  auto trace = read_trace(o.trace);
  if (!trace) return trace.error();
  std::vector<Source> sources;
  const bool arrivals = trace->arrivals.has_value(), tokens = trace->tokens_per_request.has_value();
  auto in = collect(o, *trace, sources);
  if (!in) return in.error();
  progress.show("scaling");
  if (const Status scaled = scale(o, *in, sources); !scaled) return scaled.error();
  mcomp::ThreadPool pool(o.threads);
  auto forecast = mcomp::cost::forecast(*in, o.how, {.executor = &pool, .progress = progress.sink()});
  if (!forecast) return forecast.error();
  if (arrivals) {
    forecast->notes.push_back("hours count from the first arrival; arrivals of an interval are replayed as a Poisson "
                              "stream of their number");
    const double span = o.trace.interval_seconds, recorded = std::fmod(trace->arrivals->seconds.back(), span);
    if (recorded < 0.99 * span)
      forecast->notes.push_back(
          fmt::format("the recording ends {:.3g} s into its last interval of {:g} s, which counts "
                      "as a whole one: the mean is low by up to {:.2g} %",
                      recorded, span, 100 * (span - recorded) / span / static_cast<double>(in->trace.requests.size())));
  }

  const auto rows = result_rows(*forecast, tokens);
  const std::string text = forecast_text(*forecast, sources, rows);
  const auto before = replay_side(*in, in->baseline), after = replay_side(*in, in->candidate);
  if (!before) return before.error();
  if (!after) return after.error();
  const double start = std::fmod(static_cast<double>(in->trace.first_interval) * in->trace.interval_seconds, 86400);
  const std::string svg =
      to_svg({.title = fmt::format(
                  "{} against {}: {} {:.2f} {} a month ({:.1f} %)", shortened(in->baseline.label, 16),
                  shortened(in->candidate.label, 16), forecast->saving.per_month < 0 ? "costs more by" : "saves",
                  std::abs(forecast->saving.per_month), forecast->currency, 100 * std::abs(forecast->saving.relative)),
              .subtitle = fmt::format("{}; {}; prices of {}",
                                      in->baseline.instance == in->candidate.instance
                                          ? in->baseline.instance
                                          : in->baseline.instance + " against " + in->candidate.instance,
                                      to_string(in->scaling.policy), forecast->price_date),
              .currency = forecast->currency,
              .start_seconds = start,
              .interval_seconds = in->trace.interval_seconds,
              .clock = !arrivals,
              .baseline = {in->baseline.label, &*before, forecast->baseline.price_per_hour},
              .candidate = {in->candidate.label, &*after, forecast->candidate.price_per_hour}});
  progress.clear();
  fmt::print("{}", text);
  Json input_table = Json::array(), result_table = Json::array();
  for (const Source& s : sources)
    input_table.push_back({{"key", s.key}, {"what", s.what}, {"value", s.value}, {"from", s.from}});
  for (const ResultRow& r : rows)
    result_table.push_back({{"name", r.name}, {"baseline", r.baseline}, {"candidate", r.candidate}, {"from", r.from}});
  report.keep("decision", to_string(forecast->decision));
  report.keep("advice", forecast->advice);
  report.keep("inputs", std::move(input_table));
  report.keep("results", std::move(result_table));
  report.keep("forecast", Json::parse(to_json(*forecast)));
  if (const Status kept = keep_in_log(o, *in, *forecast, report); !kept) return kept.error();
  for (const auto& [name, content] : {std::pair("forecast.json", to_json(*forecast) + "\n"),
                                      std::pair("forecast.txt", text), std::pair("forecast.svg", svg)})
    if (const Status written = mcomp::write_file(out / name, content); !written) return written.error();
  if (o.gate && forecast->decision != ForecastDecision::adopt)
    return forecast->decision == ForecastDecision::reject ? ExitStatus::rejected : ExitStatus::undecided;
  return ExitStatus::done;
}

} // namespace

int main(int argc, char** argv) {
  Program program("forecast",
                  "What a compressed model is worth on recorded traffic, at a latency objective and in money.",
                  "forecast-report");
  Options options;
  add_options(program.options(), options);
  return program.run(argc, argv, [&](Report& report) { return run(options, program.out(), report); });
}
