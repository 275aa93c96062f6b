#include "rules.hpp"

#include <charconv>
#include <cmath>
#include <map>

#include <nlohmann/json.hpp>

#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace example {

namespace {

using namespace mcomp;
using namespace mcomp::cost;
using Json = nlohmann::ordered_json;

/// "0:10,8.5:40"
Result<Scheduled> parse_schedule(const std::string& text, const char* subject) {
  Scheduled schedule;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view item = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t colon = item.find(':');
    double hour = 0;
    std::int64_t instances = 0;
    const auto bad = [&] {
      return Error(ErrorCode::invalid_argument, subject, fmt::format("'{}' is no hour with its instances", item),
                   "write 0:10,8.5:40 for 10 instances from midnight and 40 from half past eight");
    };
    if (colon == std::string_view::npos) return bad();
    const auto first = std::from_chars(item.data(), item.data() + colon, hour);
    const auto second = std::from_chars(item.data() + colon + 1, item.data() + item.size(), instances);
    if (first.ec != std::errc() || first.ptr != item.data() + colon || second.ec != std::errc() ||
        second.ptr != item.data() + item.size())
      return bad();
    schedule.entries.push_back({hour, instances});
  }
  return schedule;
}

/// Fills what the command line left open from the file.
Status take_file(RuleArguments& a) {
  const auto text = read_file(a.file);
  if (!text) return text.error();
  const Json json = Json::parse(*text, nullptr, false);
  const auto corrupt = [&](const std::string& rule) {
    return Error(ErrorCode::corrupt, a.file, rule,
                 "write for example {\"policy\": \"target\", \"target\": 0.6, \"boot_seconds\": 120}");
  };
  if (!json.is_object()) return corrupt("it is no JSON object");
  const std::map<std::string, std::optional<double>*> numbers{{"target", &a.target},
                                                              {"tolerance", &a.tolerance},
                                                              {"lookahead_seconds", &a.lookahead_seconds},
                                                              {"queue_high", &a.queue_high},
                                                              {"queue_low", &a.queue_low},
                                                              {"step", &a.step},
                                                              {"decision_seconds", &a.decision_seconds},
                                                              {"boot_seconds", &a.boot_seconds},
                                                              {"candidate_boot_seconds", &a.candidate_boot_seconds},
                                                              {"cooldown_out_seconds", &a.cooldown_out_seconds},
                                                              {"cooldown_in_seconds", &a.cooldown_in_seconds}};
  const std::map<std::string, std::optional<std::int64_t>*> counts{
      {"min_instances", &a.min_instances}, {"max_instances", &a.max_instances}, {"queue_limit", &a.queue_limit}};
  const std::map<std::string, std::optional<std::string>*> texts{
      {"policy", &a.policy}, {"schedule", &a.schedule}, {"candidate_schedule", &a.candidate_schedule}};
  for (const auto& [key, value] : json.items()) {
    if (const auto number = numbers.find(key); number != numbers.end()) {
      if (!value.is_number()) return corrupt(fmt::format("'{}' is no number", key));
      if (!*number->second) *number->second = value.get<double>();
    } else if (const auto count = counts.find(key); count != counts.end()) {
      if (!value.is_number_integer()) return corrupt(fmt::format("'{}' is no whole number", key));
      if (!*count->second) *count->second = value.get<std::int64_t>();
    } else if (const auto word = texts.find(key); word != texts.end()) {
      if (!value.is_string()) return corrupt(fmt::format("'{}' is no text", key));
      if (!*word->second) *word->second = value.get<std::string>();
    } else {
      return corrupt(fmt::format("the key '{}' is not known", key));
    }
  }
  return {};
}

/// Options that the policy has no use for are an Error: they would change nothing.
Status refuse_unused(const RuleArguments& a, const std::string& policy) {
  const auto unused = [&](bool given, bool used, const char* name) -> Status {
    if (!given || used) return {};
    return Error(ErrorCode::invalid_argument, name, fmt::format("the policy '{}' has no use for it", policy),
                 "leave it out, or choose the policy that it belongs to");
  };
  const bool target = policy == "target", queue = policy == "queue", ahead = policy == "predictive",
             scheduled = policy == "scheduled";
  for (const Status& status :
       {unused(a.target.has_value(), target || ahead, "target"), unused(a.tolerance.has_value(), target, "tolerance"),
        unused(a.lookahead_seconds.has_value(), ahead, "lookahead_seconds"),
        unused(a.queue_high.has_value(), queue, "queue_high"), unused(a.queue_low.has_value(), queue, "queue_low"),
        unused(a.step.has_value(), queue, "step"), unused(a.schedule.has_value(), scheduled, "schedule"),
        unused(a.candidate_schedule.has_value(), scheduled, "candidate_schedule")})
    if (!status) return status;
  return {};
}

} // namespace

Result<Rules> read_rules(const RuleArguments& arguments) {
  RuleArguments a = arguments;
  std::string from = "options and defaults";
  if (!a.file.empty()) {
    if (const Status taken = take_file(a); !taken) return taken.error();
    const auto file = described(a.file);
    if (!file) return file.error();
    from = *file + ", options before it";
  }
  const std::string policy = a.policy.value_or("target");
  Rules rules;
  if (policy == "target") {
    TargetUtilization target;
    target.target = a.target.value_or(target.target);
    target.tolerance = a.tolerance.value_or(target.tolerance);
    rules.scaling.policy = target;
  } else if (policy == "queue") {
    QueueLengthTarget queue;
    queue.high = a.queue_high.value_or(queue.high);
    queue.low = a.queue_low.value_or(queue.low);
    queue.step = a.step.value_or(queue.step);
    rules.scaling.policy = queue;
  } else if (policy == "predictive") {
    Predictive ahead;
    ahead.target = a.target.value_or(ahead.target);
    ahead.lookahead_seconds = a.lookahead_seconds.value_or(ahead.lookahead_seconds);
    rules.scaling.policy = ahead;
  } else if (policy == "scheduled") {
    if (!a.schedule)
      return Error(ErrorCode::invalid_argument, "schedule", "the policy 'scheduled' has none",
                   "pass --schedule 0:10,8:40");
    auto schedule = parse_schedule(*a.schedule, "schedule");
    if (!schedule) return schedule.error();
    rules.scaling.policy = std::move(*schedule);
    if (a.candidate_schedule) {
      auto own = parse_schedule(*a.candidate_schedule, "candidate_schedule");
      if (!own) return own.error();
      rules.candidate_policy = std::move(*own);
    }
  } else {
    return Error(ErrorCode::invalid_argument, "policy", fmt::format("'{}' is none", policy),
                 "pass target, queue, scheduled or predictive");
  }
  if (const Status used = refuse_unused(a, policy); !used) return used.error();
  ScalingRules& s = rules.scaling;
  s.decision_seconds = a.decision_seconds.value_or(s.decision_seconds);
  s.boot_seconds = a.boot_seconds.value_or(s.boot_seconds);
  s.cooldown_out_seconds = a.cooldown_out_seconds.value_or(s.cooldown_out_seconds);
  s.cooldown_in_seconds = a.cooldown_in_seconds.value_or(s.cooldown_in_seconds);
  s.min_instances = a.min_instances.value_or(s.min_instances);
  s.max_instances = a.max_instances.value_or(s.max_instances);
  s.queue_limit = a.queue_limit;
  rules.candidate_boot_seconds = a.candidate_boot_seconds;
  std::string boot = fmt::format("boot {:g} s", s.boot_seconds);
  if (a.candidate_boot_seconds) boot += fmt::format(" (candidate {:g} s)", *a.candidate_boot_seconds);
  rules.sources.push_back(
      {"S", "scaling",
       fmt::format("{}; {}, cool-down {:g} s out, {:g} s in, {} to {} instances{}", to_string(s.policy), boot,
                   s.cooldown_out_seconds, s.cooldown_in_seconds, s.min_instances, s.max_instances,
                   s.queue_limit ? fmt::format(", at most {} wait", *s.queue_limit) : ""),
       from});
  return rules;
}

} // namespace example
