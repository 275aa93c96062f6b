#include "mcomp/report/playbook.hpp"

#include <array>
#include <cmath>
#include <utility>

#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"
#include "report/scale.hpp"

namespace mcomp::inline v0::report {

namespace {

/// What there is to say of a kind. {} in a text is the part that moved most.
struct Advice {
  AlertKind kind;
  const char* name;
  const char* meaning;
  std::array<const char*, 3> look_at;
  std::array<const char*, 2> recompress;
  const char* closed;
};

constexpr std::array<Advice, 10> advices = {{
    {AlertKind::drift,
     "drift",
     "The inputs of {} are no longer like those that the model was calibrated and judged on. Ranges of quantized "
     "layers "
     "may be too narrow and confidences too high; accuracy may have fallen before any label says so.",
     {"The drift chart of {}: did it step (a release, a new source) or creep?",
      "The accuracy that is estimated without labels, and the assumption printed beside it.",
      "Other slices and the previous version: if both moved alike, the inputs changed and not the model."},
     {"Calibrate anew on live samples of {}: the same recipe, fresh ranges.",
      "If that does not pass the gates, give more bits to the layers that the sensitivity table names first."},
     "The distance is below its limit for a whole window, on the version that serves."},
    {AlertKind::calibration,
     "calibration",
     "The confidence of the model on {} no longer says how often it is right. Whatever decides by a threshold of "
     "confidence decides wrongly.",
     {"The reliability diagram of {}: too confident or too modest?",
      "Whether labels of this window arrived completely; late ones are often the hard ones.",
      "Accuracy of the same slice: if it fell too, this is drift."},
     {"Fit the temperature (or the calibrator of the recipe) again on labelled samples of {}; weights stay as they "
      "are.",
      "If one slice alone is off, fit a temperature by slice."},
     "The calibration error of the window is below its limit."},
    {AlertKind::accuracy,
     "accuracy",
     "The version that serves answers fewer requests of {} rightly than the criteria allow.",
     {"The slices: is it {} alone, or all of them?", "Rows that the baseline gets right and this version wrong.",
      "Whether the baseline fell too: then the inputs or the labels changed."},
     {"Put back the layers that the attribution names first, and judge again on {}.",
      "Protect {} in the criteria, with a margin of its own, before the next candidate is searched."},
     "The paired comparison on fresh labels passes the margin."},
    {AlertKind::latency,
     "latency",
     "Requests of {} take longer than their objective. Users wait; queues grow with the load and not with the model "
     "alone.",
     {"Latency by stage: queue, preprocessing, model, postprocessing. Only the model's part is a matter of "
      "compression.",
      "Load and instances: was the fleet at its limit?",
      "The last change of the alias, of the library and of the machine type."},
     {"If the model's stage grew: look for layers that run in fp32 on this hardware, and compress those of {}.",
      "If the queue grew: a smaller candidate or one more instance; the forecast says which is cheaper."},
     "p99 is within its objective over the long window and the short one."},
    {AlertKind::errors,
     "errors",
     "Requests of {} fail. A compressed model that loads seldom fails by itself: look at memory, time-outs and inputs "
     "first.",
     {"The kinds of errors, and whether they began with a change of the alias.",
      "Memory of the process and its limit; time-outs of callers.",
      "Inputs that are refused: shapes, types, values that are not finite."},
     {"Nothing to recompress, unless the artifact itself is refused: then publish it again from its recipe.", nullptr},
     "The burn rate is below 1 over the long window."},
    {AlertKind::overflow,
     "overflow",
     "Activations of {} leave the range that calibration gave them, and are cut off. Answers degrade without an error.",
     {"Which layers overflow, and how often, by slice.", "Whether inputs drifted at the same time.",
      "The calibration set: does it hold such inputs at all?"},
     {"Calibrate the ranges of {} again on live samples, with an observer that allows for the tail.",
      "Or keep {} in more bits: the plan says what that costs."},
     "The share of values that are cut off is below its limit."},
    {AlertKind::cost,
     "cost",
     "{} costs more than its budget or forecast says.",
     {"Traffic first: more requests at the same cost each are growth, not waste.",
      "Prices, reservations that ran out, and instances that idle at night.",
      "Cost per million requests against the forecast's."},
     {"If instances are the larger part: the next smaller candidate on the Pareto front within the criteria.",
      "If prices or traffic moved: forecast anew before anything is compressed."},
     "The forecast to the end of the period is within the budget."},
    {AlertKind::satisfaction,
     "satisfaction",
     "Users of {} are less content than before. What they see may be quality, speed, or something else entirely.",
     {"Accuracy and latency of the same slice and time.", "What they wrote.",
      "Releases of the application in the same week."},
     {"Only where accuracy or latency of {} moved too: follow the playbook of that alert.", nullptr},
     "The share of good feedback is back within the interval of the period before."},
    {AlertKind::anomaly,
     "anomaly",
     "A series of {} behaves as it did not in its own past. That alone does not say that anything is wrong.",
     {"The series itself, a week back: a holiday, a backfill, a gap in the measurement?",
      "Series that belong to it: load, errors, latency.", "Changes of the alias and of the application."},
     {"Nothing, until a cause is known.", nullptr},
     "The cause is known and written down, or the series is back."},
    {AlertKind::other,
     "other",
     "A watched number of {} left its limit.",
     {"The series and its limit.", "Changes at the same time.", "Other slices."},
     {"Only once the cause is known to be the model.", nullptr},
     "The number is within its limit."},
}};

const Advice& advice_of(AlertKind kind) {
  for (const Advice& advice : advices)
    if (advice.kind == kind) return advice;
  return advices.back();
}

/// All parts that are known.
std::string parts_of(const AlertFacts& alert) {
  std::string parts;
  for (const auto& [what, name] : {std::pair("slice ", &alert.slice), std::pair("layer ", &alert.layer),
                                   std::pair("cost item ", &alert.cost_item), std::pair("version ", &alert.version)})
    if (!name->empty()) parts += ", " + (what + *name);
  return parts;
}

/// What moved most, in a word: the slice says most to a reader, then the layer, then the cost item.
std::string part_of(const AlertFacts& alert) {
  if (alert.kind == AlertKind::overflow && !alert.layer.empty()) return "layer " + alert.layer;
  if (!alert.slice.empty()) return "slice " + alert.slice;
  if (!alert.layer.empty()) return "layer " + alert.layer;
  return alert.cost_item.empty() ? std::string("the service") : alert.cost_item;
}

std::string filled(const char* text, const std::string& part) {
  std::string result(text);
  for (std::size_t at = 0; (at = result.find("{}", at)) != std::string::npos; at += part.size())
    result.replace(at, 2, part);
  if (!result.empty() && result[0] >= 'a' && result[0] <= 'z') result[0] = static_cast<char>(result[0] - 'a' + 'A');
  return result;
}

} // namespace

std::string to_string(AlertKind kind) {
  return advice_of(kind).name;
}

Result<AlertKind> alert_kind_from_string(std::string_view name) {
  std::vector<std::string> all;
  for (const Advice& advice : advices) {
    if (name == advice.name) return advice.kind;
    all.emplace_back(advice.name);
  }
  return Error(ErrorCode::not_found, std::string(name), "is no kind of alert",
               mcomp::detail::did_you_mean(std::string(name), all));
}

Playbook playbook(const AlertFacts& alert) {
  const Advice& advice = advice_of(alert.kind);
  const std::string part = part_of(alert);
  Playbook page{.alert = alert, .meaning = filled(advice.meaning, part), .closed_when = advice.closed};
  for (const char* text : advice.look_at)
    if (text != nullptr) page.look_at.push_back(filled(text, part));
  if (!alert.layer.empty() && alert.kind != AlertKind::overflow)
    page.recompress.push_back(fmt::format("Begin with the layer {}: it moved most.", alert.layer));
  if (!alert.cost_item.empty())
    page.look_at.push_back(fmt::format("The cost item that moved most: {}.", alert.cost_item));
  for (const char* text : advice.recompress)
    if (text != nullptr) page.recompress.push_back(filled(text, part));
  const std::string back = alert.baseline.empty() ? "what it named before" : alert.baseline;
  const std::string now = alert.version.empty() ? "the version that serves" : alert.version;
  page.roll_back = {
      "During a rollout: send the event \"rollback\". Traffic is the baseline's at once, and no approval is needed.",
      fmt::format("Afterwards: take the alias \"{}\" back from {} to {} (Catalog::rollback); that is permitted at any "
                  "time, and is in the audit log.",
                  alert.alias, now, back),
      "Then see that the number falls within the short window. If it does not, the model was not the cause: go forward "
      "again and look elsewhere."};
  return page;
}

std::string to_string(const Playbook& page) {
  const AlertFacts& alert = page.alert;
  std::string text = fmt::format("{} ({}){}", alert.name, to_string(alert.kind), parts_of(alert));
  if (std::isfinite(alert.value))
    text +=
        fmt::format(": {}, limit {}", format_number(alert.value, alert.unit), format_number(alert.limit, alert.unit));
  text += "\n\nWhat it means\n  " + page.meaning + "\n";
  const auto list = [&](const char* heading, const std::vector<std::string>& lines) {
    text += fmt::format("\n{}\n", heading);
    for (const std::string& line : lines) text += "  - " + line + "\n";
  };
  list("What to look at", page.look_at);
  list("What to recompress", page.recompress);
  list("How to go back", page.roll_back);
  return text + "\nIt is over when\n  " + page.closed_when + "\n";
}

} // namespace mcomp::inline v0::report
