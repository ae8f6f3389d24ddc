# shellcheck shell=bash
# What ./moebius and ./check share: install what is missing, configure, build. Sourced by both, with `root` set to the
# project's folder. Every message goes to standard error. Not for running anything: that is the callers' part.

allow_install=1   # --no-install sets it to 0

say() { printf 'moebius: %s\n' "$*" >&2; }
fail() {
  printf 'moebius: error: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

# --- one setup or build at a time -------------------------------------------------------------------------------------

lock_take() {
  mkdir -p "$root/build" 2>/dev/null && [ -w "$root/build" ] ||
    fail "cannot write to $root/build" "to do: give yourself write permission there, or copy the project to a folder of yours"
  exec 9>>"$root/build/.lock" || fail "cannot write to $root/build/.lock" "to do: remove that file"
  if ! flock -n 9; then
    say "another start is setting up or building in $root/build; waiting for it"
    flock 9 || fail "waiting for $root/build/.lock failed"
  fi
}
lock_drop() { exec 9>&-; }

# --- packages of the distribution -------------------------------------------------------------------------------------

packages_needed() { sed -e 's/#.*//' -e 's/[[:space:]].*//' -e '/^$/d' "$root/setup/packages.txt"; }

packages_missing() {
  local installed name
  # Virtual or unknown names make dpkg-query fail; what it does not list counts as missing.
  # shellcheck disable=SC2046
  installed=" $(dpkg-query -W -f='${Package}=${db:Status-Status} ' $(packages_needed) 2>/dev/null)"
  for name in $(packages_needed); do
    case $installed in
      *" $name=installed "*) ;;
      *) echo "$name" ;;
    esac
  done
}

# The stamp says: this list was checked, and dpkg has changed nothing since.
packages_stamp_valid() {
  local stamp=$root/build/packages.stamp
  [ -f "$stamp" ] && [ "$stamp" -nt /var/lib/dpkg/status ] && [ "$(cat "$stamp")" = "$(packages_key)" ]
}
packages_key() { cksum < "$root/setup/packages.txt"; }

packages_ensure() {
  packages_stamp_valid && return 0
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this system has no apt-get; building with what is installed (what is needed: setup/packages.txt)"
    return 0
  fi
  local missing
  missing=$(packages_missing)
  if [ -n "$missing" ]; then
    packages_install "$missing"
    missing=$(packages_missing)
    [ -z "$missing" ] || fail "apt-get reported success, but these packages are still missing:" $missing \
      "to do: install them by hand, or see setup/packages.txt for what each is for"
  fi
  packages_key > "$root/build/packages.stamp" 2>/dev/null || fail "cannot write $root/build/packages.stamp" \
    "to do: free some disk space, or give yourself write permission in $root/build"
}

packages_install() {
  # shellcheck disable=SC2086
  set -- $1
  say "missing from this system:"
  local name
  for name in "$@"; do
    printf '  %s\n' "$(grep "^$name " "$root/setup/packages.txt")" >&2
  done
  [ "$allow_install" = 1 ] ||
    fail "--no-install was given, so nothing is installed" "to do: apt-get install --no-install-recommends $*" \
         "or run the same command without --no-install"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      fail "installing needs root, and there is no sudo here" "to do: as root, apt-get install --no-install-recommends $*" \
           "then run the same command again"
    as_root=(sudo)
    say "installing them with sudo apt-get; sudo may ask for your password"
    sudo -v || fail "sudo was refused" "to do: as root, run: apt-get install --no-install-recommends $*"
  else
    say "installing them with apt-get"
  fi
  ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || apt_update "${as_root[@]}"
  apt_install "${as_root[@]}" -- "$@" && return 0
  say "that failed; trying once more with fresh lists, and finishing what an interrupted installation may have left"
  apt_update "${as_root[@]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a </dev/null >&2 9>&-
  apt_install "${as_root[@]}" -- "$@" && return 0
  fail "apt-get could not install all packages; see its messages above" \
       "to do: check the network (or the distribution's mirror in /etc/apt), then run the same command again:" \
       "what has been installed already is kept, and only the rest is fetched"
}

# apt_update [sudo]; apt-get waits for another apt-get instead of failing.
apt_update() {
  say "fetching the distribution's lists of packages (apt-get update)"
  "$@" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update >&2 9>&- ||
    say "some lists could not be fetched; going on with those that there are"
}

# apt_install [sudo] -- packages
apt_install() {
  local as_root=()
  while [ "$1" != -- ]; do as_root+=("$1"); shift; done
  shift
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
    install --no-install-recommends "$@" </dev/null >&2 9>&-
}

# --- configure and build ----------------------------------------------------------------------------------------------

# build_ensure PRESET TARGET...: configures when that was never done, builds when a source has changed.
build_ensure() {
  local preset=$1 folder=$root/build/$1
  shift
  build_configure "$preset" || return 1
  local todo
  todo=$(ninja -C "$folder" -n "$@" 2>&1 9>&-)
  case $todo in
    *'no work to do'*) return 0 ;;
  esac
  say "building $preset ($(nproc) cores); this is done once, later only what has changed"
  local log=$folder/build.log status=0
  if [ -t 2 ]; then
    NINJA_STATUS='[%f/%t, %es] ' ninja -C "$folder" "$@" >&2 9>&- || status=$?
  else
    # Without a terminal the progress lines are kept in a file; only what went wrong is shown.
    NINJA_STATUS='[%f/%t, %es] ' ninja -C "$folder" "$@" >"$log" 2>&1 9>&- || status=$?
    [ "$status" = 0 ] || grep -v '^\[[0-9]*/[0-9]*,' "$log" | tail -n 80 >&2
  fi
  return "$status"
}

build_configure() {
  local preset=$1 folder=$root/build/$1
  local cache=$folder/CMakeCache.txt
  if [ -f "$cache" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache"; then
    say "the project's folder was moved; building again in build/$preset"
    rm -rf "$folder"
  fi
  [ -f "$folder/build.ninja" ] && return 0
  local launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  say "configuring build/$preset"
  mkdir -p "$folder"
  if ! (cd "$root" && cmake --preset "$preset" "${launcher[@]}" >"$folder/configure.log" 2>&1 9>&-); then
    tail -n 30 "$folder/configure.log" >&2
    rm -f "$root/build/packages.stamp"
    return 1
  fi
}
