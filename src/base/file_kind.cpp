// The table of magic numbers.
#include "base/file_kind.h"

#include <array>
#include <cstring>

#include "base/error.h"
#include "base/types.h"
#include "base/utf8.h"

namespace moebius {

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kUnpack = "unpack it first and give the files inside";
constexpr std::string_view kToJsonLines =
    "convert it to JSON lines, for example with Python: datasets.load_dataset(...).to_json(\"data.jsonl\")";
constexpr std::string_view kArray =
    "save token ids as raw 16-bit or 32-bit integers (numpy: array.tofile(\"data.bin\"))";
constexpr std::string_view kModel = "give it where a model or checkpoint is expected";
constexpr std::string_view kUtf16 = "convert it: iconv -f utf-16 -t utf-8 FILE > NEW";
constexpr std::string_view kLfs = "fetch the content with `git lfs pull`, or download the file itself";

struct Magic {
  std::string_view bytes;
  std::size_t offset;
  bool ascii;  // the magic is readable text: the rest must hold a byte that text never has
  FileKind kind;
};

constexpr std::array kMagics = {
    Magic{"version https://git-lfs.github.com/spec/"sv, 0, false, {"a Git LFS pointer, not the file itself", kLfs}},
    Magic{"version https://hawser.github.com/spec/"sv, 0, false, {"a Git LFS pointer, not the file itself", kLfs}},
    Magic{"\x1f\x8b\x08"sv, 0, false, {"a gzip archive", "unpack it: gzip -d FILE.gz"}},
    Magic{"\x28\xb5\x2f\xfd"sv, 0, false, {"a zstd archive", "unpack it: zstd -d FILE.zst"}},
    Magic{"\xfd\x37zXZ\0"sv, 0, false, {"an xz archive", "unpack it: xz -d FILE.xz"}},
    Magic{"LZIP\x01"sv, 0, false, {"an lzip archive", "unpack it: lzip -d FILE.lz"}},
    Magic{"BZh"sv, 0, false, {"a bzip2 archive", "unpack it: bzip2 -d FILE.bz2"}},
    Magic{"\x04\x22\x4d\x18"sv, 0, false, {"an lz4 archive", "unpack it: lz4 -d FILE.lz4"}},
    Magic{"\xff\x06\x00\x00sNaPpY"sv, 0, false, {"a Snappy archive", kUnpack}},
    Magic{"7z\xbc\xaf\x27\x1c"sv, 0, false, {"a 7z archive", kUnpack}},
    Magic{"Rar!\x1a\x07"sv, 0, false, {"a RAR archive", kUnpack}},
    Magic{"PK\x03\x04"sv, 0, false, {"a zip archive (also NumPy's .npz and PyTorch's .pt)", kUnpack}},
    Magic{"PK\x05\x06"sv, 0, false, {"an empty zip archive", kUnpack}},
    Magic{"ustar"sv, 257, false, {"a tar archive", "unpack it first (tar -xf FILE) and give the files inside"}},
    Magic{"\x93NUMPY"sv, 0, false, {"a NumPy .npy file", kArray}},
    Magic{"PAR1"sv, 0, true, {"a Parquet file", kToJsonLines}},
    Magic{"ARROW1\0\0"sv, 0, false, {"an Arrow file", kToJsonLines}},
    Magic{"FEA1"sv, 0, true, {"a Feather file", kToJsonLines}},
    Magic{"ORC"sv, 0, true, {"an ORC file", kToJsonLines}},
    Magic{"Obj\x01"sv, 0, false, {"an Avro file", kToJsonLines}},
    Magic{"\x89HDF\r\n\x1a\n"sv, 0, false, {"an HDF5 file", kToJsonLines}},
    Magic{"SQLite format 3\0"sv, 0, false, {"an SQLite database", "export the text as JSON lines"}},
    Magic{"GGUF"sv, 0, true, {"a GGUF model", "GGUF is not read: give the checkpoint that it was made from"}},
    Magic{"MMIDIDX\0\0"sv, 0, false, {"the index (.idx) of a Megatron token shard", "give the shard's prefix"}},
    Magic{"%PDF-"sv, 0, false, {"a PDF document", "extract its text: pdftotext FILE.pdf"}},
    Magic{"\177ELF"sv, 0, false, {"a program", "give another file"}},
    Magic{"\x89PNG\r\n"sv, 0, false, {"a PNG picture", "give another file"}},
    Magic{"\xff\xfe\0\0"sv, 0, false, {"text in UTF-32", "convert it: iconv -f utf-32 -t utf-8 FILE > NEW"}},
    Magic{"\0\0\xfe\xff"sv, 0, false, {"text in UTF-32", "convert it: iconv -f utf-32 -t utf-8 FILE > NEW"}},
    Magic{"\xff\xfe"sv, 0, false, {"text in UTF-16", kUtf16}},
    Magic{"\xfe\xff"sv, 0, false, {"text in UTF-16", kUtf16}},
};

constexpr FileKind kSafetensors = {"a safetensors file", kModel};
constexpr FileKind kSentencePiece = {
    "a SentencePiece model", "SentencePiece is not read: a tokenizer must be a tokenizer.json of byte-level BPE"};
constexpr FileKind kPickle = {"a Python pickle", "load it with Python and save the content as JSON lines"};
constexpr FileKind kArrowStream = {"an Arrow stream", kToJsonLines};
constexpr FileKind kLlmC = {"an llm.c file that holds no training tokens (model, tokenizer, state or evaluation file)",
                            "give a token file of llm.c (magic 20240520 or 20240801)"};

u32 u32_at(std::string_view head, std::size_t at) {
  u32 value = 0;
  if (head.size() >= at + 4) std::memcpy(&value, head.data() + at, 4);
  return value;
}

bool is_bzip2(std::string_view head) {
  return head.size() >= 10 && head[3] >= '1' && head[3] <= '9' &&
         (head.substr(4, 6) == "1AY&SY" || head.substr(4, 6) == "\x17\x72\x45\x38\x50\x90");
}

// A protobuf whose first field is a piece: its text, then its score (field 2, 32 bits).
bool is_sentence_piece(std::string_view head) {
  if (head.size() < 4 || head[0] != 0x0a || head[2] != 0x0a) return false;
  const auto piece = static_cast<u8>(head[1]), text = static_cast<u8>(head[3]);
  if (piece >= 0x80 || text + 7 > piece || head.size() < 5u + text) return false;
  return head[4u + text] == 0x15 && is_plain_text(head.substr(4, text));
}

// Formats whose first bytes are numbers.
const FileKind* kind_by_numbers(std::string_view head) {
  const u32 low = u32_at(head, 0), high = u32_at(head, 4);
  if (head.size() >= 10 && low >= 2 && high == 0 && head[8] == '{' && (head[9] == '"' || head[9] == '}')) {
    return &kSafetensors;
  }
  if (head.size() >= 4 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 &&
      std::strchr("}](\x95", head[2]) != nullptr && head[2] != 0) {
    return &kPickle;
  }
  if (is_sentence_piece(head)) return &kSentencePiece;
  if (low == 0xffffffffu && high > 0 && high < (1u << 24) && u32_at(head, 8) == 0x10) return &kArrowStream;
  // llm.c's magics are dates; its headers have 256 numbers, the second a small version.
  if (head.size() >= 1024 && low >= 20240101 && low <= 20291231 && low % 10000 >= 101 && low % 100 <= 31 &&
      high < 256) {
    return &kLlmC;
  }
  return nullptr;
}

// The skippable frames of zstd and lz4 have 16 magics.
bool is_skippable_frame(u32 magic) { return (magic & 0xfffffff0u) == 0x184d2a50u; }

}  // namespace

bool is_plain_text(std::string_view head) {
  if (const i64 invalid = find_invalid_utf8(head); invalid >= 0) {
    const std::string_view tail = head.substr(static_cast<std::size_t>(invalid));
    const u8 lead = static_cast<u8>(tail[0]);
    const std::size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
    if (tail.size() >= wanted) return false;
  }
  for (const char c : head) {
    const u8 byte = static_cast<u8>(c);
    if (byte < 0x20 && (byte < 0x07 || byte > 0x0d) && byte != 0x1b) return false;
  }
  return true;
}

const FileKind* file_kind(std::string_view head) {
  head = head.substr(0, kFileKindBytes);
  for (const Magic& magic : kMagics) {
    if (head.size() < magic.offset + magic.bytes.size()) continue;
    if (head.substr(magic.offset, magic.bytes.size()) != magic.bytes) continue;
    if (magic.ascii && is_plain_text(head)) continue;
    if (magic.bytes == "BZh" && !is_bzip2(head)) continue;
    return &magic.kind;
  }
  if (is_skippable_frame(u32_at(head, 0)) && head.size() >= 8) {
    static constexpr FileKind kFrame = {"a zstd or lz4 archive", kUnpack};
    return &kFrame;
  }
  return kind_by_numbers(head);
}

void refuse_file_kind(const std::string& path, std::string_view head, const std::string& wanted) {
  const FileKind* kind = file_kind(head);
  if (kind == nullptr) return;
  throw Error({.where = path,
               .what = "the file is " + std::string(kind->name),
               .wanted = wanted,
               .fix = std::string(kind->fix)});
}

}  // namespace moebius
