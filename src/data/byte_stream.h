// A file as a stream of bytes, unpacked on the way when it is a .gz or .zst archive.
// File name in, pieces of bytes out, in bounded memory. A file that is damaged or ends too early is an Error with the
// file's name and the byte where it broke. Not for maps of token shards (base/file.h has FileMap).
#pragma once

#include <memory>
#include <string>

#include "base/types.h"

namespace moebius::data {

class ByteStream {
 public:
  // The archive kind is read from the first bytes of the file, not from its name.
  explicit ByteStream(const std::string& path);
  ~ByteStream();
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;

  // Fills up to `bytes` bytes; returns how many. 0 only at the end of the unpacked content. Throws Error.
  i64 read(char* into, i64 bytes);
  const std::string& path() const { return path_; }

  class Source;  // one for each kind of archive (byte_stream.cpp)

 private:
  std::string path_;
  std::unique_ptr<Source> source_;
};

// The whole unpacked content. Throws Error when it is longer than `bytes_max`.
std::string read_unpacked(const std::string& path, i64 bytes_max = i64{4} << 30);

}  // namespace moebius::data
