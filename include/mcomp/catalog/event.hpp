#pragma once

// What happened, as the log holds it: every event is one canonical JSON text, and the SHA-256 of that text is a leaf of
// the log's Merkle tree. An export of the log is verified without the catalogue, by its signed checkpoint alone.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcomp/catalog/checkpoint.hpp"
#include "mcomp/core/result.hpp"

namespace mcomp::inline v0::catalog {

struct Event {
  std::string kind;        ///< "rollout-step", ...; "record", "alias" and "redaction" are the catalogue's own
  std::string subject{};   ///< what it is about
  std::string actor;       ///< who or what did it
  std::int64_t time = 0;   ///< seconds since 1970, UTC, by the actor's clock
  std::string body = "{}"; ///< a JSON object
  /// Random text, so that nobody can find out by trying what a redacted event said. `Catalog::append` fills it in where
  /// `personal` is set.
  std::string salt{};
  bool personal = false; ///< may hold data of a person; not part of the text

  /// Reads a text that must be canonical, schema "mcomp-event-1". Errors: corrupt, version_mismatch.
  [[nodiscard]] MCOMP_WORKFLOW_API static Result<Event> parse(std::string_view json);
  friend bool operator==(const Event&, const Event&) = default;
};

/// Canonical JSON. Errors: invalid_argument for an event without kind or actor, or a time that is none; corrupt for a
/// body that is no JSON object; invalid_value for text that is not UTF-8.
[[nodiscard]] MCOMP_WORKFLOW_API Result<std::string> to_json(const Event& event);

struct LoggedEvent {
  std::uint64_t index = 0; ///< place in the log, from 0
  Hash leaf{};
  std::optional<Event> event; ///< nothing where it was redacted: the leaf stays
  friend bool operator==(const LoggedEvent&, const LoggedEvent&) = default;
};

/// Something in a log that does not hold.
struct LogProblem {
  std::optional<std::uint64_t> index; ///< of the event, where it is one
  std::string where;                  ///< "event 12", "record recipe/w4a8", "checkpoint", ...
  std::string rule;
  friend bool operator==(const LogProblem&, const LogProblem&) = default;
};

struct LogExportReport {
  Checkpoint checkpoint;
  std::uint64_t events = 0, redacted = 0;
  std::vector<LogProblem> problems; ///< at most 1000 of them
  [[nodiscard]] bool sound() const noexcept { return problems.empty(); }
};

/// Called for every event of an export in order. An Error ends the reading and is returned.
using EventSink = std::function<Status(const LoggedEvent&)>;

/// Verifies an export of a log: every event against its leaf, all leaves against the root of the checkpoint, which a
/// key of `trusted` must have signed for the log `origin`; a redacted event must be named by a later redaction. What
/// does not hold is located in the report. Errors: not_found, io_failure, those of `sink`.
[[nodiscard]] MCOMP_WORKFLOW_API Result<LogExportReport> verify_log_export(const std::filesystem::path& path,
                                                                           std::span<const PublicKey> trusted,
                                                                           std::string_view origin,
                                                                           const EventSink& sink = {});

} // namespace mcomp::inline v0::catalog
