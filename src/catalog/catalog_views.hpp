#pragma once

// Records and spent approvals in the database, within a transaction of the caller.

#include <array>
#include <optional>

#include "catalog/catalog_state.hpp"

namespace mcomp::inline v0::catalog::detail {

[[nodiscard]] Result<std::optional<Record>> newest_record(Database& database, const std::string& kind,
                                                          const std::string& id);
[[nodiscard]] Result<Record> put_record(Database& database, LogAppender& log, const RecordDraft& draft,
                                        std::span<const Envelope> approvals);
/// What a record is searched by: name and id, a line each, the letters of ASCII in lower case.
[[nodiscard]] std::string search_text(std::string_view name, std::string_view id);
[[nodiscard]] Result<std::string> canonical_value(const std::string& body);
/// Marks the nonces as used by the event.
[[nodiscard]] Status spend(Database& database, std::span<const Approval> approvals, std::uint64_t index);
[[nodiscard]] NonceUsed nonce_used(Database& database);

} // namespace mcomp::inline v0::catalog::detail
