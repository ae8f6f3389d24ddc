// Error texts: one layout for all of them.
#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace moebius {

namespace {

std::string compose(const ErrorParts& parts) {
  std::string text;
  if (!parts.where.empty()) text += parts.where + ": ";
  text += parts.what;
  if (!parts.wanted.empty()) text += "\n  wanted: " + parts.wanted;
  if (!parts.got.empty()) text += "\n  got:    " + parts.got;
  if (!parts.fix.empty()) text += "\n  to do:  " + parts.fix;
  return text;
}

}  // namespace

Error::Error(ErrorParts parts) : std::runtime_error(compose(parts)), parts_(std::move(parts)) {}

void throw_system_error(const std::string& path, const std::string& action, int error_number) {
  ErrorParts parts;
  parts.where = path;
  parts.what = action + " failed: " + std::strerror(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      parts.fix = "free some disk space and run the same command again: everything saved before is intact";
      break;
    case EFBIG:
      parts.fix =
          "raise the file size limit (ulimit -f) and run the same command again: everything saved before is intact";
      break;
    case ENOTDIR: parts.fix = "a part of this path is a file, not a folder: use another path"; break;
    case EACCES:
    case EPERM:
    case EROFS: parts.fix = "use a path that you can write to, or change its permissions"; break;
    case EEXIST: parts.fix = "a file, or a link that leads nowhere, has this name: use another path"; break;
    case EISDIR: parts.fix = "a folder has this name: use another name"; break;
    case ELOOP: parts.fix = "the symbolic links of this path form a loop: remove one of them"; break;
    case ENOENT: parts.fix = "check the spelling of the path"; break;
    default: break;
  }
  throw Error(std::move(parts));
}

}  // namespace moebius
