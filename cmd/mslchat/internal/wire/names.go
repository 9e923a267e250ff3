package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckName says what is wrong with a nick or a room's name: it has 1 to 32
// bytes, letters, digits and "-_." of which the first is a letter or a digit.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return Refuse(CodeInvalid, "the %s is missing", what)
	case len(name) > MaxName:
		return Refuse(CodeInvalid, "the %s has %d bytes, at most %d are allowed", what, len(name), MaxName)
	}
	for i, r := range name {
		plain := r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
		if !plain && (i == 0 || !strings.ContainsRune("-_.", r)) {
			return Refuse(CodeInvalid, "the %s %q is not allowed: letters, digits and \"-_.\", a letter or digit first", what, name)
		}
	}
	return nil
}

// Fold is what two names have in common that count as one.
func Fold(name string) string { return strings.ToLower(name) }

// Clean makes text safe for a terminal: no control characters, nothing that
// turns the direction of writing, valid UTF-8.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\u200c' || r == '\u200d': // joiners, which scripts and emoji need
			return r
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs):
			return -1
		}
		return r // strings.Map makes invalid bytes U+FFFD
	}, text)
}

// Cut shortens text to at most n bytes of whole characters.
func Cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
