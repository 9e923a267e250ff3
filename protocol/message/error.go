package message

import (
	"context"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/entityauth"
	"github.com/mslgo/msl/protocol/token"
)

// An ErrorHeader is an error message from the other side (spec 04 section 8).
// It is an error itself, one with Remote set, and matches the response code
// and internal code that it carries.
//
// Its sender is only as sure as its entity authentication is (W-05): nothing
// may be deleted because of one that is not Protected or does not match the
// outstanding request.
type ErrorHeader struct {
	Raw    []byte // as received, not to be changed
	Format framing.Format

	Sender     token.Entity
	EntityAuth entityauth.Data
	Encrypted  bool
	Protected  bool
	// Answers says that the message ID is the one after the request's. It
	// need not be for the codes FAIL, TRANSIENT_FAILURE, ENTITY_REAUTH and
	// ENTITYDATA_REAUTH, whose sender may have been unable to read the request.
	Answers bool

	MessageID int64
	Timestamp time.Time // the sender's clock; zero if not given
	Response  mslerr.ResponseCode
	// InternalCode is the number as it travels, with mslerr.WireOffset; -1 if
	// there is none. It is for logs.
	InternalCode int64
	Text         string // for developers
	UserMessage  string // localised
}

// Error describes the failure in the other side's words.
func (e *ErrorHeader) Error() string { return e.Unwrap().Error() }

// Unwrap gives the failure as an *mslerr.Error with Remote set.
func (e *ErrorHeader) Unwrap() error {
	code := mslerr.None
	if e.InternalCode >= mslerr.WireOffset {
		code = mslerr.Code(e.InternalCode - mslerr.WireOffset)
	}
	return &mslerr.Error{
		Code: code, Response: e.Response, Remote: true,
		MessageID: e.MessageID, HasMessageID: true,
		UserMessage: e.UserMessage, Detail: e.Text,
	}
}

// openError reads
//
//	{"entityauthdata": object, "errordata": binary, "signature": binary}
func (n *Network) openError(ctx context.Context, e *ErrorHeader, object framing.Object, opts OpenOptions) (*ErrorHeader, error) {
	r, err := n.remote(ctx, object)
	if err != nil {
		return nil, err
	}
	e.EntityAuth, e.Sender = r.data, entityauth.EntityOf(r.data)
	e.Encrypted, e.Protected = r.protection.HeaderEncrypted, r.protection.HeaderProtected
	o, err := unseal(r.context, object, "errordata", mslerr.MessageVerificationFailed)
	if err != nil {
		return nil, err
	}
	if e.MessageID, err = messageID(o); err != nil {
		return nil, err
	}
	if err := n.parseErrorData(e, o, opts); err != nil {
		return nil, mslerr.WithMessageID(err, e.MessageID)
	}
	return e, nil
}

// parseErrorData reads the plaintext of "errordata" (spec 04 section 8).
func (n *Network) parseErrorData(e *ErrorHeader, o framing.Object, opts OpenOptions) error {
	var err error
	if e.Timestamp, err = timestamp(o); err != nil {
		return err
	}
	code, err := get[int64](o, "errorcode")
	if err != nil {
		return err
	}
	e.Response = mslerr.ParseResponseCode(code)
	internal, ok, err := opt[int64](o, "internalcode")
	switch {
	case err != nil:
		return err
	case !ok:
		e.InternalCode = -1
	case internal < 0:
		return mslerr.New(mslerr.InternalCodeNegative, "%d", internal)
	default:
		e.InternalCode = internal
	}
	if e.Text, _, err = opt[string](o, "errormsg"); err != nil {
		return err
	}
	if e.UserMessage, _, err = opt[string](o, "usermsg"); err != nil {
		return err
	}
	if err := n.checkSender(e.EntityAuth, nil, opts.Remote); err != nil {
		return err
	}
	e.Answers = opts.RequestID != nil && e.MessageID == NextID(*opts.RequestID)
	if opts.RequestID != nil && !e.Answers {
		switch e.Response {
		case mslerr.Fail, mslerr.TransientFailure, mslerr.EntityReauth, mslerr.EntityDataReauth:
		default:
			return mslerr.New(mslerr.UnexpectedResponseMessageID, "not the answer to the outstanding request")
		}
	}
	return nil
}

// An ErrorSpec is what an error header is to say.
type ErrorSpec struct {
	// Err is what went wrong. What is no *mslerr.Error is internal. The message
	// at fault is the one that it names, else Request's; if neither is known,
	// the answer's ID is random.
	Err error
	// Request is the message at fault, as far as it could be opened: it tells
	// which format and languages its sender understands. Nil: it could not.
	Request *Header
	// Terse leaves out all but the response code, as answers to a channel's
	// set-up do (channel set-up 4.8.6).
	Terse bool
}

// SealError makes an error header (spec 04 section 8) under our entity
// authentication data. Unless [Network] says otherwise, it tells a sender that
// did not authenticate no more than the response code (W-15), and nobody the
// Detail of an error.
func (n *Network) SealError(ctx context.Context, s ErrorSpec) (*Sealed, error) {
	failure := mslerr.Wrap(mslerr.InternalException, s.Err)
	out := &Sealed{}
	capabilities := n.Capabilities()
	var languages []string
	authenticated := n.ErrorDetails
	switch {
	case failure.HasMessageID:
		out.MessageID = NextID(failure.MessageID)
	case s.Request != nil:
		out.MessageID = NextID(s.Request.MessageID)
	default:
		out.MessageID = RandomID()
	}
	if s.Request != nil {
		capabilities = s.Request.Capabilities.Intersect(capabilities)
		authenticated = authenticated || s.Request.HeaderProtected
		if s.Request.Capabilities != nil {
			languages = s.Request.Capabilities.Languages
		}
	} else {
		capabilities = nil // what the sender reads is not known; everybody reads JSON
	}
	out.Format = capabilities.Format()

	data := framing.Object{
		"messageid": out.MessageID,
		"timestamp": n.now().Unix(),
		"errorcode": int64(failure.ResponseCode()),
	}
	if authenticated && !s.Terse {
		data["internalcode"] = int64(failure.Code) + mslerr.WireOffset
		data["errormsg"] = failure.Code.String()
	}
	if n.UserMessage != nil && !s.Terse {
		if text := n.UserMessage(failure.Code, languages); text != "" {
			data["usermsg"] = text
		}
	}
	scheme, c, err := n.self(ctx)
	if err != nil {
		return nil, err
	}
	out.Protection, out.HeaderContext = protectionOf(scheme), c
	out.PayloadEncrypted, out.PayloadProtected = false, false
	object := framing.Object{}
	if object["entityauthdata"], err = entityauth.Object(n.Self, out.Format); err != nil {
		return nil, err
	}
	out.Raw, err = seal(c, object, "errordata", data, out.Format)
	return out, err
}
