"""What Bochs 3.0 lacks for Linux to grant tiles to a program: extended feature disable (XFD), and a right XSAVE of tiles.

In: the folder of Bochs' source (Debian's bochs 3.0). Out: the same files, changed. Every place must be found as often as said.
  XFD        Linux leaves the tile state out where the processor has no XFD (IA32_XFD, IA32_XFD_ERR; Intel's manual, volume 1,
             13.14): a bit of CPUID, two registers, #NM on tile instructions and XRSTOR while bit 18 is set, no saving then
  TILECFG    rows and bytes of a row were exchanged when saved
  TILEDATA   half of the rows was saved and restored, and only while all tiles were zero
The tile instructions, their decoding and their arithmetic stay as they are: they are what the test is about.
  python3 tests/peers/amx/mend_bochs.py bochs-3.0
"""
import os
import sys

XTILE = "BX_XCR0_XTILEDATA_MASK"
FLAG = "BX_CPU_THIS_PTR msr.ia32_xfd"
# file, times, what stands there, what shall stand there ("\0" is what stood there)
CHANGES = [
    ("cpu/cpu.h", 1, "  Bit64u ia32_xss;\n", "\0  Bit64u ia32_xfd, ia32_xfd_err;\n"),
    ("cpu/init.cc", 1, "  BX_CPU_THIS_PTR msr.ia32_xss = 0;\n", f"\0  {FLAG} = {FLAG}_err = 0;\n"),
    ("cpu/msr.cc", 1, "  msr_desc[BX_MSR_MTRRCAP] =",
     "  msr_desc[BX_MSR_IA32_XFD] = new MSR_Descriptor(\"MSR_IA32_XFD\", BX_ISA_AMX);\n"
     "  msr_desc[BX_MSR_IA32_XFD_ERROR] = new MSR_Descriptor(\"MSR_IA32_XFD_ERROR\", BX_ISA_AMX);\n\0"),
    ("cpu/msr.cc", 1, "      val64 = BX_CPU_THIS_PTR msr.ia32_xss;\n      break;\n",
     f"\0    case BX_MSR_IA32_XFD: val64 = {FLAG}; break;\n    case BX_MSR_IA32_XFD_ERROR: val64 = {FLAG}_err; break;\n"),
    ("cpu/msr.cc", 1, "        BX_CPU_THIS_PTR msr.ia32_xss = val_64;\n        break;\n      }\n",
     "\0    case BX_MSR_IA32_XFD:\n    case BX_MSR_IA32_XFD_ERROR:\n"
     f"      if (val_64 & ~Bit64u({XTILE})) return false;\n"
     f"      (index == BX_MSR_IA32_XFD ? {FLAG} : {FLAG}_err) = val_64;\n"
     "      handleAvxModeChange();\n      break;\n"),
    ("cpu/cpuid.cc", 1, "      leaf->eax |= (1<<3);\n\n    // EBX[31:00]",
     "      leaf->eax |= (1<<3);\n    if (is_cpu_extension_supported(BX_ISA_AMX)) leaf->eax |= (1<<4);\n\n    // EBX[31:00]"),
    ("cpu/cpuid.cc", 1, "      leaf->ecx = (cpu->ia32_xss_suppmask & (1 << subfunction)) != 0;\n",
     "\0      if (subfunction == xcr0_t::BX_XCR0_XTILEDATA_BIT) leaf->ecx |= 4;\n"),
    # Tile instructions are not decoded while the bit is set; the handler in their place tells why.
    ("cpu/proc_ctrl.cc", 1, "  if (! long64_mode() || ! BX_CPU_THIS_PTR cr4.get_OSXSAVE() ||\n",
     f"  if (({FLAG} & {XTILE}) != 0 || ! long64_mode() || ! BX_CPU_THIS_PTR cr4.get_OSXSAVE() ||\n"),
    ("cpu/proc_ctrl.cc", 1,
     "  if (~BX_CPU_THIS_PTR xcr0.val32 & (BX_XCR0_XTILECFG_MASK | BX_XCR0_XTILEDATA_MASK))\n    exception(BX_UD_EXCEPTION, 0);\n",
     "\0  if (i->getIaOpcode() == BX_IA_STTILECFG) {  // reads the configuration alone\n    STTILECFG(i);\n    return;\n  }\n"
     f"  if ({FLAG} & {XTILE}) {{\n    {FLAG}_err = {XTILE};\n    exception(BX_NM_EXCEPTION, 0);\n  }}\n"),
    ("cpu/xsave.cc", 1, "  return xinuse;\n", f"  return xinuse & ~Bit32u({FLAG});\n"),
    ("cpu/xsave.cc", 1, "  Bit32u restore_mask = xstate_bv & format;\n",
     f"\0  if (requested_feature_bitmap & restore_mask & {FLAG}) {{\n"
     f"    {FLAG}_err = requested_feature_bitmap & restore_mask & {FLAG};\n    exception(BX_NM_EXCEPTION, 0);\n  }}\n"),
    ("cpu/xsave.cc", 1, "tilecfg.vmm16u(8+n)    = BX_CPU_THIS_PTR amx->tilecfg[n].rows;",
     "tilecfg.vmm16u(8+n)    = BX_CPU_THIS_PTR amx->tilecfg[n].bytes_per_row;"),
    ("cpu/xsave.cc", 1, "tilecfg.vmmubyte(48+n) = BX_CPU_THIS_PTR amx->tilecfg[n].bytes_per_row;",
     "tilecfg.vmmubyte(48+n) = BX_CPU_THIS_PTR amx->tilecfg[n].rows;"),
    ("cpu/xsave.cc", 2, "row < BX_TILE_REGISTERS;", "row < BX_TILE_MAX_ROWS;"),
    ("cpu/xsave.cc", 1, "amx->tile_use_tracker == 0", "amx->tile_use_tracker != 0"),
]


def main(folder):
    for name, times, old, new in CHANGES:
        path = os.path.join(folder, name)
        with open(path, encoding="latin-1") as f:
            text = f.read()
        if text.count(old) != times:
            sys.exit(f"{path}: {old.strip()!r} stands there {text.count(old)} times and not {times}: another version of Bochs?")
        with open(path, "w", encoding="latin-1") as f:
            f.write(text.replace(old, new.replace("\0", old)))


main(sys.argv[1])
