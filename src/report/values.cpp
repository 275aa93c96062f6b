// Comparison of values whose numbers may be not known, which are equal then.

#include <algorithm>
#include <cmath>

#include "mcomp/report/report.hpp"

namespace mcomp::inline v0::report {

namespace {

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}
bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) { return same(x, y); });
}

} // namespace

bool operator==(const Estimate& a, const Estimate& b) {
  return a.interval == b.interval && same(a.value, b.value);
}
bool operator==(const Evidence& a, const Evidence& b) {
  return a.name == b.name && same(a.value, b.value) && a.unit == b.unit && a.text == b.text;
}
bool operator==(const TargetResult& a, const TargetResult& b) {
  return a.name == b.name && a.metric == b.metric && a.slice == b.slice && a.bound == b.bound && a.unit == b.unit &&
         same(a.limit, b.limit) && a.readings == b.readings && a.missed == b.missed && same(a.mean, b.mean) &&
         same(a.last, b.last) && a.answer == b.answer;
}
bool operator==(const AlertFacts& a, const AlertFacts& b) {
  return a.name == b.name && a.kind == b.kind && a.slice == b.slice && a.layer == b.layer &&
         a.cost_item == b.cost_item && a.version == b.version && a.baseline == b.baseline && a.alias == b.alias &&
         a.time == b.time && same(a.value, b.value) && same(a.limit, b.limit) && a.unit == b.unit &&
         a.numbers == b.numbers && a.links == b.links;
}
bool operator==(const LayerSection::Layer& a, const LayerSection::Layer& b) {
  return a.name == b.name && a.action == b.action && same(a.values, b.values);
}
bool operator==(const ReliabilitySection& a, const ReliabilitySection& b) {
  return a.name == b.name && a.rows == b.rows && same(a.ece, b.ece) && same(a.accuracy, b.accuracy) &&
         same(a.confidence, b.confidence) && a.bins == b.bins;
}
bool operator==(const DriftSection& a, const DriftSection& b) {
  const auto readings = [](const Reading& x, const Reading& y) { return x.time == y.time && same(x.value, y.value); };
  const auto series = [&](const DriftSection::Series& x, const DriftSection::Series& y) {
    return x.name == y.name && x.unit == y.unit && x.limit == y.limit &&
           std::equal(x.readings.begin(), x.readings.end(), y.readings.begin(), y.readings.end(), readings);
  };
  return a.marks == b.marks && std::equal(a.series.begin(), a.series.end(), b.series.begin(), b.series.end(), series);
}

} // namespace mcomp::inline v0::report
