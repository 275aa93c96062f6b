#include "mcomp/catalog/event.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>

#include "catalog/canonical.hpp"
#include "catalog/catalog_events.hpp"
#include "catalog/log_export.hpp"
#include "mcomp/core/file.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

using detail::Json;

constexpr const char* event_schema = "mcomp-event-1";
constexpr std::int64_t largest_time = std::int64_t{1} << 53;
constexpr std::size_t most_problems = 1000;

/// Cuts a line off, without its end; nothing where there is no whole one.
std::optional<std::string_view> next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

template <class T> bool parse_number(std::string_view text, T& value) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size();
}

std::optional<Hash> parse_hex(std::string_view text) {
  Hash hash{};
  if (text.size() != 2 * hash.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    hash[i / 2] = static_cast<std::uint8_t>(hash[i / 2] << 4 | (digit ? c - '0' : c - 'a' + 10));
  }
  return hash;
}

/// Reads the lines of an export and collects what does not hold.
class ExportReader {
 public:
  explicit ExportReader(const EventSink& sink) : sink_(sink) {}

  Result<LogExportReport> run(std::string_view text, std::span<const PublicKey> trusted, std::string_view origin) {
    std::uint64_t events = 0;
    if (!head(text, events, trusted, origin)) return std::move(report_);
    for (std::uint64_t index = 0; index < events; ++index) {
      const auto text_line = next_line(text);
      if (!text_line) {
        problem(std::nullopt, "log", fmt::format("it ends after {} of {} events", index, events));
        return std::move(report_);
      }
      MCOMP_CHECK(line(index, *text_line));
    }
    if (!text.empty()) problem(std::nullopt, "log", "something follows the last event");
    for (const auto& [index, leaf] : redacted_)
      if (const auto named = named_.find(index); named == named_.end() || named->second != leaf)
        event_problem(index, "it is gone, and no later redaction names it with its leaf");
    if (checkpoint_good_ && frontier_.size() != report_.checkpoint.size)
      problem(std::nullopt, "checkpoint",
              fmt::format("it is of {} events, there are {}", report_.checkpoint.size, events));
    else if (checkpoint_good_ && frontier_.root() != report_.checkpoint.root)
      problem(std::nullopt, "checkpoint", "its root is not that of the leaves");
    return std::move(report_);
  }

 private:
  void problem(std::optional<std::uint64_t> index, std::string where, std::string rule) {
    if (report_.problems.size() < most_problems) report_.problems.push_back({index, std::move(where), std::move(rule)});
  }
  void event_problem(std::uint64_t index, std::string rule) {
    problem(index, fmt::format("event {}", index), std::move(rule));
  }

  bool head(std::string_view& text, std::uint64_t& events, std::span<const PublicKey> trusted,
            std::string_view origin) {
    const auto first = next_line(text);
    std::size_t note_size = 0;
    const bool good = [&] {
      if (!first || !first->starts_with(detail::log_export_magic)) return false;
      std::string_view rest = first->substr(detail::log_export_magic.size());
      const std::size_t space = rest.find(' ', 1);
      return !rest.empty() && rest[0] == ' ' && space != std::string_view::npos &&
             parse_number(rest.substr(1, space - 1), events) && parse_number(rest.substr(space + 1), note_size) &&
             note_size <= text.size();
    }();
    if (!good || *first != fmt::format("{} {} {}", detail::log_export_magic, events, note_size)) {
      problem(std::nullopt, "log", "its first line is not that of an exported log");
      return false;
    }
    const auto checkpoint = open_checkpoint(text.substr(0, note_size), trusted, origin);
    if (checkpoint)
      report_.checkpoint = *checkpoint;
    else
      problem(std::nullopt, "checkpoint", checkpoint.error().rule());
    checkpoint_good_ = checkpoint.has_value();
    text.remove_prefix(note_size);
    return true;
  }

  Status line(std::uint64_t index, std::string_view text) {
    const auto leaf = text.size() > 65 && text[64] == ' ' ? parse_hex(text.substr(0, 64)) : std::nullopt;
    if (!leaf) {
      event_problem(index, "its line is not a leaf and an event");
      frontier_.append(Hash{});
      return {};
    }
    frontier_.append(*leaf);
    ++report_.events;
    LoggedEvent logged{index, *leaf, std::nullopt};
    const std::string_view body = text.substr(65);
    if (body == "-") {
      ++report_.redacted;
      redacted_.emplace(index, to_hex(*leaf));
    } else if (leaf_hash(body) != *leaf) {
      event_problem(index, "it is not the one that its leaf stands for");
      return {};
    } else {
      const auto event = Event::parse(body);
      if (!event) {
        event_problem(index, event.error().rule());
        return {};
      }
      logged.event = *event;
      if (event->kind == "redaction") note_redaction(index, *event);
    }
    return sink_ ? sink_(logged) : Status();
  }

  void note_redaction(std::uint64_t index, const Event& event) {
    const auto redaction = detail::parse_redaction_event(event.body);
    if (!redaction || redaction->index >= index) return event_problem(index, "a redaction names no earlier event");
    named_.emplace(redaction->index, redaction->leaf);
  }

  const EventSink& sink_;
  LogExportReport report_;
  MerkleFrontier frontier_;
  bool checkpoint_good_ = false;
  std::map<std::uint64_t, std::string> redacted_, named_; ///< event: leaf
};

} // namespace

Result<std::string> to_json(const Event& event) {
  if (event.kind.empty() || event.actor.empty())
    return Error(ErrorCode::invalid_argument, "event", "kind and actor must be given",
                 "say what happened, and by whom");
  if (event.time < 0 || event.time > largest_time)
    return Error(ErrorCode::invalid_argument, "event: time", "it is no time", "give seconds since 1970");
  MCOMP_TRY(body, mcomp::detail::parse_json(event.body, "event: body"));
  if (!body.is_object()) return Error(ErrorCode::corrupt, "event: body", "it is no JSON object", "write { ... }");
  Json json = {{"schema", event_schema}, {"kind", event.kind}, {"subject", event.subject},
               {"actor", event.actor},   {"time", event.time}, {"body", std::move(body)}};
  if (!event.salt.empty()) json["salt"] = event.salt;
  return detail::canonical_text(json);
}

Result<Event> Event::parse(std::string_view text) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, "event"));
  mcomp::detail::ObjectReader object(json, "event");
  if (const std::string schema = object.text("schema"); object.has("schema") && schema != event_schema)
    return Error(ErrorCode::version_mismatch, "event",
                 fmt::format("its schema is \"{}\", not \"{}\"", schema, event_schema),
                 "use the version of the library that wrote it");
  Event event{.kind = object.text("kind"),
              .subject = object.text("subject"),
              .actor = object.text("actor"),
              .time = object.integer("time"),
              .body = {},
              .salt = object.text("salt", "")};
  const Json* body = object.child("body");
  MCOMP_CHECK(object.finish());
  if (!body) return Error(ErrorCode::corrupt, "event: body", "the key is missing", "add it");
  MCOMP_TRY(body_text, detail::canonical_text(*body));
  event.body = body_text;
  const auto again = to_json(event);
  if (!again) return Error(ErrorCode::corrupt, again.error().subject(), again.error().rule(), again.error().remedy());
  if (*again != text)
    return Error(ErrorCode::corrupt, "event", "it is not in canonical form (RFC 8785)", "restore the log from a copy");
  return event;
}

namespace detail {

std::string log_export_head(std::uint64_t events, std::string_view note) {
  return fmt::format("{} {} {}\n{}", log_export_magic, events, note.size(), note);
}

std::string log_export_line(const Hash& leaf, const std::string* body) {
  return to_hex(leaf) + " " + (body ? *body : "-") + "\n";
}

Result<LogExportReport> verify_log_text(std::string_view text, std::span<const PublicKey> trusted,
                                        std::string_view origin, const EventSink& sink) {
  return ExportReader(sink).run(text, trusted, origin);
}

} // namespace detail

Result<LogExportReport> verify_log_export(const std::filesystem::path& path, std::span<const PublicKey> trusted,
                                          std::string_view origin, const EventSink& sink) {
  MCOMP_TRY(file, MappedFile::open(path));
  const auto bytes = file->bytes();
  return detail::verify_log_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, trusted, origin, sink);
}

} // namespace mcomp::inline v0::catalog
