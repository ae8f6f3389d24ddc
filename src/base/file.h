// Files: read, write so that a reader never sees half a file, map read-only.
// Every failure is an Error with the path and what to do. Reading also takes pipes and terminals, and Ctrl-C ends it.
// Not for the layout of token shards (data/) or tensors (tensor/).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/types.h"

namespace moebius {

bool file_exists(const std::string& path);  // anything but a folder: also a pipe or /dev/stdin
bool folder_exists(const std::string& path);
std::string file_read(const std::string& path);

// An open file, closed with its owner; moves as a unique_ptr does.
class FileHandle {
 public:
  explicit FileHandle(int fd = -1) : fd_(fd) {}
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileHandle();
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// A file, pipe or terminal, opened once and read from start to end. While it waits for a pipe's writer or for data, an
// interrupt (base/interrupt.h) ends the wait with an Error. A folder is an Error.
class FileReader {
 public:
  explicit FileReader(const std::string& path);
  // Fills up to `bytes` bytes; returns how many, 0 only at the end.
  i64 read(void* into, i64 bytes);
  const std::string& path() const { return path_; }

 private:
  void wait_for_data();

  std::string path_;
  FileHandle file_;
  bool may_block_ = false;  // not a regular file
};

// Makes the folder and its parents.
void folder_make(const std::string& path);
// Names in a folder, sorted; empty when there is no such folder.
std::vector<std::string> folder_list(const std::string& path);
void file_remove(const std::string& path);  // no error when absent
void folder_remove_all(const std::string& path);
std::string path_join(const std::string& a, const std::string& b);
// `path`, or PATH/checkpoint when only that has the file `name`: a run's folder is taken for its checkpoint.
std::string checkpoint_of(const std::string& path, const std::string& name);
std::string path_name(std::string path);  // "c" of "a/b/c", of "a/b/c/" and, inside it, of "."
// Bytes that an unprivileged process may still write on the file system of `path`.
i64 disk_bytes_free(const std::string& path);

// Renames a file or folder over what is there.
void path_rename(const std::string& from, const std::string& to);

// The complete folder `fresh` becomes `target`, the previous one becomes `retired` (an older `retired` is removed).
// Both names are on one file system. `target` is always the old or the new folder: the two are exchanged atomically if
// the file system supports it (renameat2); otherwise there is a moment in which only `retired` exists, and
// folder_recover() restores it after a crash. exchange = false is for tests of the second case.
void folder_replace(const std::string& fresh, const std::string& target, const std::string& retired,
                    bool exchange = true);
// Before reading `target`: undoes a replacement that a crash interrupted.
void folder_recover(const std::string& target, const std::string& retired);

// Makes the folder of `path` when it is missing, writes to a temporary name next to `path`, syncs, renames, syncs the
// folder: after a crash at any instant the file is the old one or the new one. On any error the temporary file is
// removed and the old file is untouched.
void file_write_atomic(const std::string& path, std::string_view content);

// Throws the Error with which file_write_atomic() would end, before long work whose result goes to `path`.
void file_check_writable(const std::string& path);

// The same in pieces: write(), then commit(). Destroyed without commit: nothing happened.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* data, i64 bytes);
  void commit();

 private:
  std::string path_, temporary_;
  FileHandle file_;
};

// Appends whole lines to a file, whose folder is made when it is missing; each call is one write(2), so a crash leaves
// at most one broken last line.
class AppendFile {
 public:
  AppendFile() = default;
  explicit AppendFile(const std::string& path);
  bool is_open() const { return file_.is_open(); }
  void append(std::string_view bytes);
  void sync();

 private:
  std::string path_;
  FileHandle file_;
};

// Releases the pages of a mapped file; a later read loads them again. For files that are read once, because their pages
// would otherwise count as resident memory of this process until it ends.
void file_map_forget(const u8* data, i64 bytes);

// A read-only map of a whole regular file; a pipe is an Error. An empty file gives an empty view.
class FileMap {
 public:
  FileMap() = default;
  explicit FileMap(const std::string& path);
  const u8* data() const { return data_.get(); }
  i64 bytes() const { return data_ == nullptr ? 0 : data_.get_deleter().bytes; }

 private:
  struct Unmap {
    i64 bytes;
    void operator()(const u8* data) const;
  };
  std::unique_ptr<const u8, Unmap> data_;
};

}  // namespace moebius
