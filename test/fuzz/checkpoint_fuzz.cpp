// libFuzzer program for signed notes and the checkpoints in them: what is read is written as the same bytes.

#include "mcomp/catalog/checkpoint.hpp"
#include "property.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mcomp::catalog;
  const std::string_view input = mcomp_fuzz::text(data, size);
  const auto check = [](std::string_view text) {
    const auto checkpoint = Checkpoint::parse(text);
    if (!checkpoint) return mcomp_fuzz::demand_whole(checkpoint.error());
    mcomp_fuzz::demand(to_text(*checkpoint) == text);
  };
  check(input);
  const auto note = Note::parse(input);
  if (!note) return mcomp_fuzz::demand_whole(note.error()), 0;
  mcomp_fuzz::demand(to_text(*note) == input);
  check(note->text);
  // The key of the seeds: nothing else may open.
  static const auto key = SigningKey::from_seed("log", std::array<std::uint8_t, 32>{7}).value().public_key();
  const auto opened = open_checkpoint(input, {&key, 1}, "log");
  if (!opened) mcomp_fuzz::demand_whole(opened.error());
  return 0;
}
