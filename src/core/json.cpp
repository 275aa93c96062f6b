#include "core/json.hpp"

#include <cmath>

#include "core/closest_name.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::detail {

namespace {

/// Builds the document while it watches for what nlohmann's own parser lets pass.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Json root;
  std::string problem;
  std::size_t position = 0;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (!std::isfinite(value)) return stop("the number " + text + " is out of range");
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return stop("binary values are not JSON"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return stack_.pop_back(), keys_.pop_back(), true; }
  bool end_array() override { return stack_.pop_back(), keys_.pop_back(), true; }
  bool key(string_t& name) override {
    if (!seen_key(name)) return stop("the key \"" + name + "\" stands twice");
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& error) override {
    position = at;
    problem = error.what();
    return false;
  }

 private:
  bool stop(std::string why) {
    problem = std::move(why);
    return false;
  }
  bool seen_key(const std::string& name) { return keys_.back().insert(name).second; }
  template <class Value> Json* place(Value&& value) {
    if (stack_.empty()) return root = std::forward<Value>(value), &root;
    Json& parent = *stack_.back();
    if (parent.is_array()) return parent.push_back(std::forward<Value>(value)), &parent.back();
    // The reader knows the key to be new, so appending needs no search.
    auto& object = parent.get_ref<Json::object_t&>();
    object.push_back({key_, Json(std::forward<Value>(value))});
    return &object.back().second;
  }
  template <class Value> bool add(Value&& value) { return place(std::forward<Value>(value)), true; }
  bool open(Json container) {
    constexpr std::size_t deepest = 64;
    if (stack_.size() >= deepest) return stop("it is nested deeper than 64");
    stack_.push_back(place(std::move(container)));
    keys_.emplace_back();
    return true;
  }

  std::vector<Json*> stack_;
  std::vector<std::set<std::string>> keys_;
  std::string key_;
};

constexpr double largest_exact_integer = 9007199254740992.0; // 2^53

} // namespace

Result<Json> parse_json(std::string_view text, const std::string& subject) {
  // The parser takes a NUL for the end of the text, and skips a byte order mark; neither belongs into JSON (RFC
  // 8259, 8.1).
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xef\xbb\xbf"))
    return Error(ErrorCode::corrupt, subject, "not valid JSON: it holds a NUL or begins with a byte order mark",
                 "repair the file or write it anew");
  Builder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder))
    return Error(ErrorCode::corrupt, subject, "not valid JSON: " + builder.problem, "repair the file or write it anew");
  return std::move(builder.root);
}

ObjectReader::ObjectReader(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {
  if (!json.is_object())
    fail(Error(ErrorCode::corrupt, where_, fmt::format("a JSON object is needed, there is {}", json.type_name()),
               "write { ... }"));
}

void ObjectReader::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

void ObjectReader::fail(const char* key, const std::string& rule, const std::string& remedy) {
  fail(Error(ErrorCode::corrupt, where(key), rule, remedy));
}

const Json* ObjectReader::get(const char* key, bool required) {
  known_.insert(key);
  if (!json_->is_object()) return nullptr;
  if (const auto found = json_->find(key); found != json_->end()) return &*found;
  if (required) fail(key, "the key is missing", "add it");
  return nullptr;
}

bool ObjectReader::has(const char* key) {
  return get(key, false) != nullptr;
}
const Json* ObjectReader::child(const char* key) {
  return get(key, false);
}

std::string ObjectReader::text(const char* key) {
  const Json* value = get(key, true);
  if (!value) return {};
  if (!value->is_string()) return fail(key, "a string is needed", "write it in quotes"), std::string();
  return value->get<std::string>();
}

std::string ObjectReader::text(const char* key, std::string fallback) {
  return has(key) ? text(key) : std::move(fallback);
}

double ObjectReader::number(const char* key) {
  const Json* value = get(key, true);
  if (!value) return 0;
  if (!value->is_number()) return fail(key, "a number is needed", "write a number"), 0;
  return value->get<double>();
}

double ObjectReader::number(const char* key, double fallback) {
  return has(key) ? number(key) : fallback;
}

std::int64_t ObjectReader::integer(const char* key) {
  const Json* value = get(key, true);
  if (!value) return 0;
  if (!value->is_number_integer() || std::abs(value->get<double>()) > largest_exact_integer)
    return fail(key, "a whole number within 2^53 is needed", "write a whole number"), 0;
  return value->get<std::int64_t>();
}

std::int64_t ObjectReader::integer(const char* key, std::int64_t fallback) {
  return has(key) ? integer(key) : fallback;
}

bool ObjectReader::boolean(const char* key, bool fallback) {
  const Json* value = get(key, false);
  if (!value) return fallback;
  if (!value->is_boolean()) return fail(key, "true or false is needed", "write true or false"), fallback;
  return value->get<bool>();
}

const Json& ObjectReader::array(const char* key) {
  static const Json empty = Json::array();
  const Json* value = get(key, true);
  if (!value) return empty;
  if (!value->is_array()) return fail(key, "an array is needed", "write [ ... ]"), empty;
  return *value;
}

std::vector<std::int64_t> ObjectReader::integers(const char* key) {
  std::vector<std::int64_t> result;
  for (const Json& value : array(key)) {
    if (!value.is_number_integer() || std::abs(value.get<double>()) > largest_exact_integer)
      return fail(key, "whole numbers within 2^53 are needed", "write whole numbers"), result;
    result.push_back(value.get<std::int64_t>());
  }
  return result;
}

std::vector<double> ObjectReader::numbers(const char* key) {
  std::vector<double> result;
  for (const Json& value : array(key)) {
    if (!value.is_number()) return fail(key, "numbers are needed", "write numbers"), result;
    result.push_back(value.get<double>());
  }
  return result;
}

std::vector<std::string> ObjectReader::texts(const char* key) {
  std::vector<std::string> result;
  for (const Json& value : array(key)) {
    if (!value.is_string()) return fail(key, "strings are needed", "write them in quotes"), result;
    result.push_back(value.get<std::string>());
  }
  return result;
}

Status ObjectReader::finish() {
  if (error_) return *error_;
  for (const auto& [key, value] : json_->items())
    if (!known_.contains(key))
      return Error(ErrorCode::corrupt, where(key.c_str()), "the key is not known",
                   did_you_mean(key, {known_.begin(), known_.end()}));
  return {};
}

} // namespace mcomp::inline v0::detail
