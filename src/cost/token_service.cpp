#include "mcomp/cost/token_service.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>
#include <vector>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::cost {

namespace {

constexpr double never = std::numeric_limits<double>::infinity();

/// What becomes of every request.
struct Outcome {
  std::vector<double> joined, first_token, done;
};

class Replica {
 public:
  Replica(const TokenReplica& model, const ArrivalTrace& trace, Outcome& outcome)
      : model_(&model), trace_(&trace), outcome_(&outcome) {}

  void add(std::size_t request) { waiting_.push_back(request); }
  /// Requests that are here at a moment not before the begin of the last step.
  [[nodiscard]] std::size_t unfinished(double at) const noexcept {
    return waiting_.size() + running_.size() + (now_ > at ? left_ : 0);
  }
  [[nodiscard]] double busy_seconds() const noexcept { return busy_; }
  [[nodiscard]] double batch_seconds() const noexcept { return batch_seconds_; }

  /// Runs all steps that begin before `until`, when the next request comes.
  void advance(double until) {
    while (!waiting_.empty() || !running_.empty()) {
      if (running_.empty()) now_ = std::max(now_, trace_->seconds[waiting_.front()]);
      if (now_ >= until) return;
      join();
      step(until);
    }
  }

 private:
  struct Request {
    std::size_t index;
    std::int64_t prompt, generate; ///< that are left
  };

  [[nodiscard]] std::int64_t tokens(std::size_t request) const {
    return trace_->prompt_tokens[request] + trace_->generated_tokens[request];
  }

  void join() {
    while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < model_->max_batch) {
      const std::size_t next = waiting_.front();
      if (trace_->seconds[next] > now_) return;
      if (model_->cache_tokens > 0 && reserved_ + tokens(next) > model_->cache_tokens) return;
      waiting_.pop_front();
      reserved_ += tokens(next);
      outcome_->joined[next] = now_;
      running_.push_back({next, trace_->prompt_tokens[next], trace_->generated_tokens[next]});
      reading_ = reading_ || running_.back().prompt > 0 || running_.back().generate == 0;
      // A request without a prompt generates from its first step on.
    }
  }

  /// One step, or as many equal ones as nothing joins or leaves.
  void step(double until) {
    std::int64_t budget = model_->prefill_tokens_per_step, read = 0, generating = 0;
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (Request& r : running_) {
      if (r.prompt == 0 && r.generate > 0) {
        ++generating;
        least = std::min(least, r.generate);
      } else {
        read += std::min(budget - read, r.prompt);
      }
    }
    const double seconds = model_->step_seconds + model_->step_seconds_per_request * static_cast<double>(generating) +
                           model_->prefill_seconds_per_token * static_cast<double>(read);
    std::int64_t steps = 1;
    if (!reading_) {
      steps = least;
      // Stop at the first step that ends behind the next arrival, which may join then.
      if (until < never && seconds > 0) {
        const double most = std::ceil((until - now_) / seconds);
        if (most < static_cast<double>(steps)) steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(most));
      }
    }
    const double begin = now_, duration = seconds * static_cast<double>(steps);
    now_ += duration;
    busy_ += duration;
    batch_seconds_ += duration * static_cast<double>(running_.size());
    reading_ = false;
    for (Request& r : running_) {
      if (r.prompt == 0 && r.generate > 0) {
        if (r.generate == trace_->generated_tokens[r.index]) outcome_->first_token[r.index] = begin + seconds;
        r.generate -= steps;
      } else {
        const std::int64_t part = std::min(budget, r.prompt);
        r.prompt -= part;
        budget -= part;
        if (r.prompt == 0) {
          outcome_->first_token[r.index] = now_;
          r.generate = std::max<std::int64_t>(0, r.generate - 1);
        } else {
          reading_ = true;
        }
      }
    }
    left_ = std::erase_if(running_, [&](const Request& r) {
      if (r.prompt > 0 || r.generate > 0) return false;
      outcome_->done[r.index] = now_;
      reserved_ -= tokens(r.index);
      return true;
    });
  }

  const TokenReplica* model_;
  const ArrivalTrace* trace_;
  Outcome* outcome_;
  std::deque<std::size_t> waiting_;
  std::vector<Request> running_; ///< in order of arrival
  bool reading_ = false;         ///< a prompt of the batch is not read to its end
  std::size_t left_ = 0;         ///< the batch at the end of the last step
  std::int64_t reserved_ = 0;
  double now_ = 0, busy_ = 0, batch_seconds_ = 0;
};

Status check(const TokenReplica& r, std::int64_t replicas) {
  const auto bad = [](const char* name, const std::string& rule, const char* remedy) {
    return Error(ErrorCode::invalid_argument, name, rule, remedy);
  };
  constexpr double most_seconds = 1e6;
  for (const auto& [name, value] :
       {std::pair("prefill_seconds_per_token", r.prefill_seconds_per_token), std::pair("step_seconds", r.step_seconds),
        std::pair("step_seconds_per_request", r.step_seconds_per_request)})
    if (!(value >= 0 && value <= most_seconds))
      return bad(name, fmt::format("{}", value), "pass a time within [0, 10^6]");
  if (r.prefill_seconds_per_token + r.step_seconds + r.step_seconds_per_request == 0)
    return bad("replica", "all its times are 0", "pass what was measured");
  constexpr std::int64_t most_batch = 65536, most_replicas = 100'000;
  if (r.max_batch < 1 || r.max_batch > most_batch)
    return bad("max_batch", fmt::format("{}", r.max_batch), "pass 1 to 65536");
  if (r.prefill_tokens_per_step < 1)
    return bad("prefill_tokens_per_step", fmt::format("{}", r.prefill_tokens_per_step), "pass at least 1");
  if (r.cache_tokens < 0) return bad("cache_tokens", fmt::format("{}", r.cache_tokens), "pass 0 for no limit");
  if (replicas < 1 || replicas > most_replicas)
    return bad("replicas", fmt::format("{}", replicas), "pass 1 to 100,000");
  return {};
}

Status check(const ArrivalTrace& trace, const TokenReplica& replica) {
  MCOMP_CHECK(trace.check());
  if (trace.prompt_tokens.empty() || trace.generated_tokens.empty())
    return Error(ErrorCode::invalid_argument, "trace", "it has no columns of tokens",
                 "read it with the names of its prompt and generated columns");
  if (replica.cache_tokens > 0)
    for (std::size_t i = 0; i < trace.seconds.size(); ++i)
      if (trace.prompt_tokens[i] + trace.generated_tokens[i] > replica.cache_tokens)
        return Error(ErrorCode::invalid_value, fmt::format("trace: request {}", i),
                     fmt::format("its {} tokens do not fit the cache of {}",
                                 trace.prompt_tokens[i] + trace.generated_tokens[i], replica.cache_tokens),
                     "raise cache_tokens, or leave such requests out");
  return {};
}

/// Order statistics: the least value that a share of at least p does not exceed.
TokenTimes summary(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double p) {
    const auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(values.size())));
    return values[std::max<std::size_t>(rank, 1) - 1];
  };
  double sum = 0;
  for (const double value : values) sum += value;
  return {sum / static_cast<double>(values.size()), at(0.5), at(0.95), at(0.99)};
}

} // namespace

Result<TokenSimulation> simulate_tokens(const ArrivalTrace& trace, const TokenReplica& replica, std::int64_t replicas) {
  MCOMP_CHECK(check(replica, replicas));
  MCOMP_CHECK(check(trace, replica));
  const std::size_t n = trace.seconds.size();
  Outcome outcome{std::vector<double>(n), std::vector<double>(n), std::vector<double>(n)};
  std::vector<Replica> fleet(static_cast<std::size_t>(replicas), Replica(replica, trace, outcome));
  for (std::size_t i = 0; i < n; ++i) {
    for (Replica& r : fleet) r.advance(trace.seconds[i]);
    const double at = trace.seconds[i];
    const auto idlest = std::min_element(fleet.begin(), fleet.end(), [at](const Replica& a, const Replica& b) {
      return a.unfinished(at) < b.unfinished(at);
    });
    idlest->add(i);
  }
  for (Replica& r : fleet) r.advance(never);

  TokenSimulation result{.requests = static_cast<std::int64_t>(n), .replicas = replicas};
  std::vector<double> wait(n), first(n), response(n), per_token;
  double end = 0;
  for (std::size_t i = 0; i < n; ++i) {
    result.prompt_tokens += trace.prompt_tokens[i];
    result.generated_tokens += trace.generated_tokens[i];
    wait[i] = outcome.joined[i] - trace.seconds[i];
    first[i] = outcome.first_token[i] - trace.seconds[i];
    response[i] = outcome.done[i] - trace.seconds[i];
    if (trace.generated_tokens[i] > 1)
      per_token.push_back((outcome.done[i] - outcome.first_token[i]) /
                          static_cast<double>(trace.generated_tokens[i] - 1));
    end = std::max(end, outcome.done[i]);
  }
  result.wait = summary(std::move(wait));
  result.first_token = summary(std::move(first));
  result.per_output_token = summary(std::move(per_token));
  result.response = summary(std::move(response));
  result.seconds = end - trace.seconds.front();
  double busy = 0, batch = 0;
  for (const Replica& r : fleet) busy += r.busy_seconds(), batch += r.batch_seconds();
  if (result.seconds > 0) {
    result.utilization = busy / (result.seconds * static_cast<double>(replicas));
    result.generated_per_second = static_cast<double>(result.generated_tokens) / result.seconds;
  }
  if (busy > 0) result.mean_batch = batch / busy;
  return result;
}

Result<TokenSimulation> smallest_token_fleet(const ArrivalTrace& trace, const TokenReplica& replica,
                                             const TokenObjectives& objectives, std::int64_t most) {
  bool any = false;
  for (const auto& objective :
       {objectives.first_token_p99_seconds, objectives.per_output_token_p99_seconds, objectives.response_p99_seconds}) {
    any = any || objective.has_value();
    if (objective && !(std::isfinite(*objective) && *objective > 0))
      return Error(ErrorCode::invalid_argument, "objectives", fmt::format("{} seconds", *objective), "pass a time > 0");
  }
  if (!any) return Error(ErrorCode::invalid_argument, "objectives", "there are none", "pass at least one");
  const auto keeps = [&](const TokenSimulation& run) {
    const auto within = [](const std::optional<double>& objective, const TokenTimes& times) {
      return !objective || times.p99 <= *objective;
    };
    return within(objectives.first_token_p99_seconds, run.first_token) &&
           within(objectives.per_output_token_p99_seconds, run.per_output_token) &&
           within(objectives.response_p99_seconds, run.response);
  };
  std::int64_t fails = 0, tried = 1;
  std::optional<TokenSimulation> kept;
  while (!kept) {
    MCOMP_TRY(run, simulate_tokens(trace, replica, tried));
    if (keeps(run)) {
      kept = run;
      break;
    }
    fails = tried;
    if (tried >= most)
      return Error(
          ErrorCode::invalid_argument, "objectives",
          fmt::format("{} replicas do not keep them: first token p99 {:.4g} s, per token {:.4g} s, response {:.4g} s",
                      tried, run.first_token.p99, run.per_output_token.p99, run.response.p99),
          "allow more replicas or more time, or take a faster model");
    tried = std::min(most, tried * 2);
  }
  while (kept->replicas - fails > 1) {
    const std::int64_t middle = fails + (kept->replicas - fails) / 2;
    MCOMP_TRY(run, simulate_tokens(trace, replica, middle));
    if (keeps(run))
      kept = run;
    else
      fails = middle;
  }
  return *kept;
}

Result<double> cost_per_million_tokens(const TokenSimulation& run, double replica_price_per_hour) {
  if (!std::isfinite(replica_price_per_hour) || replica_price_per_hour <= 0)
    return Error(ErrorCode::invalid_value, "replica_price_per_hour", fmt::format("{}", replica_price_per_hour),
                 "pass a price > 0");
  const double tokens = static_cast<double>(run.prompt_tokens) + static_cast<double>(run.generated_tokens);
  if (!(tokens > 0))
    return Error(ErrorCode::invalid_value, "run", "it has no tokens", "pass the simulation of a trace with tokens");
  constexpr double million = 1e6, seconds_per_hour = 3600;
  return million / tokens * run.seconds / seconds_per_hour * static_cast<double>(run.replicas) * replica_price_per_hour;
}

std::string to_string(const TokenSimulation& run) {
  return fmt::format(
      "{} requests, {} prompt and {} generated tokens on {} replicas, {:.0f}% busy, mean batch {:.1f}\n"
      "first token p50 {:.4g}, p95 {:.4g}, p99 {:.4g} s; per token p50 {:.4g}, p99 {:.4g} s; response p50 "
      "{:.4g}, p99 {:.4g} s\n"
      "{:.4g} tokens generated per second",
      run.requests, run.prompt_tokens, run.generated_tokens, run.replicas, 100 * run.utilization, run.mean_batch,
      run.first_token.p50, run.first_token.p95, run.first_token.p99, run.per_output_token.p50, run.per_output_token.p99,
      run.response.p50, run.response.p99, run.generated_per_second);
}

} // namespace mcomp::inline v0::cost
