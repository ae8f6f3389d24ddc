#!/bin/sh
# Objects that are compiled for one instruction set export no inline and no weak functions: the linker keeps one copy of
# such a function for the whole program, and an AVX-512 copy of it would end the program on an older machine.
# Words: build folder, project's folder. Exit code 77: no such sources yet, the test is skipped.
build=$1
root=$2
sources=$(find "$root/src/kernels" -name '*.cpp' 2>/dev/null | grep -E 'src/kernels/(avx2|avx512|amx)/' | grep -v _test)
objects=$(find "$build/src/kernels" -name '*.o' 2>/dev/null | grep -E 'kernels[.]dir/(avx2|avx512|amx)/' | grep -v _test)
[ -n "$sources" ] || exit 77
[ -n "$objects" ] || { echo "there are sources for instruction sets, but no objects in $build"; exit 1; }
status=0
for object in $objects; do
  # W and V: weak; u: unique. DW.ref.* is data about exceptions, the same on every machine.
  found=$(nm --defined-only -C "$object" | grep -E ' [WVu] ' | grep -v 'DW\.ref\.')
  if [ -n "$found" ]; then
    echo "$object exports:"
    echo "$found" | head -n 20
    status=1
  fi
done
[ $status = 0 ] && echo "$(echo "$objects" | wc -l) objects, no weak symbol"
exit $status
