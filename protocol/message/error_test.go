package message

import (
	"errors"
	"strings"
	"testing"

	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
)

func openError(t *testing.T, n *Network, raw []byte, o OpenOptions) *ErrorHeader {
	t.Helper()
	h, err := n.Open(t.Context(), raw, o)
	var e *ErrorHeader
	if h != nil || !errors.As(err, &e) {
		t.Fatalf("no error header: %v, %v", h, err)
	}
	return e
}

func TestErrorHeader(t *testing.T) {
	w := newWorld(t, entityauth.NewPSKData("psk-client"))
	w.server.UserMessage = func(code mslerr.Code, languages []string) string {
		return code.String() + strings.Join(languages, ",")
	}
	request := seal1(t, w.client, HeaderSpec{Credentials: password{"alice", "wrong"}, Capabilities: w.client.Capabilities()})
	h, err := w.server.Open(t.Context(), request.Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	failure := w.server.Authenticate(t.Context(), h)
	answer, err := w.server.SealError(t.Context(), ErrorSpec{Err: failure, Request: h})
	if err != nil {
		t.Fatal(err)
	}
	e := openError(t, w.client, answer.Raw, OpenOptions{RequestID: &request.MessageID, Remote: entityauth.EntityOf(w.server.Self)})
	if !e.Answers || !e.Protected || e.Encrypted || e.MessageID != NextID(request.MessageID) || e.Timestamp != w.now {
		t.Errorf("%+v", e)
	}
	if e.Response != mslerr.UserDataReauth || e.InternalCode != 105007 || e.UserMessage != "EMAILPASSWORD_INCORRECTde" {
		t.Errorf("%+v", e)
	}
	if strings.Contains(e.Text, "wrong") {
		t.Errorf("detail sent to the other side: %q", e.Text)
	}
	if !errors.Is(e, mslerr.EmailPasswordIncorrect) || !errors.Is(e, mslerr.UserDataReauth) {
		t.Errorf("%v matches nothing", e)
	}
	var protocol *mslerr.Error
	if !errors.As(error(e), &protocol) || !protocol.Remote {
		t.Errorf("%v is not remote", protocol)
	}
	// From somebody else it is not accepted.
	_, err = w.client.Open(t.Context(), answer.Raw, OpenOptions{Remote: entityauth.EntityOf(ed25519Identity(10).Self())})
	wantCode(t, err, mslerr.MessageSenderMismatch)

	terse, err := w.server.SealError(t.Context(), ErrorSpec{Err: failure, Request: h, Terse: true})
	if err != nil {
		t.Fatal(err)
	}
	e = openError(t, w.client, terse.Raw, OpenOptions{})
	if e.InternalCode != -1 || e.Text != "" || e.UserMessage != "" || e.Response != mslerr.UserDataReauth {
		t.Errorf("terse: %+v", e)
	}
}

// Who did not authenticate learns the response code and nothing else (W-15).
func TestErrorDetails(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("somebody"))
	unauthenticated, err := w.server.Open(t.Context(), seal1(t, w.client, HeaderSpec{}).Raw, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []*Header{nil, unauthenticated} {
		for _, details := range []bool{false, true} {
			w.server.ErrorDetails = details
			s, err := w.server.SealError(t.Context(), ErrorSpec{Err: mslerr.New(mslerr.EntityNotFound, "x"), Request: request})
			if err != nil {
				t.Fatal(err)
			}
			if e := openError(t, w.client, s.Raw, OpenOptions{}); (e.InternalCode == 104005) != details || (e.Text != "") != details {
				t.Errorf("details %v: %+v", details, e)
			}
		}
	}
	s, err := w.server.SealError(t.Context(), ErrorSpec{Err: errors.New("a store is down")})
	if err != nil {
		t.Fatal(err)
	}
	if e := openError(t, w.client, s.Raw, OpenOptions{}); e.Response != mslerr.TransientFailure || e.InternalCode != 109000 {
		t.Errorf("internal failure: %+v", e)
	}
}

// The ID of an error is checked only for the codes whose sender has read the request.
func TestErrorID(t *testing.T) {
	w := newWorld(t, entityauth.NewNoneData("somebody"))
	id := int64(100)
	for code := mslerr.Fail; code <= mslerr.SSOTokenRejected; code++ {
		unchecked := code == mslerr.Fail || code == mslerr.TransientFailure || code == mslerr.EntityReauth || code == mslerr.EntityDataReauth
		for _, request := range []int64{100, 200} {
			s, err := w.server.SealError(t.Context(), ErrorSpec{
				Err: &mslerr.Error{Code: mslerr.None, Response: code, MessageID: request, HasMessageID: true}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.client.Open(t.Context(), s.Raw, OpenOptions{RequestID: &id})
			var e *ErrorHeader
			switch {
			case request == id || unchecked:
				if !errors.As(err, &e) || e.Answers != (request == id) {
					t.Errorf("%v: %v", code, err)
				}
			default:
				wantCode(t, err, mslerr.UnexpectedResponseMessageID)
			}
		}
	}
}

func TestApplicationRejects(t *testing.T) {
	w := connected(t)
	user, _ := w.holder.UserIDToken(t.Context(), "me")
	for _, tt := range []struct {
		s            HeaderSpec
		entity, user mslerr.Code
	}{
		{HeaderSpec{}, mslerr.EntityRejectedByApp, mslerr.UserRejectedByApp},
		{HeaderSpec{Under: w.held()}, mslerr.MasterTokenRejectedByApp, mslerr.UserRejectedByApp},
		{HeaderSpec{Under: w.held(), Tokens: Tokens{UserID: user}}, mslerr.MasterTokenRejectedByApp, mslerr.UserIDTokenRejectedByApp},
	} {
		h, err := w.server.Open(t.Context(), seal1(t, w.client, tt.s).Raw, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if e, u := h.EntityRejected(), h.UserRejected(); e.Code != tt.entity || u.Code != tt.user || e.MessageID != h.MessageID {
			t.Errorf("%v, %v", e, u)
		}
	}
}
