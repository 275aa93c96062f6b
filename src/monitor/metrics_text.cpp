#include "mcomp/monitor/metrics_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>

#include "core/try.hpp"
#include "mcomp/core/format.hpp"
#include "monitor/utf8.hpp"

namespace mcomp::inline v0::monitor {

namespace {

struct TypeRow {
  MetricType type;
  std::string_view name;
  std::array<std::string_view, 5> suffixes; ///< that its samples may have; "-" ends the list
};
constexpr std::array<TypeRow, 8> types{{
    {MetricType::unknown, "unknown", {"", "-"}},
    {MetricType::gauge, "gauge", {"", "-"}},
    {MetricType::counter, "counter", {"_total", "_created", "-"}},
    {MetricType::stateset, "stateset", {"", "-"}},
    {MetricType::info, "info", {"_info", "-"}},
    {MetricType::histogram, "histogram", {"_bucket", "_count", "_sum", "_created", "-"}},
    {MetricType::gaugehistogram, "gaugehistogram", {"_bucket", "_gcount", "_gsum", "-"}},
    {MetricType::summary, "summary", {"", "_count", "_sum", "_created", "-"}},
}};

std::span<const std::string_view> suffixes_of(MetricType type) {
  for (const TypeRow& row : types)
    if (row.type == type) {
      const auto end = std::find(row.suffixes.begin(), row.suffixes.end(), "-");
      return {row.suffixes.data(), static_cast<std::size_t>(end - row.suffixes.begin())};
    }
  return {};
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_metric_name(std::string_view name) {
  return !name.empty() && (is_letter(name[0]) || name[0] == ':') &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c) || c == ':'; });
}
bool is_label_name(std::string_view name) {
  return !name.empty() && is_letter(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

using detail::characters;

/// A number of the grammar: decimal, or infinity or NaN in any case. No hexadecimal, no underscores.
std::optional<double> number(std::string_view text) {
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '+' || rest[0] == '-')) rest.remove_prefix(1);
  const bool negative = !text.empty() && text[0] == '-';
  std::string lower(rest);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (lower == "inf" || lower == "infinity")
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  if (lower == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (rest.empty() || !(is_digit(rest[0]) || rest[0] == '.')) return std::nullopt;
  double value = 0;
  const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size()) return std::nullopt;
  if (code == std::errc::result_out_of_range) {
    // Beyond the range it is infinite, below it zero: as every reader rounds.
    const auto exponent = lower.find('e');
    value = exponent != std::string::npos && exponent + 1 < lower.size() && lower[exponent + 1] == '-'
                ? 0
                : std::numeric_limits<double>::infinity();
  } else if (code != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

const std::string* label(const MetricLabels& labels, std::string_view name) {
  const auto found = std::find_if(labels.begin(), labels.end(), [&](const auto& l) { return l.first == name; });
  return found == labels.end() ? nullptr : &found->second;
}

/// What makes samples parts of one metric: all labels but that of the bucket, quantile or state, in order of name.
MetricLabels group_of(const MetricFamily& family, const MetricSample& sample) {
  MetricLabels labels = sample.labels;
  std::string own;
  if (family.type == MetricType::histogram || family.type == MetricType::gaugehistogram)
    own = sample.suffix == "_bucket" ? "le" : "";
  else if (family.type == MetricType::summary)
    own = sample.suffix.empty() ? "quantile" : "";
  else if (family.type == MetricType::stateset)
    own = family.name;
  std::erase_if(labels, [&](const auto& l) { return !own.empty() && l.first == own; });
  std::sort(labels.begin(), labels.end());
  return labels;
}

using Rule = std::optional<std::string>; ///< that is broken, or nothing

/// What holds for a sample by itself.
Rule check_sample(const MetricFamily& family, const MetricSample& s) {
  const auto allowed = suffixes_of(family.type);
  if (std::find(allowed.begin(), allowed.end(), s.suffix) == allowed.end())
    return fmt::format("a {} has no sample '{}{}'", family.type, family.name, s.suffix);
  std::set<std::string_view> names;
  for (const auto& [name, value] : s.labels) {
    if (!is_label_name(name)) return fmt::format("'{}' is no name of a label", name);
    if (!names.insert(name).second) return fmt::format("the label '{}' stands twice", name);
    if (!characters(value)) return fmt::format("the label '{}' is not UTF-8", name);
  }
  if (s.timestamp && !std::isfinite(*s.timestamp)) return std::string("a timestamp must be finite");
  const bool counts = s.suffix == "_total" || s.suffix == "_count" || s.suffix == "_bucket" || s.suffix == "_gcount";
  const bool sums = s.suffix == "_sum" || s.suffix == "_gsum" || s.suffix == "_created";
  if ((counts || sums) && std::isnan(s.value)) return fmt::format("'{}' must not be NaN", s.suffix);
  if ((counts || s.suffix == "_sum" || s.suffix == "_created") && s.value < 0)
    return fmt::format("'{}' must not be negative", s.suffix);
  if (s.suffix == "_bucket") {
    const std::string* le = label(s.labels, "le");
    if (!le) return std::string("a bucket needs the label 'le'");
    const auto bound = number(*le);
    if (!bound || std::isnan(*bound) || (std::isinf(*bound) && *le != "+Inf"))
      return fmt::format("'{}' is no upper bound; infinity is written +Inf", *le);
  }
  if (family.type == MetricType::summary && s.suffix.empty()) {
    const std::string* quantile = label(s.labels, "quantile");
    const auto share = quantile ? number(*quantile) : std::nullopt;
    if (!share || !(*share >= 0 && *share <= 1))
      return std::string("a summary needs a label 'quantile' within 0 and 1");
    if (s.value < 0) return std::string("a quantile must not be negative");
  }
  if (family.type == MetricType::info && s.value != 1) return std::string("an info is 1");
  if (family.type == MetricType::stateset) {
    if (!label(s.labels, family.name)) return fmt::format("a state needs the label '{}'", family.name);
    if (s.value != 0 && s.value != 1) return std::string("a state is 0 or 1");
  }
  if (s.exemplar) {
    if (s.suffix != "_total" && s.suffix != "_bucket")
      return std::string("only totals of counters and buckets have exemplars");
    std::size_t length = 0;
    std::set<std::string_view> seen;
    for (const auto& [name, value] : s.exemplar->labels) {
      const auto size = characters(value);
      if (!is_label_name(name) || !size) return fmt::format("'{}' is no label of an exemplar", name);
      if (!seen.insert(name).second) return fmt::format("the label '{}' stands twice", name);
      length += name.size() + *size;
    }
    constexpr std::size_t most = 128;
    if (length > most) return fmt::format("the labels of an exemplar have {} characters, at most 128 may be", length);
    if (s.exemplar->timestamp && !std::isfinite(*s.exemplar->timestamp))
      return std::string("the timestamp of an exemplar must be finite");
  }
  return std::nullopt;
}

/// Follows the samples of a family: groups stand together, timestamps do not descend, histograms are complete.
class FamilyCheck {
 public:
  explicit FamilyCheck(const MetricFamily& family) : family_(&family) {}

  Rule add(const MetricSample& s) {
    if (Rule rule = check_sample(*family_, s)) return rule;
    MetricLabels group = group_of(*family_, s);
    if (!open_ || group != group_) {
      if (Rule rule = close()) return rule;
      if (!seen_.insert(group).second) return std::string("samples of one metric stand apart");
      group_ = std::move(group);
      open_ = true;
      timestamp_ = s.timestamp;
      histogram_ = {};
      once_.clear();
    } else {
      if (s.timestamp.has_value() != timestamp_.has_value())
        return std::string("samples of one metric have timestamps, or none of them has");
      if (s.timestamp && *s.timestamp < *timestamp_) return std::string("timestamps descend");
      // Later points of a metric start anew.
      if (s.timestamp && *s.timestamp > *timestamp_) {
        if (Rule rule = close()) return rule;
        open_ = true;
        histogram_ = {};
      }
      timestamp_ = s.timestamp;
    }
    if (!s.timestamp && !once_.insert({s.suffix, s.labels}).second)
      return std::string("a sample without a timestamp stands twice");
    return histogram(s);
  }

  /// At the end of a group.
  Rule close() {
    if (!open_) return std::nullopt;
    open_ = false;
    if (family_->type != MetricType::histogram && family_->type != MetricType::gaugehistogram) return std::nullopt;
    const Histogram& h = histogram_;
    if (!h.bound || !std::isinf(*h.bound)) return std::string("the bucket of +Inf is missing");
    if (h.count && *h.count != h.value) return std::string("the count is not that of the bucket of +Inf");
    if (h.sum.has_value() != h.count.has_value()) return std::string("count and sum stand together or not at all");
    if (family_->type == MetricType::histogram && h.negative && h.sum)
      return std::string("a histogram with negative buckets has no sum");
    if (!h.negative && h.sum && *h.sum < 0) return std::string("the sum is negative, and no bucket is");
    return std::nullopt;
  }

 private:
  struct Histogram {
    std::optional<double> bound{}, count{}, sum{};
    double value = 0;
    bool negative = false;
  };

  Rule histogram(const MetricSample& s) {
    if (family_->type != MetricType::histogram && family_->type != MetricType::gaugehistogram) return std::nullopt;
    Histogram& h = histogram_;
    if (s.suffix == "_bucket") {
      const double bound = *number(*label(s.labels, "le"));
      if (h.bound && bound <= *h.bound) return std::string("buckets do not ascend");
      if (h.bound && s.value < h.value) return std::string("buckets do not add up");
      h.bound = bound;
      h.value = s.value;
      h.negative = h.negative || bound < 0;
    } else if (s.suffix == "_count" || s.suffix == "_gcount") {
      h.count = s.value;
    } else if (s.suffix == "_sum" || s.suffix == "_gsum") {
      h.sum = s.value;
    }
    return std::nullopt;
  }

  const MetricFamily* family_;
  bool open_ = false;
  MetricLabels group_;
  std::optional<double> timestamp_;
  std::set<MetricLabels> seen_;
  std::set<std::pair<std::string, MetricLabels>> once_;
  Histogram histogram_;
};

/// What holds for a family without its samples, and that its names are its own.
class NameCheck {
 public:
  Rule add(const MetricFamily& family) {
    if (!is_metric_name(family.name)) return fmt::format("'{}' is no name of a metric", family.name);
    if (suffixes_of(family.type).empty()) return fmt::format("the type of '{}' is not known", family.name);
    if (!family.unit.empty()) {
      if (!is_metric_name("_" + family.unit)) return fmt::format("'{}' is no unit", family.unit);
      if (!family.name.ends_with("_" + family.unit))
        return fmt::format("'{}' does not end in its unit '_{}'", family.name, family.unit);
      if (family.type == MetricType::info || family.type == MetricType::stateset)
        return fmt::format("a {} has no unit", family.type);
    }
    if (!characters(family.help)) return fmt::format("the help of '{}' is not UTF-8", family.name);
    std::set<std::string> own{family.name};
    for (const std::string_view suffix : suffixes_of(family.type)) own.insert(family.name + std::string(suffix));
    for (const std::string& name : own)
      if (taken_.contains(name)) return fmt::format("'{}' is the name of another metric too", name);
    taken_.merge(own);
    return std::nullopt;
  }

 private:
  std::set<std::string> taken_;
};

/// Reads a page line by line.
class Parser {
 public:
  Parser(std::string_view text, const std::string& subject) : text_(text), subject_(subject) {}

  Result<std::vector<MetricFamily>> run() {
    for (;;) {
      ++line_;
      if (text_.empty()) return fail("the page does not end in '# EOF'");
      const std::size_t end = text_.find('\n');
      const std::string_view line = text_.substr(0, end);
      text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
      if (line == "# EOF") {
        if (!text_.empty()) return fail("something follows '# EOF'");
        if (Rule rule = finish()) return fail(*rule);
        return std::move(families_);
      }
      const bool last = end == std::string_view::npos;
      if (last) return fail("the line is not ended, and is not '# EOF'");
      if (line.empty()) return fail("the line is empty");
      if (Rule rule = line[0] == '#' ? metadata(line) : sample(line)) return fail(*rule);
    }
  }

 private:
  Error fail(const std::string& rule) const {
    return Error(ErrorCode::corrupt, fmt::format("{}: line {}", subject_, line_), rule,
                 "write the page as OpenMetrics 1.0 has it");
  }

  /// Ends the current family.
  Rule finish() {
    if (!current_) return std::nullopt;
    if (!declared_) {
      if (Rule rule = declare()) return rule;
    }
    if (check_)
      if (Rule rule = check_->close()) return rule;
    families_.push_back(std::move(*current_));
    current_.reset();
    check_.reset();
    return std::nullopt;
  }

  Rule start(std::string_view name) {
    if (Rule rule = finish()) return rule;
    current_.emplace();
    current_->name = std::string(name);
    declared_ = has_type_ = has_unit_ = has_help_ = false;
    return std::nullopt;
  }

  /// The metadata are complete: the names are taken.
  Rule declare() {
    declared_ = true;
    return names_.add(*current_);
  }

  Rule metadata(std::string_view line) {
    const auto fields = [&]() -> std::optional<std::array<std::string_view, 3>> { // word, name, rest
      if (!line.starts_with("# ")) return std::nullopt;
      line.remove_prefix(2);
      const std::size_t first = line.find(' ');
      if (first == std::string_view::npos) return std::nullopt;
      const std::size_t second = line.find(' ', first + 1);
      if (second == std::string_view::npos) return std::nullopt;
      return std::array{line.substr(0, first), line.substr(first + 1, second - first - 1), line.substr(second + 1)};
    }();
    if (!fields)
      return std::string("a line that begins with '#' is '# TYPE', '# HELP' or '# UNIT' with a name and a value");
    const std::string_view word = (*fields)[0], name = (*fields)[1], value = (*fields)[2];
    if (word != "TYPE" && word != "HELP" && word != "UNIT") return fmt::format("'# {}' is not known", word);
    if (!is_metric_name(name)) return fmt::format("'{}' is no name of a metric", name);
    if (!current_ || current_->name != name)
      if (Rule rule = start(name)) return rule;
    if (declared_) return fmt::format("metadata of '{}' follow its samples", name);
    bool& given = word == "TYPE" ? has_type_ : word == "HELP" ? has_help_ : has_unit_;
    if (given) return fmt::format("'# {}' of '{}' stands twice", word, name);
    given = true;
    if (word == "TYPE") {
      const auto found =
          std::find_if(types.begin(), types.end(), [&](const TypeRow& row) { return row.name == value; });
      if (found == types.end()) return fmt::format("'{}' is no type", value);
      current_->type = found->type;
    } else if (word == "UNIT") {
      current_->unit = std::string(value);
    } else {
      current_->help = unescaped(value);
    }
    return std::nullopt;
  }

  static std::string unescaped(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char next = i + 1 < text.size() ? text[i + 1] : '\0';
      if (text[i] == '\\' && (next == 'n' || next == '\\' || next == '"')) {
        result += next == 'n' ? '\n' : next;
        ++i;
      } else {
        result += text[i];
      }
    }
    return result;
  }

  /// `{a="b",c="d"}` at the front of `rest`.
  static Rule labels(std::string_view& rest, MetricLabels& result) {
    rest.remove_prefix(1);
    if (rest.starts_with('}')) return rest.remove_prefix(1), std::nullopt;
    for (;;) {
      const std::size_t equals = rest.find('=');
      if (equals == std::string_view::npos) return std::string("a label has no value");
      const std::string_view name = rest.substr(0, equals);
      if (!is_label_name(name)) return fmt::format("'{}' is no name of a label", name);
      rest.remove_prefix(equals + 1);
      if (!rest.starts_with('"')) return fmt::format("the value of '{}' is not in quotes", name);
      std::size_t end = 1;
      while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
      if (end >= rest.size()) return fmt::format("the value of '{}' does not end", name);
      result.emplace_back(name, unescaped(rest.substr(1, end - 1)));
      rest.remove_prefix(end + 1);
      if (rest.starts_with('}')) return rest.remove_prefix(1), std::nullopt;
      if (!rest.starts_with(',')) return std::string("labels are separated by commas");
      rest.remove_prefix(1);
    }
  }

  /// A number up to the next space or the end.
  static std::optional<double> word(std::string_view& rest) {
    const std::string_view text = rest.substr(0, rest.find(' '));
    rest.remove_prefix(text.size());
    return number(text);
  }

  Rule sample(std::string_view rest) {
    const std::size_t end = std::min(rest.find('{'), rest.find(' '));
    if (end == std::string_view::npos) return std::string("a sample has no value");
    const std::string_view name = rest.substr(0, end);
    if (!is_metric_name(name)) return fmt::format("'{}' is no name of a metric", name);
    rest.remove_prefix(end);
    MetricSample s;
    if (rest.starts_with('{'))
      if (Rule rule = labels(rest, s.labels)) return rule;
    if (!rest.starts_with(' ')) return std::string("one space stands before the value");
    rest.remove_prefix(1);
    const auto value = word(rest);
    if (!value) return std::string("the value is no number");
    s.value = *value;
    if (rest.starts_with(' ') && !rest.starts_with(" # ")) {
      rest.remove_prefix(1);
      const auto time = word(rest);
      if (!time) return std::string("the timestamp is no number");
      s.timestamp = *time;
    }
    if (rest.starts_with(" # {")) {
      rest.remove_prefix(3);
      s.exemplar.emplace();
      if (Rule rule = labels(rest, s.exemplar->labels)) return rule;
      if (!rest.starts_with(' ')) return std::string("one space stands before the value of an exemplar");
      rest.remove_prefix(1);
      const auto example = word(rest);
      if (!example) return std::string("the value of an exemplar is no number");
      s.exemplar->value = *example;
      if (rest.starts_with(' ')) {
        rest.remove_prefix(1);
        const auto time = word(rest);
        if (!time) return std::string("the timestamp of an exemplar is no number");
        s.exemplar->timestamp = *time;
      }
    }
    if (!rest.empty()) return fmt::format("'{}' follows the sample", rest);
    return place(name, std::move(s));
  }

  Rule place(std::string_view name, MetricSample s) {
    const auto belongs = [&] {
      if (!current_ || !name.starts_with(current_->name)) return false;
      const std::string_view suffix = name.substr(current_->name.size());
      const auto allowed = suffixes_of(current_->type);
      if (std::find(allowed.begin(), allowed.end(), suffix) == allowed.end()) return false;
      s.suffix = std::string(suffix);
      return true;
    };
    if (!belongs())
      if (Rule rule = start(name)) return rule;
    if (!declared_)
      if (Rule rule = declare()) return rule;
    if (!check_) check_.emplace(*current_);
    if (Rule rule = check_->add(s)) return rule;
    current_->samples.push_back(std::move(s));
    return std::nullopt;
  }

  std::string_view text_;
  const std::string& subject_;
  std::int64_t line_ = 0;
  std::vector<MetricFamily> families_;
  std::optional<MetricFamily> current_;
  std::optional<FamilyCheck> check_; ///< of `current_`, once it has samples
  bool declared_ = false, has_type_ = false, has_unit_ = false, has_help_ = false;
  NameCheck names_;
};

std::string escaped(std::string_view text, bool quotes) {
  std::string result;
  for (const char c : text) {
    if (c == '\n')
      result += "\\n";
    else if (c == '\\' || (c == '"' && quotes))
      (result += '\\') += c;
    else
      result += c;
  }
  return result;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string labels_text(const MetricLabels& labels) {
  std::string text;
  for (const auto& [name, value] : labels)
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name, escaped(value, true));
  return text;
}

void write_sample(std::string& page, const std::string& name, const MetricSample& s) {
  page += name;
  if (!s.labels.empty()) page += "{" + labels_text(s.labels) + "}";
  page += " " + number_text(s.value);
}

Status check(std::span<const MetricFamily> families) {
  NameCheck names;
  const auto bad = [](const std::string& subject, const std::string& rule) {
    return Error(ErrorCode::invalid_value, "metric '" + subject + "'", rule, "see MetricFamily for what types ask for");
  };
  for (const MetricFamily& family : families) {
    if (Rule rule = names.add(family)) return bad(family.name, *rule);
    FamilyCheck samples(family);
    for (const MetricSample& sample : family.samples)
      if (Rule rule = samples.add(sample)) return bad(family.name, *rule);
    if (Rule rule = samples.close()) return bad(family.name, *rule);
  }
  return {};
}

} // namespace

std::string to_string(MetricType type) {
  for (const TypeRow& row : types)
    if (row.type == type) return std::string(row.name);
  return "not a type";
}

Result<std::vector<MetricFamily>> parse_open_metrics(std::string_view text, const std::string& subject) {
  return Parser(text, subject).run();
}

Result<std::string> to_open_metrics(std::span<const MetricFamily> families) {
  MCOMP_CHECK(check(families));
  std::string page;
  for (const MetricFamily& family : families) {
    page += fmt::format("# TYPE {} {}\n", family.name, family.type);
    if (!family.unit.empty()) page += fmt::format("# UNIT {} {}\n", family.name, family.unit);
    if (!family.help.empty()) page += fmt::format("# HELP {} {}\n", family.name, escaped(family.help, true));
    for (const MetricSample& s : family.samples) {
      write_sample(page, family.name + s.suffix, s);
      if (s.timestamp) page += " " + number_text(*s.timestamp);
      if (s.exemplar) {
        page += fmt::format(" # {{{}}} {}", labels_text(s.exemplar->labels), number_text(s.exemplar->value));
        if (s.exemplar->timestamp) page += " " + number_text(*s.exemplar->timestamp);
      }
      page += "\n";
    }
  }
  return page + "# EOF\n";
}

Result<std::string> to_prometheus_text(std::span<const MetricFamily> families) {
  MCOMP_CHECK(check(families));
  std::string page;
  const auto milliseconds = [](double seconds) { return fmt::format("{}", std::llround(seconds * 1000)); };
  const auto write = [&](const MetricFamily& family, const std::string& name, std::string_view type,
                         const auto& belongs) {
    std::string samples;
    for (const MetricSample& s : family.samples) {
      if (!belongs(s.suffix)) continue;
      write_sample(samples, family.name + s.suffix, s);
      if (s.timestamp) samples += " " + milliseconds(*s.timestamp);
      samples += "\n";
    }
    if (samples.empty()) return;
    if (!family.help.empty()) page += fmt::format("# HELP {} {}\n", name, escaped(family.help, false));
    page += fmt::format("# TYPE {} {}\n", name, type) + samples;
  };
  for (const MetricFamily& family : families) {
    constexpr double longest = 9e12; // seconds whose milliseconds fit 63 bits
    for (const MetricSample& s : family.samples)
      if (s.timestamp && std::abs(*s.timestamp) > longest)
        return Error(ErrorCode::invalid_value, "metric '" + family.name + "'",
                     fmt::format("the timestamp {} cannot be told in milliseconds", *s.timestamp), "correct it");
    const auto only = [](std::string_view wanted) {
      return [wanted](std::string_view suffix) { return suffix == wanted; };
    };
    const auto all_but_created = [](std::string_view suffix) { return suffix != "_created"; };
    switch (family.type) {
    case MetricType::counter:
      write(family, family.name + "_total", "counter", only("_total"));
      break;
    case MetricType::histogram:
    case MetricType::summary:
      write(family, family.name, to_string(family.type), all_but_created);
      break;
    case MetricType::info:
      write(family, family.name + "_info", "gauge", only("_info"));
      break;
    case MetricType::gaugehistogram:
      for (const char* suffix : {"_bucket", "_gcount", "_gsum"})
        write(family, family.name + suffix, "gauge", only(suffix));
      break;
    case MetricType::gauge:
    case MetricType::stateset:
      write(family, family.name, "gauge", only(""));
      break;
    case MetricType::unknown:
      write(family, family.name, "untyped", only(""));
      break;
    }
    write(family, family.name + "_created", "gauge", only("_created"));
  }
  return page;
}

} // namespace mcomp::inline v0::monitor
