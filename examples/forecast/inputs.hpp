#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mcomp/core/result.hpp"
#include "mcomp/cost/forecast.hpp"

namespace example {

/// Where a number came from, for the table: a file with its fingerprint, an option, or what was made up.
struct Source {
  std::string key;  ///< one letter, that results name
  std::string what; ///< "trace"
  std::string value;
  std::string from;
};

struct TraceArguments {
  std::string file;          ///< empty: a synthetic one
  std::string kind = "auto"; ///< auto, requests, arrivals
  std::string time_column;   ///< empty: "minute" or "TIMESTAMP"
  std::string requests_column = "requests";
  std::string prompt_column;    ///< empty: "ContextTokens" where it is there
  std::string generated_column; ///< empty: "GeneratedTokens" where it is there
  double interval_seconds = 60;
  std::string gaps = "fill";
};

/// Seconds of service that tokens cost.
struct TokenRate {
  std::optional<double> fixed, per_prompt, per_generated;
  [[nodiscard]] bool given() const { return fixed || per_prompt || per_generated; }
};

struct Trace {
  mcomp::cost::RequestTrace requests;
  std::optional<mcomp::cost::ArrivalTrace> arrivals; ///< of single requests, where the file holds them
  std::optional<double> tokens_per_request;
  std::vector<Source> sources;
};

/// Reads or makes the trace; the kind is told by the names of the columns where it is not given.
[[nodiscard]] mcomp::Result<Trace> read_trace(const TraceArguments& arguments);

struct PriceArguments {
  std::string file;
  std::string kind = "auto"; ///< auto, json, list
  std::string date, region = "us-east-1", system = "linux", currency = "USD";
};
struct Prices {
  mcomp::cost::PriceCatalogue catalogue;
  std::vector<std::string> unpriced; ///< types that a list names without an on-demand price
  std::vector<Source> sources;
};
/// Our own JSON, or a list of cost/price_import.hpp, told apart by content.
[[nodiscard]] mcomp::Result<Prices> read_prices(const PriceArguments& arguments);

/// The instance that is named, or the only one. Errors: invalid_argument where there are several and none is named,
/// not_found for a name that has no price.
[[nodiscard]] mcomp::Result<std::string> choose_instance(const Prices& prices, const std::string& named);

/// One number a request. CSV: a number a line, with or without a line of names; of several columns `column` is taken.
/// JSON: an array of numbers, or an object with "seconds". @param unit "s", "ms", "us"; empty: seconds, and an Error
/// where the column's name says otherwise.
[[nodiscard]] mcomp::Result<std::vector<double>> read_latencies(const std::string& file, const std::string& column,
                                                                const std::string& unit);

/// A JSON array of {"name", "traffic_share", "accuracy_loss"}.
[[nodiscard]] mcomp::Result<std::vector<mcomp::cost::ForecastSlice>> read_slices(const std::string& file);

/// "name (sha256 0a1b2c3d4e5f)"
[[nodiscard]] mcomp::Result<std::string> described(const std::string& file);
/// A file of this folder.
[[nodiscard]] std::string example_file(const char* name);

} // namespace example
