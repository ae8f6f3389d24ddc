"""What Bochs 3.0 lacks for Linux to grant tiles to a program: extended feature disable (XFD), and a right XSAVE of tiles.

In: the folder of Bochs' source (Debian's bochs 3.0). Out: the same files, changed. Every place must be found as often as said.
  XFD        Linux leaves the tile state out where the processor has no XFD (IA32_XFD, IA32_XFD_ERR; Intel's manual, volume 1,
             13.14): a bit of CPUID, two registers, #NM on tile instructions and XRSTOR while bit 18 is set, no saving then
  TILECFG    rows and bytes of a row were exchanged when saved
  TILEDATA   half of the rows was saved and restored, and only while all tiles were zero
  VCVTNE2PS2BF16  the upper half of the result came from behind the first operand (found by losses that were off by 0.01)
The tile instructions, their decoding and their arithmetic stay as they are: they are what the test is about.
  python3 tests/peers/amx/patch_bochs.py bochs-3.0
"""
import os
import re
import sys

XTILE = "BX_XCR0_XTILEDATA_MASK"
FLAG = "BX_CPU_THIS_PTR msr.ia32_xfd"
# file, times, pattern of the old text, the new text (\g<0> is the old one)
KEEP = r"\g<0>"
CHANGES = [
    ("cpu/cpu.h", 1, r" +Bit64u ia32_xss;\n", KEEP + "  Bit64u ia32_xfd, ia32_xfd_err;\n"),
    ("cpu/init.cc", 1, r" +\S+ msr\.ia32_xss = 0;\n", KEEP + f"  {FLAG} = {FLAG}_err = 0;\n"),
    ("cpu/msr.cc", 1, r" +msr_desc\[BX_MSR_MTRRCAP\] =",
     "  msr_desc[BX_MSR_IA32_XFD] = new MSR_Descriptor(\"MSR_IA32_XFD\", BX_ISA_AMX);\n"
     "  msr_desc[BX_MSR_IA32_XFD_ERROR] = new MSR_Descriptor(\"MSR_IA32_XFD_ERROR\", BX_ISA_AMX);\n" + KEEP),
    ("cpu/msr.cc", 1, r"val64 = \S+ msr\.ia32_xss;\s+break;\n",
     KEEP + f"    case BX_MSR_IA32_XFD: val64 = {FLAG}; break;\n    case BX_MSR_IA32_XFD_ERROR: val64 = {FLAG}_err; break;\n"),
    ("cpu/msr.cc", 1, r"msr\.ia32_xss = val_64;\s+break;\s+\}\n",
     KEEP + "    case BX_MSR_IA32_XFD:\n    case BX_MSR_IA32_XFD_ERROR:\n"
     f"      if (val_64 & ~Bit64u({XTILE})) return false;\n"
     f"      (index == BX_MSR_IA32_XFD ? {FLAG} : {FLAG}_err) = val_64;\n"
     "      handleAvxModeChange();\n      break;\n"),
    ("cpu/cpuid.cc", 1, r"(eax \|= \(1<<3\);\n)(\s+// EBX\[31:00\])",
     r"\1    if (is_cpu_extension_supported(BX_ISA_AMX)) leaf->eax |= (1<<4);\n\2"),
    ("cpu/cpuid.cc", 1, r" +leaf->ecx = \(cpu->ia32_xss_suppmask[^\n]+\n",
     KEEP + "      if (subfunction == xcr0_t::BX_XCR0_XTILEDATA_BIT) leaf->ecx |= 4;\n"),
    # Tile instructions are not decoded while the bit is set; the handler in their place tells why.
    ("cpu/proc_ctrl.cc", 1, r"  if \((! long64_mode\(\) \|\| ! \S+ cr4\.get_OSXSAVE\(\) \|\|\n)",
     r"  if ((" + f"{FLAG} & {XTILE}" + r") != 0 || \1"),
    ("cpu/proc_ctrl.cc", 1, r"  if \(~\S+ xcr0\.val32 & \(BX_XCR0_XTILECFG_MASK[^\n]+\n[^\n]+\n",
     KEEP + "  if (i->getIaOpcode() == BX_IA_STTILECFG) {  // reads the configuration alone\n    STTILECFG(i);\n    return;\n  }\n"
     f"  if ({FLAG} & {XTILE}) {{\n    {FLAG}_err = {XTILE};\n    exception(BX_NM_EXCEPTION, 0);\n  }}\n"),
    ("cpu/xsave.cc", 1, r"return xinuse;", f"return xinuse & ~Bit32u({FLAG});"),
    ("cpu/xsave.cc", 1, r" +Bit32u restore_mask = [^\n]+\n",
     KEEP + f"  if (requested_feature_bitmap & restore_mask & {FLAG}) {{\n"
     f"    {FLAG}_err = requested_feature_bitmap & restore_mask & {FLAG};\n    exception(BX_NM_EXCEPTION, 0);\n  }}\n"),
    ("cpu/xsave.cc", 1, r"(vmm16u\(8\+n\) += [^\n]+\.)rows;", r"\1bytes_per_row;"),
    ("cpu/xsave.cc", 1, r"(vmmubyte\(48\+n\) += [^\n]+\.)bytes_per_row;", r"\1rows;"),
    ("cpu/xsave.cc", 2, r"row < BX_TILE_REGISTERS;", "row < BX_TILE_MAX_ROWS;"),
    ("cpu/xsave.cc", 1, r"tile_use_tracker == 0", "tile_use_tracker != 0"),
    ("cpu/avx/avx512_bf16.cc", 1, r"bfloat16\(op1\.vmm32u\(n\)\);", "bfloat16(op1.vmm32u(n - DWORD_ELEMENTS(len)));"),
]


def main(folder):
    for name, times, pattern, new in CHANGES:
        path = os.path.join(folder, name)
        with open(path, encoding="latin-1") as f:
            text = f.read()
        text, found = re.subn(pattern, new, text)
        if found != times:
            sys.exit(f"{path}: {pattern!r} is found {found} times and not {times}: another version of Bochs?")
        with open(path, "w", encoding="latin-1") as f:
            f.write(text)


main(sys.argv[1])
