// A file or pipe as a stream of bytes, unpacked on the fly when it is a gzip or zstd archive.
// File name in, pieces of bytes out, in bounded memory. The file is opened and read once, so pipes lose nothing; its kind
// is decided by its first bytes, not by its name. Damaged and truncated archives, and known files of other kinds (xz, zip,
// Parquet, Git LFS pointers, ...), are Errors. Not for token shards, which are mapped (base/file.h has FileMap).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace moebius::data {

class ByteStream {
 public:
  explicit ByteStream(const std::string& path);
  ~ByteStream();
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;

  // Fills up to `bytes` bytes; returns how many. 0 only at the end of the unpacked content. Throws Error.
  i64 read(char* into, i64 bytes);
  // The next bytes of the unpacked content, which read() gives as well; fewer than `bytes` only at the end.
  std::string_view peek(i64 bytes);
  const std::string& path() const { return path_; }

  class Source;  // one for each kind of archive (byte_stream.cpp)

 private:
  std::string path_;
  std::unique_ptr<Source> source_;
  std::string ahead_;  // peeked, not read yet
};

// The rest of a stream. Throws Error when it is longer than `bytes_max`.
std::string read_all(ByteStream& stream, i64 bytes_max);
// The whole unpacked content. Throws Error when it is longer than `bytes_max`.
std::string read_unpacked(const std::string& path, i64 bytes_max = i64{4} << 30);

// A pipe's content can be read only once. Throws Error when two of the paths are the same pipe or terminal.
void refuse_repeated_pipes(const std::vector<std::string>& paths);

}  // namespace moebius::data
