package framing

func (jsonFormat) NewScanner(limits Limits) Scanner {
	return &jsonScanner{limits: limits.withDefaults()}
}

// jsonScanner follows braces, brackets and quotes; what lies between them is
// the parser's business.
type jsonScanner struct {
	limits  Limits
	size    int // bytes taken so far
	depth   int
	quoted  bool // inside a string
	escaped bool // behind a backslash
}

func (s *jsonScanner) Scan(p []byte) (n int, done bool, err error) {
	n, done, err = s.scan(p)
	s.size += n
	if err == nil && s.size > s.limits.Object {
		return n, false, &LimitError{Limit: "object size", Max: s.limits.Object}
	}
	return n, done, err
}

func (s *jsonScanner) scan(p []byte) (int, bool, error) {
	if s.size == 0 && len(p) > 0 && p[0] != '{' {
		return 0, false, &SyntaxError{Reason: "no object"}
	}
	for i := 0; i < len(p); i++ {
		if s.escaped {
			s.escaped = false
			continue
		}
		if s.quoted {
			if i += unquoted(p[i:]); i == len(p) {
				break
			}
			s.quoted = p[i] != '"'
			s.escaped = p[i] == '\\'
			continue
		}
		switch p[i] {
		case '"':
			s.quoted = true
		case '{', '[':
			if s.depth++; s.depth > s.limits.Depth {
				return i, false, &LimitError{Limit: "depth of an object", Max: s.limits.Depth}
			}
		case '}', ']':
			if s.depth--; s.depth == 0 {
				return i + 1, true, nil
			}
		}
	}
	return len(p), false, nil
}
