package framing

import (
	"maps"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Parse decodes one object under the rules of spec 01 section 4:
//
//   - '{' is the first byte; only white space may follow the last '}';
//   - names are case-sensitive and unique; a null member counts as absent;
//   - integers are int64 exactly, and out of range is an error; 1e3 and 5.0
//     are integers too; -0 and 007 are errors;
//   - bytes that are not UTF-8 and escapes of half a surrogate pair are errors.
//     A pair whose halves are each encoded in three bytes (CESU-8) is read as
//     the character it means: the JavaScript stack writes that.
func (jsonFormat) Parse(data []byte) (Object, error) { return parseJSON(data, false) }

// parseJSON makes the values that are strings of type text if share is set.
func parseJSON(data []byte, share bool) (Object, error) {
	p := jsonParser{data: data, share: share}
	if len(data) == 0 || data[0] != '{' {
		return nil, p.fail("no object")
	}
	o, err := p.object()
	if err != nil {
		return nil, err
	}
	if p.space(); p.pos < len(data) {
		return nil, p.fail("bytes after the object")
	}
	return o, nil
}

// text is a string, in valid UTF-8, whose bytes are part of what was parsed.
type text []byte

// jsonParser is a cursor over data; pos is the next byte to look at.
type jsonParser struct {
	data   []byte
	share  bool
	pos    int
	depth  int
	values int
}

func (p *jsonParser) fail(reason string) error { return p.failAt(p.pos, reason) }

func (p *jsonParser) failAt(offset int, reason string) error {
	return &SyntaxError{Offset: offset, Reason: reason}
}

func (p *jsonParser) space() {
	for p.pos < len(p.data) && isSpace(p.data[p.pos]) {
		p.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// next skips white space and returns the byte at the cursor, 0 at the end.
func (p *jsonParser) next() byte {
	p.space()
	if p.pos == len(p.data) {
		return 0
	}
	return p.data[p.pos]
}

func (p *jsonParser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return &LimitError{Limit: "depth of an object", Max: maxDepth}
	}
	p.pos++
	return nil
}

// object parses from its '{'.
func (p *jsonParser) object() (Object, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	o, nulls := Object{}, false
	if p.next() == '}' {
		p.pos++
		p.depth--
		return o, nil
	}
	for {
		if p.next() != '"' {
			return nil, p.fail("no member name")
		}
		at := p.pos
		s, err := p.str()
		if err != nil {
			return nil, err
		}
		name := string(s)
		if _, dup := o[name]; dup {
			return nil, p.failAt(at, "duplicate member")
		}
		if p.next() != ':' {
			return nil, p.fail("no colon after a member name")
		}
		p.pos++
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		o[name] = v // a null too, until the end: it also counts for duplicates
		nulls = nulls || v == nil
		switch p.next() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			p.depth--
			if nulls {
				removeNulls(o)
			}
			return o, nil
		default:
			return nil, p.fail("no comma or brace after a member")
		}
	}
}

// removeNulls removes the members that are null: they count as absent.
func removeNulls(o Object) {
	maps.DeleteFunc(o, func(_ string, v any) bool { return v == nil })
}

// array parses from its '['.
func (p *jsonParser) array() (Array, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	a := Array{}
	if p.next() == ']' {
		p.pos++
		p.depth--
		return a, nil
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		switch p.next() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			p.depth--
			return a, nil
		default:
			return nil, p.fail("no comma or bracket after an element")
		}
	}
}

func (p *jsonParser) value() (any, error) {
	if p.values++; p.values > maxValues {
		return nil, &LimitError{Limit: "number of values in an object", Max: maxValues}
	}
	switch c := p.next(); {
	case c == '"':
		s, err := p.str()
		if err != nil {
			return nil, err
		}
		if p.share {
			return text(s), nil
		}
		return string(s), nil
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == 't' && p.literal("true"):
		return true, nil
	case c == 'f' && p.literal("false"):
		return false, nil
	case c == 'n' && p.literal("null"):
		return nil, nil
	}
	return nil, p.fail("no value")
}

func (p *jsonParser) literal(word string) bool {
	if end := p.pos + len(word); end > len(p.data) || string(p.data[p.pos:end]) != word {
		return false
	}
	p.pos += len(word)
	return true
}

// str parses a string from its opening quote. The result is part of data,
// unless something had to be rewritten.
func (p *jsonParser) str() ([]byte, error) {
	d := p.data
	i := p.pos + 1
	start := i      // of what is not yet in text
	var made []byte // nil until something has to be rewritten
	for {
		i += plain(d[i:])
		if i == len(d) {
			return nil, p.failAt(i, "string without end")
		}
		switch c := d[i]; {
		case c == '"':
			p.pos = i + 1
			if made == nil {
				return d[start:i:i], nil
			}
			return append(made, d[start:i]...), nil
		case c == '\\':
			r, n := unescape(d[i:])
			if n == 0 {
				return nil, p.failAt(i, "bad escape")
			}
			made = utf8.AppendRune(append(made, d[start:i]...), r)
			i += n
			start = i
		case c < 0x20:
			return nil, p.failAt(i, "control character in a string")
		default:
			r, n := utf8.DecodeRune(d[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			if r = splitRune(d[i:]); r == utf8.RuneError {
				return nil, p.failAt(i, "malformed UTF-8")
			}
			made = utf8.AppendRune(append(made, d[start:i]...), r)
			i += 6
			start = i
		}
	}
}

// splitRune decodes a character beyond U+FFFF whose two surrogates are encoded
// apart (CESU-8): ED A0..AF xx, ED B0..BF xx.
func splitRune(d []byte) rune {
	if len(d) < 6 || d[0] != 0xED || d[1]&0xF0 != 0xA0 || d[2]&0xC0 != 0x80 ||
		d[3] != 0xED || d[4]&0xF0 != 0xB0 || d[5]&0xC0 != 0x80 {
		return utf8.RuneError
	}
	hi := 0xD800 | rune(d[1]&0x0F)<<6 | rune(d[2]&0x3F)
	lo := 0xDC00 | rune(d[4]&0x0F)<<6 | rune(d[5]&0x3F)
	return utf16.DecodeRune(hi, lo)
}

// unescape decodes the escape, or the two of a surrogate pair, that d begins
// with, and says how long it is: 0 if it is none.
func unescape(d []byte) (rune, int) {
	if len(d) < 2 {
		return 0, 0
	}
	switch c := d[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	r, ok := unit(d)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	lo, ok := unit(d[6:])
	if r = utf16.DecodeRune(r, lo); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// unit decodes one \uXXXX.
func unit(d []byte) (r rune, ok bool) {
	if len(d) < 6 || d[0] != '\\' || d[1] != 'u' {
		return 0, false
	}
	for _, c := range d[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// number parses an integer, or a double when it has a fraction or an exponent.
func (p *jsonParser) number() (any, error) {
	d, start := p.data, p.pos
	i := start
	if d[i] == '-' {
		i++
	}
	whole := i
	i += digits(d[i:])
	if i == whole || d[whole] == '0' && i > whole+1 {
		return nil, p.fail("malformed number")
	}
	end := i
	if i < len(d) && d[i] == '.' {
		n := digits(d[i+1:])
		if n == 0 {
			return nil, p.fail("malformed number")
		}
		i += 1 + n
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		n := digits(d[i:])
		if n == 0 {
			return nil, p.fail("malformed number")
		}
		i += n
	}
	text := string(d[start:i])
	if i == end {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, p.fail("integer out of range")
		}
		if n == 0 && text[0] == '-' {
			return nil, p.fail("malformed number")
		}
		p.pos = i
		return n, nil
	}
	if n, ok := integral(text); ok {
		p.pos = i
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, p.fail("number out of range")
	}
	p.pos = i
	if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f), nil // as which it is written: what it had behind the point is lost
	}
	return f, nil
}

func digits(d []byte) int {
	n := 0
	for n < len(d) && '0' <= d[n] && d[n] <= '9' {
		n++
	}
	return n
}

// integral gives the value of a number with a fraction or an exponent that is
// an int64 all the same, exactly: a double could not tell 2^53 from 2^53+1.
func integral(text string) (int64, bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	exp := 0
	if exponent != "" {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil {
			return 0, false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	significant := strings.TrimRight(all, "0")
	zeros := len(all) - len(significant) - len(fraction) + exp
	if significant == "" || significant == "-" {
		return 0, true
	}
	if zeros < 0 || zeros > 18 {
		return 0, false
	}
	n, err := strconv.ParseInt(significant+strings.Repeat("0", zeros), 10, 64)
	return n, err == nil
}
