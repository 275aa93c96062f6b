#pragma once

// The file of an exported log:
//
//     mcomp-log-1 EVENTS BYTES_OF_NOTE
//     (the signed checkpoint)
//     LEAF EVENT          for each event: the leaf in hexadecimal, and its canonical JSON, or "-" where it was redacted

#include <string>
#include <string_view>

#include "mcomp/catalog/event.hpp"

namespace mcomp::inline v0::catalog::detail {

inline constexpr std::string_view log_export_magic = "mcomp-log-1";

[[nodiscard]] std::string log_export_head(std::uint64_t events, std::string_view note);
[[nodiscard]] std::string log_export_line(const Hash& leaf, const std::string* body);

/// `verify_log_export` of bytes in memory.
[[nodiscard]] Result<LogExportReport> verify_log_text(std::string_view text, std::span<const PublicKey> trusted,
                                                      std::string_view origin, const EventSink& sink);

} // namespace mcomp::inline v0::catalog::detail
