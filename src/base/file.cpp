// File work over POSIX calls; errors by throw_system_error.
#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/interrupt.h"

namespace moebius {

namespace fs = std::filesystem;

namespace {

void write_all(int fd, const std::string& path, const void* data, i64 bytes) {
  const char* p = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd, p, static_cast<std::size_t>(std::min<i64>(bytes, i64{1} << 30)));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw_system_error(path, "writing", errno);
    }
    p += n;
    bytes -= n;
  }
}

std::string folder_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

void sync_folder(const std::string& folder) {
  // Some file systems refuse; the rename itself is still atomic.
  const FileHandle opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.is_open()) ::fsync(opened.get());
}

// Makes the file's folder when it is missing, so that no output needs a mkdir first.
int open_output(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0 || errno != ENOENT) return fd;
  folder_make(folder_of(path));
  return ::open(path.c_str(), flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
}

}  // namespace

FileHandle::~FileHandle() {
  if (fd_ >= 0) ::close(fd_);
}

bool file_exists(const std::string& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  return fs::exists(status) && !fs::is_directory(status);
}

bool folder_exists(const std::string& path) {
  std::error_code code;
  return fs::is_directory(path, code);
}

FileReader::FileReader(const std::string& path)
    : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  // O_NONBLOCK: opening a named pipe without a writer returns at once, and the wait is ours.
  if (!file_.is_open()) throw_system_error(path, "opening", errno);
  struct stat info;
  const bool known = ::fstat(file_.get(), &info) == 0;
  if (known && S_ISDIR(info.st_mode)) {
    throw Error({.where = path, .what = "is a folder", .wanted = "a file", .fix = "give a file inside the folder"});
  }
  may_block_ = !known || !S_ISREG(info.st_mode);
}

void FileReader::wait_for_data() {
  constexpr int kMilliseconds = 200;  // an interrupt just before poll() is seen this late at most
  for (;;) {
    interrupt_check("run the same command again");
    pollfd poll_one = {file_.get(), POLLIN, 0};
    const int ready = ::poll(&poll_one, 1, kMilliseconds);
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw_system_error(path_, "waiting for data", errno);
  }
}

i64 FileReader::read(void* into, i64 bytes) {
  for (;;) {
    if (may_block_) wait_for_data();
    const ssize_t got = ::read(file_.get(), into, static_cast<std::size_t>(bytes));
    if (got >= 0) return got;
    if (errno != EINTR && errno != EAGAIN) throw_system_error(path_, "reading", errno);
  }
}

std::string file_read(const std::string& path) {
  FileReader file(path);
  std::string content;
  char buffer[1 << 16];
  while (const i64 got = file.read(buffer, sizeof buffer)) content.append(buffer, static_cast<std::size_t>(got));
  return content;
}

void folder_make(const std::string& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code) throw_system_error(path, "making the folder", code.value());
}

std::vector<std::string> folder_list(const std::string& path) {
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(path, code)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

void file_remove(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_system_error(path, "removing", errno);
}

void folder_remove_all(const std::string& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (code) throw_system_error(path, "removing the folder", code.value());
}

void path_rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_system_error(to, "renaming into place", errno);
}

void folder_replace(const std::string& fresh, const std::string& target, const std::string& retired, bool exchange) {
  sync_folder(fresh);
  if (!folder_exists(target)) {
    path_rename(fresh, target);
    sync_folder(folder_of(target));
    return;
  }
  folder_remove_all(retired);
  if (exchange && ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    sync_folder(folder_of(target));
    path_rename(fresh, retired);
  } else {
    path_rename(target, retired);
    path_rename(fresh, target);
  }
  sync_folder(folder_of(target));
}

void folder_recover(const std::string& target, const std::string& retired) {
  if (!folder_exists(target) && folder_exists(retired)) path_rename(retired, target);
}

std::string path_join(const std::string& a, const std::string& b) { return (fs::path(a) / b).string(); }

std::string checkpoint_of(const std::string& path, const std::string& name) {
  const std::string inner = path_join(path, "checkpoint");
  return !file_exists(path_join(path, name)) && file_exists(path_join(inner, name)) ? inner : path;
}

std::string path_name(std::string path) {
  if (fs::path(path).filename() == "." || fs::path(path).filename() == "..") path = fs::weakly_canonical(path).string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

i64 disk_bytes_free(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0) throw_system_error(path, "reading the free disk space", errno);
  return static_cast<i64>(info.f_bavail) * static_cast<i64>(info.f_frsize);
}

void file_write_atomic(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), static_cast<i64>(content.size()));
  file.commit();
}

void file_check_writable(const std::string& path) {
  if (folder_exists(path)) throw_system_error(path, "creating", EISDIR);
  AtomicFile file(path);  // removed again
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  std::error_code code;
  if (const fs::file_status status = fs::status(path_, code); fs::exists(status) && fs::is_other(status)) {
    throw Error({.where = path_,
                 .what = "is a pipe or device, which a file would replace",
                 .wanted = "the name of a file",
                 .fix = "write to a file, or print results with --json"});
  }
  temporary_ = path_ + "." + std::to_string(::getpid()) + ".tmp";
  file_ = FileHandle(open_output(temporary_, O_TRUNC));
  if (!file_.is_open()) throw_system_error(path_, "creating", errno);
}

AtomicFile::~AtomicFile() {
  if (file_.is_open()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, i64 bytes) { write_all(file_.get(), path_, data, bytes); }

void AtomicFile::commit() {
  if (::fsync(file_.get()) != 0) throw_system_error(path_, "syncing", errno);
  const auto succeed = [&](int result, const char* action) {
    if (result == 0) return;
    const int code = errno;
    ::unlink(temporary_.c_str());
    throw_system_error(path_, action, code);
  };
  succeed(::close(file_.release()), "closing");
  succeed(::rename(temporary_.c_str(), path_.c_str()), "renaming into place");
  sync_folder(folder_of(path_));
}

AppendFile::AppendFile(const std::string& path) : path_(path), file_(open_output(path, O_APPEND)) {
  if (!file_.is_open()) throw_system_error(path, "opening for append", errno);
}

void AppendFile::append(std::string_view bytes) {
  write_all(file_.get(), path_, bytes.data(), static_cast<i64>(bytes.size()));
}

void AppendFile::sync() {
  if (::fsync(file_.get()) != 0) throw_system_error(path_, "syncing", errno);
}

void file_map_forget(const u8* data, i64 bytes) {
  const u64 page = static_cast<u64>(::sysconf(_SC_PAGESIZE)), begin = reinterpret_cast<u64>(data);
  const u64 first = begin / page * page, length = begin + static_cast<u64>(bytes) - first;
  if (bytes > 0) ::madvise(reinterpret_cast<void*>(first), length, MADV_DONTNEED);
}

FileMap::FileMap(const std::string& path) {
  const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) throw_system_error(path, "opening", errno);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) throw_system_error(path, "reading its size", errno);
  if (!S_ISREG(info.st_mode)) {
    throw Error({.where = path,
                 .what = "cannot be memory-mapped",
                 .wanted = "a regular file",
                 .got = S_ISDIR(info.st_mode) ? "a folder" : "a pipe or device",
                 .fix = S_ISDIR(info.st_mode) ? "give a file inside the folder"
                                              : "write the data to a file and give that file"});
  }
  if (info.st_size == 0) return;
  void* mapped = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) throw_system_error(path, "mapping", errno);
  data_ = {static_cast<const u8*>(mapped), Unmap{info.st_size}};
}

void FileMap::Unmap::operator()(const u8* data) const {
  ::munmap(const_cast<u8*>(data), static_cast<std::size_t>(bytes));
}

}  // namespace moebius
