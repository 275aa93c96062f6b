#include <cstdint>
#include <limits>
#include <optional>

#include "mcomp/core/format.hpp"
#include "report/fields.hpp"

namespace mcomp::inline v0::report {

namespace detail {

namespace {

class Writer {
 public:
  explicit Writer(Json& object) : object_(&object) {}
  template <class T> void operator()(const char* key, T& value) { (*object_)[key] = json(value); }

  template <class T> static Json json(const T& value) {
    Json object = Json::object();
    Writer writer(object);
    fields(writer, const_cast<T&>(value)); // one list of members for both ways; this one only reads
    return object;
  }
  static Json json(bool value) { return value; }
  static Json json(int value) { return value; }
  static Json json(std::int64_t value) { return value; }
  static Json json(std::uint64_t value) { return value; }
  static Json json(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
  static Json json(const std::string& value) { return value; }
  static Json json(FindingKind value) { return to_string(value); }
  static Json json(AlertKind value) { return to_string(value); }
  template <class T> static Json json(const std::optional<T>& value) { return value ? json(*value) : Json(nullptr); }
  template <class T> static Json json(const std::vector<T>& values) {
    Json array = Json::array();
    for (const T& value : values) array.push_back(json(value));
    return array;
  }
  template <class T> static Json json(const std::map<std::string, T>& values) {
    Json object = Json::object();
    for (const auto& [key, value] : values) object[key] = json(value);
    return object;
  }

 private:
  Json* object_;
};

/// Absent keys leave the member as it is.
class MemberReader {
 public:
  explicit MemberReader(ObjectReader& object) : object_(&object) {}
  template <class T> void operator()(const char* key, T& value) {
    const Json* json = object_->child(key);
    if (json == nullptr) return;
    if (const Status status = read(*json, object_->where(key), value); !status) object_->fail(status.error());
  }

  template <class T> static Status read(const Json& json, const std::string& where, T& value) {
    ObjectReader inner(json, where);
    MemberReader reading(inner);
    fields(reading, value);
    return inner.finish();
  }
  static Status read(const Json& json, const std::string& where, bool& value) {
    if (!json.is_boolean()) return wrong(where, "true or false");
    value = json.get<bool>();
    return {};
  }
  static Status read(const Json& json, const std::string& where, std::int64_t& value) {
    if (!json.is_number_integer() ||
        (json.is_number_unsigned() && json.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()))
      return wrong(where, "a whole number");
    value = json.get<std::int64_t>();
    return {};
  }
  static Status read(const Json& json, const std::string& where, std::uint64_t& value) {
    if (!json.is_number_unsigned()) return wrong(where, "a whole number >= 0");
    value = json.get<std::uint64_t>();
    return {};
  }
  static Status read(const Json& json, const std::string& where, int& value) {
    std::int64_t wide = 0;
    MCOMP_CHECK(read(json, where, wide));
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max())
      return wrong(where, "a whole number of 32 bits");
    value = static_cast<int>(wide);
    return {};
  }
  static Status read(const Json& json, const std::string& where, double& value) {
    if (!json.is_number() && !json.is_null()) return wrong(where, "a number, or null where it is not known");
    value = json.is_null() ? not_known : json.get<double>();
    return {};
  }
  static Status read(const Json& json, const std::string& where, std::string& value) {
    if (!json.is_string()) return wrong(where, "text");
    value = json.get<std::string>();
    return {};
  }
  static Status read(const Json& json, const std::string& where, FindingKind& value) {
    std::string name;
    MCOMP_CHECK(read(json, where, name));
    return assign(finding_kind_from_string(name), where, value);
  }
  static Status read(const Json& json, const std::string& where, AlertKind& value) {
    std::string name;
    MCOMP_CHECK(read(json, where, name));
    return assign(alert_kind_from_string(name), where, value);
  }
  template <class T> static Status read(const Json& json, const std::string& where, std::optional<T>& value) {
    if (json.is_null()) {
      value = std::nullopt;
      return {};
    }
    T inside{};
    MCOMP_CHECK(read(json, where, inside));
    value = std::move(inside);
    return {};
  }
  template <class T> static Status read(const Json& json, const std::string& where, std::vector<T>& values) {
    if (!json.is_array()) return wrong(where, "a list");
    values.clear();
    for (const Json& each : json) {
      T value{};
      MCOMP_CHECK(read(each, fmt::format("{}: {}", where, values.size()), value));
      values.push_back(std::move(value));
    }
    return {};
  }
  template <class T> static Status read(const Json& json, const std::string& where, std::map<std::string, T>& values) {
    if (!json.is_object()) return wrong(where, "an object");
    values.clear();
    for (const auto& [key, each] : json.items()) {
      T value{};
      MCOMP_CHECK(read(each, where + ": " + key, value));
      values.emplace(key, std::move(value));
    }
    return {};
  }

 private:
  static Error wrong(const std::string& where, const char* expected) {
    return Error(ErrorCode::corrupt, where, fmt::format("is not {}", expected), "write what `to_json` writes");
  }
  template <class T> static Status assign(const Result<T>& result, const std::string& where, T& value) {
    if (!result) return Error(ErrorCode::corrupt, where, result.error().rule(), result.error().remedy());
    value = *result;
    return {};
  }
  ObjectReader* object_;
};

/// Text that is no UTF-8 is written with replacement characters instead of an exception.
template <class T> std::string written(const T& value) {
  Json json = {{"schema", T::schema}};
  Writer writer(json);
  fields(writer, const_cast<T&>(value));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T> Result<T> parsed(std::string_view text, const std::string& subject) {
  MCOMP_TRY(json, mcomp::detail::parse_json(text, subject));
  ObjectReader object(json, subject);
  if (const std::string name = object.text("schema"); object.has("schema") && name != T::schema)
    return Error(ErrorCode::version_mismatch, subject, fmt::format("its schema is \"{}\", not \"{}\"", name, T::schema),
                 "use the version of the library that wrote it");
  T value;
  MemberReader reading(object);
  fields(reading, value);
  MCOMP_CHECK(object.finish());
  return value;
}

} // namespace

} // namespace detail

std::string to_json(const Report& report) {
  return detail::written(report);
}
std::string to_json(const Review& review) {
  return detail::written(review);
}
std::string to_json(const Playbook& playbook) {
  return detail::written(playbook);
}

Result<Report> Report::parse(std::string_view json, const std::string& subject) {
  return detail::parsed<Report>(json, subject);
}
Result<Review> Review::parse(std::string_view json, const std::string& subject) {
  return detail::parsed<Review>(json, subject);
}
Result<Playbook> Playbook::parse(std::string_view json, const std::string& subject) {
  return detail::parsed<Playbook>(json, subject);
}

} // namespace mcomp::inline v0::report
