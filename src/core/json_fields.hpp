#pragma once

// The JSON form of plain values, said once for both directions; never part of the interface.
//
//     template <class Fields, detail::Is<Trigger> T> void describe(Fields& f, T& t) {
//       f("kind", t.kind), f("reason", t.reason);
//       f.maybe("limit", t.limit);           // may be absent: then it is what a new value has
//     }
//     std::string text = detail::write_document(trigger, "mcomp-trigger-1");
//     auto trigger = detail::read_document<Trigger>(text, "mcomp-trigger-1", "trigger");
//
// Reading is strict: unknown keys, other types and numbers that a member cannot hold are errors that name the place. An
// empty std::optional is not written. Values of an enumeration are words: `words(T)` gives them.

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/closest_name.hpp"
#include "core/json.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::detail {

template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

template <class T> using Words = std::span<const std::pair<T, const char*>>;

template <class T> [[nodiscard]] std::string word_of(Words<T> list, T value) {
  for (const auto& [known, word] : list)
    if (known == value) return word;
  return "unknown";
}

class FieldWriter {
 public:
  template <class T> void operator()(const char* key, const T& value) { json[key] = written(value); }
  template <class T> void operator()(const char* key, const std::optional<T>& value) {
    if (value) json[key] = written(*value);
  }
  template <class T> void maybe(const char* key, const T& value) { (*this)(key, value); }
  /// A value with a form of its own (`to_json`) stands there in it.
  template <class T> void value(const char* key, const T& item) { document(key, to_json(item)); }
  /// Text that is JSON itself stands in the document as what it is; other text as null.
  void document(const char* key, const std::string& text) {
    auto value = parse_json(text, key);
    json[key] = value ? std::move(*value) : Json();
  }

  Json json = Json::object();

 private:
  template <class T> static Json written(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return word_of(words(T{}), value);
    } else if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string>) {
      return value;
    } else {
      FieldWriter inner;
      describe(inner, value);
      return std::move(inner.json);
    }
  }
  template <class T> static Json written(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(written(value));
    return list;
  }
  template <class T> static Json written(const std::set<T>& values) {
    Json list = Json::array();
    for (const T& value : values) list.push_back(written(value));
    return list;
  }
  template <class T> static Json written(const std::map<std::string, T>& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) object[name] = written(value);
    return object;
  }
};

class FieldReader {
 public:
  explicit FieldReader(ObjectReader& object) : object_(&object) {}

  template <class T> void operator()(const char* key, T& value) {
    if (object_->has(key))
      maybe(key, value);
    else
      object_->fail(key, "the key is missing", "add it");
  }
  template <class T> void operator()(const char* key, std::optional<T>& value) {
    value.reset();
    if (object_->has(key)) maybe(key, value.emplace());
  }
  template <class T> void maybe(const char* key, T& value) {
    const Json* child = object_->has(key) ? object_->child(key) : nullptr;
    if (!child) return;
    if (const Status status = read(*child, object_->where(key), value); !status) object_->fail(status.error());
  }
  /// A failure of what was made of a member.
  void require(const Status& status) {
    if (!status) object_->fail(status.error());
  }
  /// What `T::parse` makes of it.
  template <class T> void value(const char* key, T& item) {
    std::string text;
    document(key, text);
    if (text.empty()) return;
    auto parsed = T::parse(text, object_->where(key));
    if (parsed)
      item = std::move(*parsed);
    else
      object_->fail(parsed.error());
  }
  /// Whatever stands there, as text; null as no text.
  void document(const char* key, std::string& text) {
    const Json* child = object_->has(key) ? object_->child(key) : nullptr;
    if (!child) return object_->fail(key, "the key is missing", "add it");
    text = child->is_null() ? std::string() : child->dump();
  }

 private:
  static Error wrong(const std::string& where, std::string rule, std::string remedy) {
    return Error(ErrorCode::corrupt, where, std::move(rule), std::move(remedy));
  }

  template <class T> static Status read(const Json& json, const std::string& where, T& value) {
    if constexpr (std::is_enum_v<T>) {
      if (!json.is_string()) return wrong(where, "a word is needed", "write it in quotes");
      const auto& text = json.get_ref<const std::string&>();
      std::vector<std::string> all;
      for (const auto& [known, word] : words(T{})) {
        if (text == word) return value = known, Status();
        all.emplace_back(word);
      }
      return wrong(where, "\"" + text + "\" is none", did_you_mean(text, all));
    } else if constexpr (std::same_as<T, bool>) {
      if (!json.is_boolean()) return wrong(where, "true or false is needed", "write true or false");
      value = json.get<bool>();
    } else if constexpr (std::integral<T>) {
      // Beyond 2^53 other readers of JSON lose digits.
      constexpr std::int64_t exact = std::int64_t{1} << 53;
      const bool whole = json.is_number_integer() &&
                         (!json.is_number_unsigned() || json.get<std::uint64_t>() <= static_cast<std::uint64_t>(exact));
      const std::int64_t number = whole ? json.get<std::int64_t>() : 0;
      if (!whole || number < -exact || !std::in_range<T>(number))
        return wrong(where, "a whole number within its range is needed", "write a whole number");
      value = static_cast<T>(number);
    } else if constexpr (std::floating_point<T>) {
      if (!json.is_number()) return wrong(where, "a number is needed", "write a number");
      value = json.get<T>();
    } else if constexpr (std::same_as<T, std::string>) {
      if (!json.is_string()) return wrong(where, "a string is needed", "write it in quotes");
      value = json.get<std::string>();
    } else {
      ObjectReader object(json, where);
      FieldReader inner(object);
      describe(inner, value);
      return object.finish();
    }
    return {};
  }
  template <class T> static Status read(const Json& json, const std::string& where, std::vector<T>& values) {
    if (!json.is_array()) return wrong(where, "an array is needed", "write [ ... ]");
    values.clear();
    for (const Json& item : json) {
      T value{};
      MCOMP_CHECK(read(item, fmt::format("{}[{}]", where, values.size()), value));
      values.push_back(std::move(value));
    }
    return {};
  }
  template <class T> static Status read(const Json& json, const std::string& where, std::set<T>& values) {
    std::vector<T> list;
    MCOMP_CHECK(read(json, where, list));
    values = {list.begin(), list.end()};
    if (values.size() != list.size()) return wrong(where, "a value stands twice", "write each once");
    return {};
  }
  template <class T> static Status read(const Json& json, const std::string& where, std::map<std::string, T>& values) {
    if (!json.is_object()) return wrong(where, "an object is needed", "write { ... }");
    values.clear();
    for (const auto& [name, item] : json.items())
      MCOMP_CHECK(read(item, fmt::format("{}.{}", where, name), values[name]));
    return {};
  }

  ObjectReader* object_;
};

/// Text that may hold bytes that are no UTF-8 is written with replacement characters.
template <class T> [[nodiscard]] std::string write_document(const T& value, std::string_view schema) {
  FieldWriter fields;
  fields.json["schema"] = schema;
  describe(fields, value);
  return fields.json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Errors: corrupt; version_mismatch for another schema. `check` says what else must hold; its error becomes corrupt.
template <class T, class Check>
[[nodiscard]] Result<T> read_document(std::string_view text, std::string_view schema, const std::string& subject,
                                      const Check& check) {
  MCOMP_TRY(json, parse_json(text, subject));
  ObjectReader object(json, subject);
  if (const std::string name = object.text("schema"); object.has("schema") && name != schema)
    return Error(ErrorCode::version_mismatch, subject, fmt::format("its schema is \"{}\", not \"{}\"", name, schema),
                 "use the version of the library that wrote it");
  T value{};
  FieldReader fields(object);
  describe(fields, value);
  MCOMP_CHECK(object.finish());
  if (const Status status = check(value); !status)
    return Error(ErrorCode::corrupt, status.error().subject(), status.error().rule(), status.error().remedy());
  return value;
}
template <class T>
[[nodiscard]] Result<T> read_document(std::string_view text, std::string_view schema, const std::string& subject) {
  return read_document<T>(text, schema, subject, [](const T&) -> Status { return {}; });
}

} // namespace mcomp::inline v0::detail
