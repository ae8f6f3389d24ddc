// Validating reader and atomic writer of safetensors files.
#include "tensor/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/json.h"

namespace moebius {

namespace {

constexpr i64 kHeaderMax = 100 << 20;  // the limit that the format's own library sets

[[noreturn]] void broken(const std::string& path, const std::string& what, const std::string& wanted = "",
                         const std::string& got = "") {
  throw Error({.where = path,
               .what = what,
               .wanted = wanted,
               .got = got,
               .fix = "the file is damaged or is not a safetensors file: download it again"});
}

u64 read_u64(const u8* data) {
  u64 value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | data[i];
  return value;
}

std::vector<i64> parse_shape(const Json& json, const std::string& path, const std::string& name) {
  if (!json.is_array() || json.count() > 16)
    broken(path, fmt::format("the shape of tensor '{}' is not a list of sizes", name));
  std::vector<i64> shape;
  for (const Json& item : json.as_array()) {
    if (!item.is_int() || item.as_int() < 0)
      broken(path, fmt::format("the shape of tensor '{}' is not a list of sizes", name), "", json.dump());
    shape.push_back(item.as_int());
  }
  return shape;
}

// Bytes of a shape; refuses what does not fit in 63 bits.
i64 shape_bytes(const std::vector<i64>& shape, DType dtype, const std::string& path, const std::string& name) {
  i64 bytes = dtype_bytes(dtype);
  for (const i64 size : shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes))
      broken(path, fmt::format("the size of tensor '{}' overflows", name));
  }
  return bytes;
}

StoredTensor parse_tensor(const Json& json, const std::string& path, const std::string& name, const u8* data,
                          i64 data_bytes, i64& begin) {
  if (!json.is_object()) broken(path, fmt::format("the entry of tensor '{}' is not an object", name));
  const Json* dtype = json.find("dtype");
  const Json* shape = json.find("shape");
  const Json* offsets = json.find("data_offsets");
  if (dtype == nullptr || !dtype->is_string() || shape == nullptr || offsets == nullptr || !offsets->is_array() ||
      offsets->count() != 2 || !(*offsets)[0].is_int() || !(*offsets)[1].is_int()) {
    broken(path, fmt::format("the entry of tensor '{}' is incomplete", name), "dtype, shape and two data_offsets",
           json.dump());
  }
  StoredTensor tensor;
  tensor.dtype = dtype_from_name(dtype->as_string(), fmt::format("{}, tensor '{}'", path, name));
  tensor.shape = parse_shape(*shape, path, name);
  const i64 end = (*offsets)[1].as_int();
  begin = (*offsets)[0].as_int();
  if (begin < 0 || end < begin || end > data_bytes) {
    broken(path, fmt::format("tensor '{}' is outside the file (is the file truncated?)", name),
           fmt::format("offsets from 0 to {}", data_bytes), fmt::format("{} to {}", begin, end));
  }
  tensor.bytes = shape_bytes(tensor.shape, tensor.dtype, path, name);
  if (tensor.bytes != end - begin) {
    broken(path, fmt::format("tensor '{}' has another number of bytes than its shape", name),
           std::to_string(tensor.bytes), std::to_string(end - begin));
  }
  tensor.data = data + begin;
  return tensor;
}

// The tensors must fill the data without gaps or overlaps, as the format requires.
void check_layout(std::vector<std::pair<i64, i64>>& spans, i64 data_bytes, const std::string& path) {
  std::sort(spans.begin(), spans.end());
  i64 at = 0;
  for (const auto& [begin, end] : spans) {
    if (begin != at)
      broken(path, begin < at ? "tensors overlap" : "there is a gap between tensors", std::to_string(at),
             std::to_string(begin));
    at = end;
  }
  if (at != data_bytes) {
    broken(path, "the file has another length than its header states", fmt::format("{} bytes of tensors", at),
           std::to_string(data_bytes));
  }
}

Json parse_header(const FileMap& map, const std::string& path, i64& data_at) {
  const auto head_bytes = static_cast<std::size_t>(std::min<i64>(map.bytes(), kFileKindBytes));
  const std::string_view head(reinterpret_cast<const char*>(map.data()), head_bytes);
  const auto refuse_other_kind = [&] {
    constexpr const char* kOurs = "a safetensors file";
    const FileKind* kind = file_kind(head);
    if (kind == nullptr || kind->name == kOurs) return;
    if (!kind->name.starts_with("a zip archive") && !kind->name.starts_with("a Python pickle"))
      refuse_file_kind(path, head, kOurs);
    throw Error({.where = path,
                 .what = "the file is " + std::string(kind->name),
                 .wanted = kOurs,
                 .fix = "convert weights of PyTorch with transformers: model.save_pretrained(FOLDER)"});
  };
  if (map.bytes() < 8) {
    refuse_other_kind();
    broken(path, "the file is too short for a header", "at least 8 bytes", std::to_string(map.bytes()));
  }
  const u64 length = read_u64(map.data());
  if (length > static_cast<u64>(kHeaderMax) || length > static_cast<u64>(map.bytes() - 8)) {
    refuse_other_kind();
    broken(path, "the header length is larger than the file",
           fmt::format("at most {} bytes", std::min(kHeaderMax, map.bytes() - 8)), std::to_string(length));
  }
  data_at = 8 + static_cast<i64>(length);
  Json header = Json::parse({reinterpret_cast<const char*>(map.data()) + 8, length}, path + ", header");
  if (!header.is_object()) broken(path, "the header is not a JSON object");
  return header;
}

float element_to_f32(const u8* at, DType dtype) {
  switch (dtype) {
    case DType::f32: {
      float v;
      std::memcpy(&v, at, 4);
      return v;
    }
    case DType::bf16: {
      bf16 v;
      std::memcpy(&v, at, 2);
      return to_float(v);
    }
    case DType::f16: {
      u16 v;
      std::memcpy(&v, at, 2);
      return f16_to_float(v);
    }
    default: {
      double v;
      std::memcpy(&v, at, 8);
      return static_cast<float>(v);
    }
  }
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) : path_(path) {
  const std::string index = path_join(path, "model.safetensors.index.json");
  const std::string single = path_join(path, "model.safetensors");
  if (!folder_exists(path)) {
    add_file(path);
  } else if (file_exists(single)) {
    add_file(single);
  } else if (file_exists(index)) {
    add_index(path, index);
  } else {
    const std::vector<std::string> names = folder_list(path);
    const auto has = [&](const char* begin, const char* end) {
      return std::any_of(names.begin(), names.end(),
                         [&](const std::string& name) { return name.starts_with(begin) && name.ends_with(end); });
    };
    throw Error(
        {.where = path,
         .what = "the folder contains no weights in safetensors format",
         .wanted = "model.safetensors or model.safetensors.index.json",
         .got = has("model-", ".safetensors") ? "shards without their index"
                : has("adapter_model", "")    ? "an adapter (LoRA), which changes another model"
                                              : "",
         .fix = has("model-", ".safetensors") ? "copy or download model.safetensors.index.json too"
                : has("adapter_model", "")
                    ? "merge it with peft: PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(FOLDER)"
                    : "convert other formats with transformers: model.save_pretrained(FOLDER)"});
  }
}

void SafetensorsReader::add_file(const std::string& path) {
  files_.push_back(path);
  maps_.emplace_back(path);
  const FileMap& map = maps_.back();
  i64 data_at = 0;
  const Json header = parse_header(map, path, data_at);
  const i64 data_bytes = map.bytes() - data_at;
  std::vector<std::pair<i64, i64>> spans;
  for (const auto& [name, json] : header.as_object()) {
    if (name == "__metadata__") {
      if (json.is_null()) continue;  // the format's own library accepts it
      if (!json.is_object()) broken(path, "__metadata__ is not an object");
      for (const auto& [key, value] : json.as_object()) {
        if (!value.is_string()) broken(path, fmt::format("__metadata__ '{}' is not a string", key));
        metadata_[key] = value.as_string();
      }
      continue;
    }
    i64 begin = 0;
    StoredTensor tensor = parse_tensor(json, path, name, map.data() + data_at, data_bytes, begin);
    tensor.file = &files_.back();
    spans.emplace_back(begin, begin + tensor.bytes);
    if (!tensors_.emplace(name, std::move(tensor)).second)
      broken(path, fmt::format("tensor '{}' appears twice, here or in another shard", name));
  }
  check_layout(spans, data_bytes, path);
}

void SafetensorsReader::add_index(const std::string& folder, const std::string& index) {
  const Json json = Json::parse_file(index);
  const Json* weights = json.is_object() ? json.find("weight_map") : nullptr;
  if (weights == nullptr || !weights->is_object()) broken(index, "the index has no weight_map");
  std::set<std::string> names;
  for (const auto& [tensor, file] : weights->as_object()) {
    if (!file.is_string()) broken(index, fmt::format("weight_map '{}' is not a file name", tensor));
    const std::string& name = file.as_string();
    if (name.empty() || name.find('/') != std::string::npos || name[0] == '.') {
      broken(index, "a shard is not in the folder of the index", "a plain file name", name);
    }
    names.insert(name);
  }
  for (const std::string& name : names) {
    if (!file_exists(path_join(folder, name))) {
      throw Error({.where = path_join(folder, name),
                   .what = fmt::format("a shard of the model is missing ({} shards in {})", names.size(), index),
                   .fix = "copy or download the complete folder"});
    }
    add_file(path_join(folder, name));
  }
  for (const auto& [tensor, file] : weights->as_object()) {
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end() || *found->second.file != path_join(folder, file.as_string())) {
      broken(index, fmt::format("tensor '{}' is not in the shard that the index names", tensor), file.as_string());
    }
  }
}

const StoredTensor& SafetensorsReader::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) return found->second;
  throw Error(
      {.where = path_,
       .what = fmt::format("tensor '{}' is missing", name),
       .fix = "config.json and the weights belong to different models, or shards are missing: check the folder"});
}

const StoredTensor& SafetensorsReader::find(const std::string& name, const std::vector<i64>& shape) const {
  const StoredTensor& tensor = find(name);
  if (tensor.shape == shape) return tensor;
  throw Error({.where = *tensor.file,
               .what = fmt::format("tensor '{}' has another shape than config.json requires", name),
               .wanted = fmt::format("[{}]", fmt::join(shape, ", ")),
               .got = fmt::format("[{}]", fmt::join(tensor.shape, ", ")),
               .fix = "config.json and the weights belong to different models: check the folder"});
}

void stored_to_f32(const StoredTensor& tensor, i64 begin, i64 count, float* dst) {
  CHECK(begin >= 0 && count >= 0 && begin <= tensor.elements() - count, "elements lie in the tensor");
  if (tensor.dtype == DType::i32 || tensor.dtype == DType::i64 || tensor.dtype == DType::u8) {
    throw Error({.where = *tensor.file,
                 .what = "a weight is stored as integers: quantised weights are not supported",
                 .wanted = "F32, BF16, F16 or F64",
                 .got = dtype_name(tensor.dtype),
                 .fix = "use the checkpoint from which this one was quantised"});
  }
  const i64 size = dtype_bytes(tensor.dtype);
  const u8* at = tensor.data + begin * size;
  if (tensor.dtype == DType::f32) {
    if (count > 0) std::memcpy(dst, at, static_cast<std::size_t>(count) * 4);
    return;
  }
  for (i64 i = 0; i < count; ++i) dst[i] = element_to_f32(at + i * size, tensor.dtype);
}

SafetensorsWriter::SafetensorsWriter(std::string path, std::vector<std::pair<std::string, std::string>> metadata)
    : path_(path), metadata_(std::move(metadata)), file_(std::move(path)) {}

void SafetensorsWriter::declare(const std::string& name, DType dtype, std::vector<i64> shape) {
  CHECK(!header_written_, "tensors are declared before the first byte");
  i64 bytes = dtype_bytes(dtype);
  for (const i64 size : shape) bytes *= size;
  declared_.push_back({name, dtype, std::move(shape), offset_, offset_ + bytes});
  offset_ += bytes;
}

void SafetensorsWriter::write_header() {
  header_written_ = true;
  Json header = Json::object();
  if (!metadata_.empty()) {
    Json metadata = Json::object();
    for (const auto& [key, value] : metadata_) metadata.set(key, value);
    header.set("__metadata__", metadata);
  }
  std::string text = header.dump();
  text.pop_back();  // Json::set searches for the key, which is slow with thousands of tensors
  bool first = metadata_.empty();
  for (const Declared& tensor : declared_) {
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", first ? "" : ",",
                        Json(tensor.name).dump(), dtype_name(tensor.dtype), fmt::join(tensor.shape, ","), tensor.begin,
                        tensor.end);
    first = false;
  }
  text += "}";
  while (text.size() % 8 != 0) text += ' ';  // tensors begin at a multiple of eight
  u8 length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<u8>(text.size() >> (8 * i));
  file_.write(length, 8);
  file_.write(text.data(), static_cast<i64>(text.size()));
}

void SafetensorsWriter::write(const void* data, i64 bytes) {
  if (!header_written_) write_header();
  written_ += bytes;
  CHECK(written_ <= offset_, "no more bytes than declared");
  file_.write(data, bytes);
}

void SafetensorsWriter::write_f32_as(const float* values, i64 count, DType dtype) {
  CHECK(dtype == DType::f32 || dtype == DType::bf16, "weights are written as F32 or BF16");
  if (dtype == DType::f32) {
    write(values, count * 4);
    return;
  }
  constexpr i64 kChunk = 1 << 18;
  std::vector<bf16> rounded(static_cast<std::size_t>(std::min(kChunk, count)));
  for (i64 begin = 0; begin < count; begin += kChunk) {
    const i64 part = std::min(kChunk, count - begin);
    for (i64 i = 0; i < part; ++i) rounded[static_cast<std::size_t>(i)] = to_bf16(values[begin + i]);
    write(rounded.data(), part * 2);
  }
}

void SafetensorsWriter::commit() {
  if (!header_written_) write_header();
  CHECK(written_ == offset_, "every declared byte is written");
  file_.commit();
}

}  // namespace moebius
