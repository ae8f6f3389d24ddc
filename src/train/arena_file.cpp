// Header as JSON, padded to 8 bytes; offsets are from the end of the header (safetensors' own rules).
#include "train/arena_file.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace moebius::train {

namespace {

constexpr i64 kHeaderBytesMax = 100'000'000;  // as safetensors itself

[[noreturn]] void broken(const std::string& path, const std::string& what) {
  throw Error({.where = path,
               .what = what,
               .fix = "the file is damaged or of another model; go on from another checkpoint"});
}

i64 bytes_of(const ArenaPart& part) { return static_cast<i64>(part.values.size() * sizeof(float)); }

}  // namespace

void write_arenas(const std::string& path, const std::vector<ArenaPart>& parts) {
  Json header = Json::object();
  i64 begin = 0;
  for (const ArenaPart& part : parts) {
    const i64 end = begin + bytes_of(part);
    header.set(part.name, Json::object({{"dtype", "F32"},
                                        {"shape", Json::Array{static_cast<i64>(part.values.size())}},
                                        {"data_offsets", Json::Array{begin, end}}}));
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const u64 text_bytes = text.size();
  AtomicFile file(path);
  file.write(&text_bytes, 8);
  file.write(text.data(), static_cast<i64>(text.size()));
  for (const ArenaPart& part : parts) file.write(part.values.data(), bytes_of(part));
  file.commit();
}

void read_arenas(const std::string& path, const std::vector<ArenaPart>& parts) {
  const FileMap map(path);
  u64 text_bytes = 0;
  if (map.bytes() < 8) broken(path, "the file is cut off");
  std::memcpy(&text_bytes, map.data(), 8);
  if (text_bytes > static_cast<u64>(std::min(kHeaderBytesMax, map.bytes() - 8))) broken(path, "the header is cut off");
  const Json header =
      Json::parse({reinterpret_cast<const char*>(map.data()) + 8, static_cast<std::size_t>(text_bytes)}, path);
  const u8* data = map.data() + 8 + text_bytes;
  const i64 data_bytes = map.bytes() - 8 - static_cast<i64>(text_bytes);
  for (const ArenaPart& part : parts) {
    const Json* entry = header.is_object() ? header.find(part.name) : nullptr;
    if (entry == nullptr) broken(path, fmt::format("tensor '{}' is missing", part.name));
    const Json& offsets = entry->at("data_offsets");
    if (entry->at("dtype").as_string() != "F32" || offsets.count() != 2) {
      broken(path, fmt::format("tensor '{}' is not F32", part.name));
    }
    const i64 begin = offsets[0].as_int(), end = offsets[1].as_int();
    if (begin < 0 || end < begin || end > data_bytes) {
      broken(path, fmt::format("tensor '{}' lies outside of the file", part.name));
    }
    if (end - begin != bytes_of(part)) {
      broken(path, fmt::format("tensor '{}' has {} bytes instead of {}", part.name, end - begin, bytes_of(part)));
    }
    std::memcpy(part.values.data(), data + begin, static_cast<std::size_t>(end - begin));
  }
}

}  // namespace moebius::train
