#pragma once

#include <string>
#include <vector>

#include "inputs.hpp"

namespace example {

/// One line of results: what it is, its numbers, and the letters of the inputs that it was found from.
struct ResultRow {
  std::string name, baseline, candidate, from;
};

/// Both sides, and what follows from their difference in the column of the candidate.
[[nodiscard]] std::vector<ResultRow> result_rows(const mcomp::cost::Forecast& forecast, bool tokens_measured);

/// Inputs with their letters, results with the letters that they come from, what moves the saving, concerns, notes and
/// advice; lines of plain text.
[[nodiscard]] std::string forecast_text(const mcomp::cost::Forecast& forecast, const std::vector<Source>& sources,
                                        const std::vector<ResultRow>& rows);

} // namespace example
