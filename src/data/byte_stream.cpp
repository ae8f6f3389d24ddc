// Plain, gzip and zstd sources behind one read(): the archive formats' own libraries do the unpacking.
#include "data/byte_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace moebius::data {

namespace {

constexpr i64 kPackedBytes = i64{256} << 10;

// The packed file itself.
class RawFile {
 public:
  explicit RawFile(const std::string& path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw_system_error(path, "opening", errno);
  }
  ~RawFile() { ::close(fd_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  i64 read(char* into, i64 bytes) {
    for (;;) {
      const ssize_t got = ::read(fd_, into, static_cast<std::size_t>(bytes));
      if (got >= 0) {
        bytes_read_ += got;
        return got;
      }
      if (errno != EINTR) throw_system_error(path_, "reading", errno);
    }
  }
  const std::string& path() const { return path_; }
  i64 bytes_read() const { return bytes_read_; }

 private:
  std::string path_;
  int fd_;
  i64 bytes_read_ = 0;
};

}  // namespace

class ByteStream::Source {
 public:
  explicit Source(const std::string& path) : file_(path) {}
  virtual ~Source() = default;
  virtual i64 read(char* into, i64 bytes) { return file_.read(into, bytes); }

 protected:
  [[noreturn]] void fail(const char* kind, const std::string& what) const {
    throw Error(
        {.where = file_.path(),
         .what = fmt::format("the {} archive is broken near packed byte {}: {}", kind, file_.bytes_read(), what),
         .fix = "copy or download the file again"});
  }

  RawFile file_;
};

namespace {
constexpr const char* kTruncated = "the file ends in the middle of the archive (truncated)";
}

// gzip, also several members one after another.
class GzipSource final : public ByteStream::Source {
 public:
  explicit GzipSource(const std::string& path) : Source(path), packed_(kPackedBytes) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw Error({.where = path, .what = "zlib could not start"});
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  i64 read(char* into, i64 bytes) override {
    bytes = std::min<i64>(bytes, i64{1} << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(into);
    stream_.avail_out = static_cast<uInt>(bytes);
    while (stream_.avail_out == static_cast<uInt>(bytes)) {
      if (stream_.avail_in == 0 && !refill()) {
        if (in_member_) fail("gzip", kTruncated);
        return 0;
      }
      if (!in_member_) {
        if (inflateReset(&stream_) != Z_OK) fail("gzip", "zlib could not restart");
        in_member_ = true;
      }
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_STREAM_END) {
        in_member_ = false;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        fail("gzip", stream_.msg != nullptr ? stream_.msg : "bad data");
      }
    }
    return bytes - static_cast<i64>(stream_.avail_out);
  }

 private:
  bool refill() {
    const i64 got = file_.read(packed_.data(), kPackedBytes);
    stream_.next_in = reinterpret_cast<Bytef*>(packed_.data());
    stream_.avail_in = static_cast<uInt>(got);
    return got > 0;
  }

  std::vector<char> packed_;
  z_stream stream_ = {};
  bool in_member_ = true;
};

// zstd, also several frames one after another.
class ZstdSource final : public ByteStream::Source {
 public:
  explicit ZstdSource(const std::string& path) : Source(path), packed_(kPackedBytes), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw Error({.where = path, .what = "zstd could not start"});
  }
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

  i64 read(char* into, i64 bytes) override {
    ZSTD_outBuffer out = {into, static_cast<std::size_t>(bytes), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !flushing_) {
        const i64 got = file_.read(packed_.data(), kPackedBytes);
        if (got == 0) {
          if (in_frame_) fail("zstd", kTruncated);
          return 0;
        }
        in_ = {packed_.data(), static_cast<std::size_t>(got), 0};
      }
      const std::size_t code = ZSTD_decompressStream(stream_, &out, &in_);
      if (ZSTD_isError(code) != 0) fail("zstd", ZSTD_getErrorName(code));
      in_frame_ = code != 0;
      // A full output may leave more inside of the decoder than the input shows.
      flushing_ = in_frame_ && out.pos == out.size;
    }
    return static_cast<i64>(out.pos);
  }

 private:
  std::vector<char> packed_;
  ZSTD_DStream* stream_;
  ZSTD_inBuffer in_ = {nullptr, 0, 0};
  bool in_frame_ = true;
  bool flushing_ = false;
};

ByteStream::ByteStream(const std::string& path) : path_(path) {
  u8 head[4] = {};
  i64 got = 0;
  {
    RawFile file(path);
    while (got < 4) {
      const i64 more = file.read(reinterpret_cast<char*>(head) + got, 4 - got);
      if (more == 0) break;
      got += more;
    }
  }
  const auto named = [&](std::string_view ending) {
    return path.size() >= ending.size() && path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
  };
  if (got >= 2 && head[0] == 0x1f && head[1] == 0x8b) {
    source_ = std::make_unique<GzipSource>(path);
  } else if (got == 4 && head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd) {
    source_ = std::make_unique<ZstdSource>(path);
  } else if (got > 0 && (named(".gz") || named(".zst"))) {
    throw Error({.where = path,
                 .what = fmt::format("the file is named as a {} archive but does not start as one",
                                     named(".gz") ? "gzip" : "zstd"),
                 .fix = "copy or download the file again, or take the ending off its name"});
  } else {
    source_ = std::make_unique<Source>(path);
  }
}

ByteStream::~ByteStream() = default;
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;

i64 ByteStream::read(char* into, i64 bytes) { return bytes <= 0 ? 0 : source_->read(into, bytes); }

std::string read_unpacked(const std::string& path, i64 bytes_max) {
  ByteStream stream(path);
  std::string content;
  constexpr i64 kStep = i64{1} << 20;
  for (;;) {
    const std::size_t size = content.size();
    content.resize(size + kStep);
    const i64 got = stream.read(content.data() + size, kStep);
    content.resize(size + static_cast<std::size_t>(got));
    if (got == 0) return content;
    if (static_cast<i64>(content.size()) > bytes_max) {
      throw Error({.where = path, .what = fmt::format("the file unpacks to more than {} bytes", bytes_max)});
    }
  }
}

}  // namespace moebius::data
