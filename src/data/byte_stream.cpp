// Plain, gzip and zstd sources behind one read(): the archive formats' own libraries do the unpacking.
#include "data/byte_stream.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"

namespace moebius::data {

namespace {

constexpr i64 kPackedBytes = i64{256} << 10;
constexpr const char* kTruncated = "the file ends in the middle of the archive (truncated)";

// The compressed file, with a buffer for looking at the next bytes.
class Packed {
 public:
  explicit Packed(const std::string& path) : file_(path), buffer_(kPackedBytes) {}

  // The next bytes: at least `wanted` of them unless the file ends.
  std::string_view look(std::size_t wanted) {
    if (end_ - at_ < wanted && at_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + at_, end_ - at_);
      end_ -= at_;
      at_ = 0;
    }
    while (end_ - at_ < wanted) {
      const i64 got = file_.read(buffer_.data() + end_, static_cast<i64>(buffer_.size() - end_));
      if (got == 0) break;
      end_ += static_cast<std::size_t>(got);
    }
    return {buffer_.data() + at_, end_ - at_};
  }
  void skip(std::size_t bytes) {
    at_ += bytes;
    place_ += static_cast<i64>(bytes);
  }
  // The bytes skipped so far.
  i64 place() const { return place_; }
  const std::string& path() const { return file_.path(); }

 private:
  FileReader file_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, end_ = 0;
  i64 place_ = 0;
};

bool is_gzip(std::string_view head) { return head.substr(0, 2) == "\x1f\x8b"; }

// A frame, or a skippable frame (pzstd writes one first).
bool is_zstd(std::string_view head) {
  if (head.size() < 4) return false;
  u32 magic = 0;
  std::memcpy(&magic, head.data(), 4);
  return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

}  // namespace

class ByteStream::Source {
 public:
  explicit Source(std::unique_ptr<Packed> packed) : packed_(std::move(packed)) {}
  virtual ~Source() = default;
  virtual i64 read(char* into, i64 bytes) {
    const std::string_view next = packed_->look(1);
    const std::size_t count = std::min(next.size(), static_cast<std::size_t>(bytes));
    std::memcpy(into, next.data(), count);
    packed_->skip(count);
    return static_cast<i64>(count);
  }

 protected:
  [[noreturn]] void fail(const char* kind, const std::string& what) const {
    throw Error({.where = packed_->path(),
                 .what = fmt::format("the {} archive is damaged near packed byte {}: {}", kind, packed_->place(), what),
                 .fix = "copy or download the file again"});
  }

  // Between two archives in one file: whether another one follows. Zeros up to the end are padding (tapes, dd).
  bool another(const char* kind, bool (*begins)(std::string_view)) {
    if (begins(packed_->look(4))) return true;
    const i64 end = packed_->place();
    for (;;) {
      const std::string_view rest = packed_->look(1);
      if (rest.empty()) return false;
      if (rest.find_first_not_of('\0') != std::string_view::npos) {
        throw Error(
            {.where = packed_->path(),
             .what = fmt::format("the {} archive ends at packed byte {}, but more bytes follow it", kind, end),
             .wanted = "the end of the file, zero bytes or another archive",
             .fix = fmt::format("copy the file again, or cut the trailing bytes off: head -c {} FILE > NEW", end)});
      }
      packed_->skip(rest.size());
    }
  }

  std::unique_ptr<Packed> packed_;
};

// gzip, also several members one after another.
class GzipSource final : public ByteStream::Source {
 public:
  explicit GzipSource(std::unique_ptr<Packed> packed) : Source(std::move(packed)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK)
      throw Error({.where = packed_->path(), .what = "zlib could not start"});
  }
  ~GzipSource() override { inflateEnd(&stream_); }

  i64 read(char* into, i64 bytes) override {
    bytes = std::min<i64>(bytes, i64{1} << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(into);
    stream_.avail_out = static_cast<uInt>(bytes);
    while (stream_.avail_out == static_cast<uInt>(bytes)) {
      if (!in_member_) {
        if (!another("gzip", is_gzip)) return 0;
        if (inflateReset(&stream_) != Z_OK) fail("gzip", "zlib could not restart");
        in_member_ = true;
      }
      const std::string_view next = packed_->look(1);
      if (next.empty()) fail("gzip", kTruncated);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(next.data()));
      stream_.avail_in = static_cast<uInt>(next.size());
      const int code = inflate(&stream_, Z_NO_FLUSH);
      packed_->skip(next.size() - stream_.avail_in);
      if (code == Z_STREAM_END) {
        in_member_ = false;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        fail("gzip", stream_.msg != nullptr ? stream_.msg : "bad data");
      }
    }
    return bytes - static_cast<i64>(stream_.avail_out);
  }

 private:
  z_stream stream_ = {};
  bool in_member_ = true;
};

// zstd, also several frames one after another; the library passes over skippable frames.
class ZstdSource final : public ByteStream::Source {
 public:
  explicit ZstdSource(std::unique_ptr<Packed> packed) : Source(std::move(packed)), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw Error({.where = packed_->path(), .what = "zstd could not start"});
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, 31);  // also archives made with zstd --long=31
  }
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }

  i64 read(char* into, i64 bytes) override {
    ZSTD_outBuffer out = {into, static_cast<std::size_t>(bytes), 0};
    while (out.pos == 0) {
      if (!in_frame_ && !another("zstd", is_zstd)) return 0;
      in_frame_ = true;
      const std::string_view next = flushing_ ? std::string_view() : packed_->look(1);
      if (next.empty() && !flushing_) fail("zstd", kTruncated);
      ZSTD_inBuffer in = {next.data(), next.size(), 0};
      const std::size_t code = ZSTD_decompressStream(stream_, &out, &in);
      if (ZSTD_isError(code) != 0) fail("zstd", ZSTD_getErrorName(code));
      packed_->skip(in.pos);
      in_frame_ = code != 0;
      // A full output may leave more inside of the decoder than the input shows.
      flushing_ = in_frame_ && out.pos == out.size;
    }
    return static_cast<i64>(out.pos);
  }

 private:
  ZSTD_DStream* stream_;
  bool in_frame_ = true;
  bool flushing_ = false;
};

ByteStream::ByteStream(const std::string& path) : path_(path) {
  auto packed = std::make_unique<Packed>(path);
  const std::string_view head = packed->look(kFileKindBytes);
  if (is_gzip(head)) {
    source_ = std::make_unique<GzipSource>(std::move(packed));
  } else if (is_zstd(head)) {
    source_ = std::make_unique<ZstdSource>(std::move(packed));
  } else {
    constexpr const char* kWanted = "plain content, or a gzip or zstd archive of it";
    refuse_file_kind(path, head, kWanted);
    const bool gz = path.ends_with(".gz");
    if (!head.empty() && (gz || path.ends_with(".zst") || path.ends_with(".zstd"))) {
      throw Error(
          {.where = path,
           .what = fmt::format("the file is named as a {} archive but does not start as one", gz ? "gzip" : "zstd"),
           .fix = "copy or download the file again; if the content is not packed, rename the file"});
    }
    source_ = std::make_unique<Source>(std::move(packed));
    return;
  }
  refuse_file_kind(path + " (unpacked)", peek(kFileKindBytes), "text or JSON in the archive");
}

ByteStream::~ByteStream() = default;
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;

i64 ByteStream::read(char* into, i64 bytes) {
  if (bytes <= 0) return 0;
  if (ahead_.empty()) return source_->read(into, bytes);
  const std::size_t count = std::min(ahead_.size(), static_cast<std::size_t>(bytes));
  std::memcpy(into, ahead_.data(), count);
  ahead_.erase(0, count);
  return static_cast<i64>(count);
}

std::string_view ByteStream::peek(i64 bytes) {
  const auto wanted = static_cast<std::size_t>(bytes);
  while (ahead_.size() < wanted) {
    const std::size_t size = ahead_.size();
    ahead_.resize(wanted);
    const i64 got = source_->read(ahead_.data() + size, static_cast<i64>(wanted - size));
    ahead_.resize(size + static_cast<std::size_t>(got));
    if (got == 0) break;
  }
  return ahead_;
}

std::string read_all(ByteStream& stream, i64 bytes_max) {
  std::string content;
  constexpr i64 kStep = i64{1} << 20;
  for (;;) {
    const std::size_t size = content.size();
    content.resize(size + kStep);
    const i64 got = stream.read(content.data() + size, kStep);
    content.resize(size + static_cast<std::size_t>(got));
    if (got == 0) return content;
    if (static_cast<i64>(content.size()) > bytes_max) {
      throw Error({.where = stream.path(), .what = fmt::format("the content is longer than {} bytes", bytes_max)});
    }
  }
}

std::string read_unpacked(const std::string& path, i64 bytes_max) {
  ByteStream stream(path);
  return read_all(stream, bytes_max);
}

void refuse_repeated_pipes(const std::vector<std::string>& paths) {
  std::map<std::pair<dev_t, ino_t>, std::string> seen;
  for (const std::string& path : paths) {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) continue;
    const auto [first, is_new] = seen.try_emplace({info.st_dev, info.st_ino}, path);
    if (is_new) continue;
    throw Error({.where = path,
                 .what = first->second == path
                             ? "the pipe is given twice, but can be read only once"
                             : fmt::format("the pipe is also given as {}, but can be read only once", first->second),
                 .fix = "write its content to a file and give that file"});
  }
}

}  // namespace moebius::data
