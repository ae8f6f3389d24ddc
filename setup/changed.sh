# shellcheck shell=bash
# What a change touches, for `./check changed`: changed files -> folders -> tests. Sourced by check, with `root` set.
# In: git's difference between a base commit and the working tree, new files included. Out: names, one per line.
# Not for running anything.

# The base when none is given: the last commit that is also in the main branch; on main itself, the commit before the
# last one, or the last one when files are changed.
changed_base() {
  local main base
  for main in origin/main main origin/master master; do
    base=$(git -C "$root" merge-base HEAD "$main" 2>/dev/null) && break
  done
  [ -n "$base" ] || base=HEAD
  if [ "$(git -C "$root" rev-parse "$base")" = "$(git -C "$root" rev-parse HEAD)" ] &&
     [ -z "$(git -C "$root" status --porcelain)" ]; then
    base=HEAD~1
  fi
  git -C "$root" rev-parse --verify -q "$base^{commit}"
}

# changed_files BASE
changed_files() {
  { git -C "$root" diff --name-only --no-renames "$1" && git -C "$root" ls-files --others --exclude-standard; } | sort -u
}

# "folder: link link" for every folder of src, from the LINKS of its CMakeLists.txt.
folder_links() {
  local file
  for file in "$root"/src/*/CMakeLists.txt; do
    sed -e 's/#.*//' "$file" | tr '\n()' '   ' | awk -v folder="$(basename "$(dirname "$file")")" '{
      line = folder ":"; on = 0
      for (i = 1; i <= NF; ++i) {
        if ($i ~ /^[A-Z_]+$/) on = $i == "LINKS"
        else if (on) line = line " " $i
      }
      print line
    }'
  done
}

# changed_folders FILE...: what must be tested: a folder of src for its tests and its stage's scenarios, `house` for the
# scenarios of no stage, `fuzz`, `tidy` always, `all` for everything.
changed_folders() {
  local links name file
  links=$(folder_links)
  {
    echo tidy
    for file in "$@"; do
      case $file in
        src/CMakeLists.txt | cmake/* | CMakeLists.txt | CMakePresets.json | setup/* | check | moebius) echo all ;;
        tests/CMakeLists.txt | tests/cli/scenario_run.cpp | src/main.cpp) echo all ;;
        src/*_test.cpp) name=${file#src/}; echo "${name%%/*}" ;;
        src/*/*)
          name=${file#src/}
          # A folder's change reaches every folder that links it, directly or not.
          printf '%s\n' "$links" | awk -v first="${name%%/*}" '
            { folder = substr($1, 1, length($1) - 1); names[NR] = folder
              for (i = 2; i <= NF; ++i) uses[folder, $i] = 1 }
            END {
              reached[first] = 1
              do {
                grown = 0
                for (i = 1; i <= NR; ++i) if (!(names[i] in reached))
                  for (to in reached) if ((names[i], to) in uses) { reached[names[i]] = 1; grown = 1; break }
              } while (grown)
              for (name in reached) print name
            }'
          case $file in src/base/*) echo house; echo fuzz ;; esac
          case $file in src/tensor/* | src/data/* | src/model/* | src/study/*) echo fuzz ;; esac ;;
        tests/cli/*_*.scenario) name=${file##*/}; echo "${name%%_*}" ;;
        tests/fuzz/*) echo fuzz ;;
        tests/golden/*/*)
          name=${file#tests/golden/}
          grep -l "golden/${name%%/*}" "$root"/src/*/*_test.cpp | sed 's|.*/src/\([^/]*\)/.*|\1|' ;;
        tests/golden/*.*) grep -l "golden/${file##*/}" "$root"/src/*/*_test.cpp | sed 's|.*/src/\([^/]*\)/.*|\1|' ;;
        studies/*) echo study; echo plan ;;
        corpora/*) echo data; echo eval; echo study ;;
        docs/options.md) echo house ;;
      esac
    done
  } | sort -u
}
