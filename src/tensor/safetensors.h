// safetensors files (Hugging Face): eight bytes of header length, a JSON header, raw little-endian tensors.
// Reading maps the file and trusts nothing in it: every length, offset, count and format is checked before use.
// Writing streams into a temporary file, which is renamed when it is complete.
// Not for the meaning of the tensors (model/hf_names.h).
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"

namespace moebius {

// A tensor of a mapped file. The bytes may be unaligned for their type: copy elements with std::memcpy.
struct StoredTensor {
  DType dtype = DType::f32;
  std::vector<i64> shape;
  const u8* data = nullptr;
  i64 bytes = 0;
  const std::string* file = nullptr;  // for error texts

  i64 elements() const { return bytes / dtype_bytes(dtype); }
};

// One file, or all the files that a folder's model.safetensors.index.json names.
class SafetensorsReader {
 public:
  // `path`: a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json.
  // Throws Error: a missing file or shard, a Git LFS pointer, a broken header, offsets outside the file, overlaps or gaps,
  // a tensor that is in two shards, or one that the index names and its shard does not contain.
  explicit SafetensorsReader(const std::string& path);
  SafetensorsReader(const SafetensorsReader&) = delete;
  SafetensorsReader& operator=(const SafetensorsReader&) = delete;

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  bool contains(const std::string& name) const { return tensors_.count(name) != 0; }
  // Throws Error naming the file and the nearest tensor.
  const StoredTensor& find(const std::string& name) const;
  // The same, with this shape.
  const StoredTensor& find(const std::string& name, const std::vector<i64>& shape) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

 private:
  void add_file(const std::string& path);
  void add_index(const std::string& folder, const std::string& index);

  std::string path_;
  std::map<std::string, StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<FileMap> maps_;
  std::deque<std::string> files_;  // tensors point to these names
};

// Converts elements [begin, begin + count) to f32. Throws Error when the format is not F32, BF16, F16 or F64.
void stored_to_f32(const StoredTensor& tensor, i64 begin, i64 count, float* dst);

// Writes a file in pieces: all tensors are declared first, then their bytes follow in the order of declaration.
class SafetensorsWriter {
 public:
  // metadata: strings for "__metadata__".
  explicit SafetensorsWriter(std::string path, std::vector<std::pair<std::string, std::string>> metadata = {});
  void declare(const std::string& name, DType dtype, std::vector<i64> shape);
  // The next bytes, in pieces of any size. The first call writes the header.
  void write(const void* data, i64 bytes);
  // Writes values, rounded to dtype (F32 or BF16).
  void write_f32_as(const float* values, i64 count, DType dtype);
  void commit();

 private:
  void write_header();
  struct Declared {
    std::string name;
    DType dtype;
    std::vector<i64> shape;
    i64 begin, end;
  };
  std::string path_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  std::vector<Declared> declared_;
  i64 offset_ = 0, written_ = 0;
  bool header_written_ = false;
  AtomicFile file_;
};

}  // namespace moebius
