package mslerr

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestIsMatchesBothNumbers(t *testing.T) {
	err := fmt.Errorf("login: %w", New(EmailPasswordIncorrect, "no such user: %w", io.EOF))
	for _, target := range []error{EmailPasswordIncorrect, UserDataReauth, io.EOF} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = false", err, target)
		}
	}
	for _, target := range []error{EmailPasswordBlank, Fail} {
		if errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = true", err, target)
		}
	}
}

func TestRemoteResponseOverridesCode(t *testing.T) {
	err := &Error{Code: ParseError, Response: Expired, Remote: true}
	if !errors.Is(err, Expired) || errors.Is(err, Fail) {
		t.Errorf("%v: the response code sent does not decide", err)
	}
	if got := err.Error(); !strings.Contains(got, "remote") || !strings.Contains(got, "EXPIRED") {
		t.Errorf("Error() = %q", got)
	}
}

func TestWrapKeepsAnInnerProtocolError(t *testing.T) {
	inner := New(UnwrapError, "integrity check")
	if got := Wrap(InternalException, fmt.Errorf("outer: %w", inner)); got != inner {
		t.Errorf("Wrap replaced %v by %v", inner, got)
	}
	if got := Wrap(InternalException, io.EOF); got.Code != InternalException || !errors.Is(got, io.EOF) {
		t.Errorf("Wrap(io.EOF) = %v", got)
	}
}

func TestWithMessageIDKeepsTheFirst(t *testing.T) {
	e := WithMessageID(WithMessageID(New(ParseError, "x"), 7), 8)
	if e.MessageID != 7 || !e.HasMessageID {
		t.Errorf("message ID = %d, %v", e.MessageID, e.HasMessageID)
	}
	if e := WithMessageID(io.EOF, 1); e.Code != InternalException || !errors.Is(e, io.EOF) {
		t.Errorf("foreign error became %v", e)
	}
}

func TestResponseCodes(t *testing.T) {
	for n, want := range map[int64]ResponseCode{0: Fail, 1: Fail, 3: EntityReauth, 10: SSOTokenRejected, 11: Fail, -1: Fail} {
		if got := ParseResponseCode(n); got != want {
			t.Errorf("ParseResponseCode(%d) = %v, want %v", n, got, want)
		}
	}
	for code, i := range codes {
		if i.name == "" || i.text == "" || ParseResponseCode(int64(i.response)) != i.response {
			t.Errorf("code %d is incomplete: %+v", code, i)
		}
	}
	if s := Code(20000).Error(); s != "msl: CODE_20000" || Code(20000).Response() != Fail {
		t.Errorf("an application's code reads %q, %v", s, Code(20000).Response())
	}
}
