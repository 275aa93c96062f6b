#pragma once

#include <string>
#include <vector>

#include "mcomp/catalog/catalog.hpp"
#include "mcomp/monitor/alerts.hpp"
#include "mcomp/report/report.hpp"
#include "workshop.hpp"

namespace example {

/// What the days have brought, for the report.
struct Chronicle {
  std::vector<std::string> cycles; ///< ids
  std::vector<mcomp::monitor::AlertNotice> alerts;
  mcomp::report::DriftSection drift;
};

/// Everything on one page, from the records alone. Errors: those of the catalogue.
[[nodiscard]] mcomp::Result<mcomp::report::Report> story_report(const mcomp::catalog::Catalog& catalog,
                                                                const mcomp::catalog::CatalogReport& verified,
                                                                const Service& service, const FashionWorkshop& workshop,
                                                                const Chronicle& chronicle, std::int64_t now);

} // namespace example
