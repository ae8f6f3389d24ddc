#!/bin/sh
# Compiles every header of src/ on its own, so that none needs what another brings. Words: compiler, project's folder.
# A header of one instruction set is compiled for it; nothing is run, so any machine will do.
compiler=$1
root=$2
cd "$root" || exit 1

flags_of() {
  case $1 in
    */avx2/*) echo "-mavx2 -mfma -mf16c" ;;
    */avx512/*) echo "-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mavx512vnni -mavx2 -mfma -mf16c" ;;
    */amx/*) echo "-mamx-tile -mamx-bf16 -mamx-int8 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma" ;;
  esac
}

if [ "${3:-}" = one ]; then
  # shellcheck disable=SC2046
  "$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-psabi $(flags_of "$4") -Isrc -include "$4" -x c++ /dev/null ||
    { echo "does not compile alone: $4"; exit 1; }
  exit 0
fi

count=$(find src -name '*.h' | wc -l)
[ "$count" -gt 10 ] || { echo "found only $count headers"; exit 1; }
find src -name '*.h' | sort | xargs -P "$(nproc)" -n 1 sh "$0" "$compiler" "$root" one || exit 1
echo "$count headers compile alone"
