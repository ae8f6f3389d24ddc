// Classes of characters and normalisation form C, as the tokenizer needs them. Sets and properties: unicode_sets.h.
// Code points or UTF-8 in, classes or UTF-8 out. Not a general Unicode library.
#pragma once

#include <string>
#include <string_view>

#include "base/types.h"
#include "base/utf8.h"

namespace moebius::data {

// other: neither letter (\p{L}), number (\p{N}) nor white space (\s); also bytes that are not UTF-8.
enum class CharClass : u8 { other = 0, letter = 1, number = 2, space = 3 };

CharClass char_class(u32 code);
// Letters, marks, decimal digits, connectors and joiners: what a "single_word" token must not touch.
bool is_word_char(u32 code);

// True when the text is certainly in normalisation form C (quick check of UAX 15); false means: perhaps not.
bool is_nfc_quick(std::string_view text);
// Appends the text in normalisation form C (UAX 15) of Unicode 9.0, the version of the `tokenizers` library's normaliser;
// invalid bytes are copied, and nothing composes across them.
void append_nfc(std::string_view text, std::string& out);

}  // namespace moebius::data
