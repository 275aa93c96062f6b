#include "mcomp/catalog/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "catalog/base64.hpp"
#include "catalog/canonical.hpp"
#include "mcomp/core/format.hpp"

namespace mcomp::inline v0::catalog {

namespace {

constexpr std::size_t largest_note = 1U << 20, most_signatures = 100;
constexpr std::string_view dash = "\xe2\x80\x94 "; // U+2014, em dash

Error corrupt(const char* subject, std::string rule) {
  return Error(ErrorCode::corrupt, subject, std::move(rule), "fetch it anew; do not trust it as it is");
}

/// UTF-8 without control characters but line feeds, every line ended.
bool is_note_text(std::string_view text) {
  return !text.empty() && text.back() == '\n' && text.size() <= largest_note && detail::is_utf8(text) &&
         std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; });
}

bool is_line(std::string_view line) {
  return !line.empty() && is_note_text(std::string(line) + "\n") && line.find('\n') == std::string_view::npos;
}

/// Cuts the first line off, without its end.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

Result<Note::Signed> parse_signature(std::string_view line) {
  const auto broken = [] { return corrupt("signed note", "a line of signatures is not \"— name base64\""); };
  if (!line.starts_with(dash)) return broken();
  line.remove_prefix(dash.size());
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || line.substr(0, space).find('+') != std::string_view::npos)
    return broken();
  const auto bytes = detail::from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() <= 4) return broken();
  Note::Signed signature{.name = std::string(line.substr(0, space)), .signature = bytes->substr(4)};
  for (std::size_t i = 0; i < 4; ++i) signature.id = signature.id << 8 | static_cast<unsigned char>((*bytes)[i]);
  return signature;
}

} // namespace

Result<Note> Note::parse(std::string_view text) {
  if (!is_note_text(text))
    return corrupt("signed note", "it is empty, above 1 MiB, no UTF-8, has control characters or no end of line");
  // The text may hold empty lines itself: the last one divides.
  const std::size_t divider = text.rfind("\n\n");
  if (divider == std::string_view::npos) return corrupt("signed note", "no empty line divides text and signatures");
  Note note{.text = std::string(text.substr(0, divider + 1)), .signatures = {}};
  std::string_view rest = text.substr(divider + 2);
  while (!rest.empty()) {
    if (note.signatures.size() == most_signatures)
      return corrupt("signed note", fmt::format("more than {} signatures", most_signatures));
    MCOMP_TRY(signature, parse_signature(next_line(rest)));
    note.signatures.push_back(std::move(signature));
  }
  if (note.signatures.empty()) return corrupt("signed note", "it has no signature");
  return note;
}

std::string to_text(const Note& note) {
  std::string text = note.text + "\n";
  for (const auto& signature : note.signatures) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(signature.id >> shift & 0xff);
    text += fmt::format("{}{} {}\n", dash, signature.name, detail::to_base64(bytes + signature.signature));
  }
  return text;
}

Status sign(Note& note, const SigningKey& key) {
  if (!is_note_text(note.text))
    return Error(ErrorCode::invalid_argument, "signed note",
                 "its text is empty, above 1 MiB, no UTF-8, has control characters or no end of line",
                 "end every line with a line feed");
  MCOMP_TRY(signature, key.sign(note.text));
  note.signatures.push_back(
      {key.public_key().name, key.public_key().id(), std::string(signature.begin(), signature.end())});
  return {};
}

Result<std::vector<PublicKey>> signers(const Note& note, std::span<const PublicKey> known) {
  std::vector<PublicKey> found;
  for (const auto& entry : note.signatures)
    for (const PublicKey& key : known) {
      if (entry.name != key.name || entry.id != key.id()) continue;
      Signature signature;
      if (entry.signature.size() != signature.size())
        return corrupt("signed note", "the signature of " + key.name + " has not 64 bytes");
      std::memcpy(signature.data(), entry.signature.data(), signature.size());
      MCOMP_CHECK(verify_signature(key, note.text, signature));
      if (std::ranges::find(found, key) == found.end()) found.push_back(key);
    }
  return found;
}

Result<Checkpoint> Checkpoint::parse(std::string_view text) {
  if (!is_note_text(text)) return corrupt("checkpoint", "it is no text of whole lines");
  Checkpoint checkpoint;
  checkpoint.origin = next_line(text);
  if (checkpoint.origin.empty()) return corrupt("checkpoint", "its first line, the origin, is empty");
  const std::string_view size = next_line(text);
  const auto read = std::from_chars(size.data(), size.data() + size.size(), checkpoint.size);
  if (size.empty() || read.ec != std::errc() || read.ptr != size.data() + size.size() ||
      (size.size() > 1 && size[0] == '0'))
    return corrupt("checkpoint", "its second line is not the number of entries");
  const auto root = detail::from_base64(next_line(text));
  if (!root || root->size() != checkpoint.root.size())
    return corrupt("checkpoint", "its third line is not the base64 of a root of 32 bytes");
  std::memcpy(checkpoint.root.data(), root->data(), root->size());
  while (!text.empty()) {
    checkpoint.extensions.emplace_back(next_line(text));
    if (checkpoint.extensions.back().empty()) return corrupt("checkpoint", "a line is empty");
  }
  return checkpoint;
}

std::string to_text(const Checkpoint& checkpoint) {
  std::string text =
      fmt::format("{}\n{}\n{}\n", checkpoint.origin, checkpoint.size, detail::to_base64(checkpoint.root));
  for (const std::string& line : checkpoint.extensions) text += line + "\n";
  return text;
}

Result<std::string> sign_checkpoint(const Checkpoint& checkpoint, std::span<const SigningKey> keys) {
  if (keys.empty())
    return Error(ErrorCode::invalid_argument, "checkpoint", "there is no key to sign with", "give the key of the log");
  if (!is_line(checkpoint.origin) || !std::ranges::all_of(checkpoint.extensions, is_line))
    return Error(ErrorCode::invalid_argument, "checkpoint",
                 "origin and extensions are lines of UTF-8 that are not empty", "name the log in one line");
  Note note{.text = to_text(checkpoint), .signatures = {}};
  for (const SigningKey& key : keys) MCOMP_CHECK(sign(note, key));
  return to_text(note);
}

Result<Checkpoint> open_checkpoint(std::string_view text, std::span<const PublicKey> trusted, std::string_view origin,
                                   int threshold) {
  if (threshold < 1)
    return Error(ErrorCode::invalid_argument, "threshold", "at least one signature is needed", "ask for 1 or more");
  MCOMP_TRY(note, Note::parse(text));
  MCOMP_TRY(found, signers(note, trusted));
  if (found.size() < static_cast<std::size_t>(threshold))
    return corrupt("checkpoint", fmt::format("{} trusted keys signed it, {} are needed", found.size(), threshold));
  MCOMP_TRY(checkpoint, Checkpoint::parse(note.text));
  if (checkpoint.origin != origin)
    return corrupt("checkpoint", fmt::format("it is of the log \"{}\", not \"{}\"", checkpoint.origin, origin));
  return checkpoint;
}

} // namespace mcomp::inline v0::catalog
