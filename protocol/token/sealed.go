package token

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/protocol/mslcrypto"
)

// MaxNumber is the greatest serial number, sequence number and non-replayable
// ID. The least is 0.
const MaxNumber int64 = 1 << 53

// NextNumber is the number after n: 0 follows [MaxNumber].
func NextNumber(n int64) int64 {
	if n >= MaxNumber {
		return 0
	}
	return n + 1
}

func inRange(n int64) bool { return 0 <= n && n <= MaxNumber }

// sealed is the shape that all tokens share (spec 03):
//
//	{"tokendata": binary, "signature": binary}
//
// The bytes are kept as received or made, and never encoded again.
type sealed struct{ tokendata, signature []byte }

const (
	memberTokenData = "tokendata"
	memberSignature = "signature"
)

// parseSealed reads the outer object; empty token data has a code for each kind
// of token.
func parseSealed(o framing.Object, missing mslerr.Code) (sealed, error) {
	var s sealed
	var err error
	if s.tokendata, err = framing.Get[[]byte](o, memberTokenData); err != nil {
		return s, mslerr.Wrap(mslerr.ParseError, err)
	}
	if len(s.tokendata) == 0 {
		return s, &mslerr.Error{Code: missing}
	}
	if s.signature, err = framing.Get[[]byte](o, memberSignature); err != nil {
		return s, mslerr.Wrap(mslerr.ParseError, err)
	}
	// A token outlives the message it came in, with whose memory o is made.
	both, n := slices.Concat(s.tokendata, s.signature), len(s.tokendata)
	s.tokendata, s.signature = both[:n:n], both[n:]
	return s, nil
}

// seal encodes and signs token data.
func seal(o framing.Object, c mslcrypto.Context, f framing.Format) (sealed, error) {
	var s sealed
	var err error
	if s.tokendata, err = f.Append(nil, o); err != nil {
		return s, mslerr.Wrap(mslerr.EncodeError, err)
	}
	if s.signature, err = c.Sign(s.tokendata, f); err != nil {
		return s, err
	}
	return s, nil
}

// Object is the token as it travels: the received or minted bytes, unchanged.
// What it holds must not be modified. Reading it again with the Parse function
// of its kind gives an equal token, which is how a holder keeps tokens.
func (s *sealed) Object() framing.Object {
	return framing.Object{memberTokenData: s.tokendata, memberSignature: s.signature}
}

func internal(format string, args ...any) error {
	return mslerr.New(mslerr.InternalException, format, args...)
}

// passed says whether a moment that a token names is reached at now, both in
// whole seconds; the boundary is inclusive (spec 03 section 3). With no now, our
// own token is judged by our own clock, and one of others is as unknown says.
func passed(moment time.Time, verified bool, now time.Time, unknown bool) bool {
	if now.IsZero() {
		if !verified {
			return unknown
		}
		now = time.Now()
	}
	return moment.Unix() <= now.Unix()
}

// setTimes writes the two times of a token. They are an error of the program if
// they are in the wrong order.
func setTimes(o framing.Object, window, expiration time.Time) error {
	if expiration.Unix() < window.Unix() {
		return internal("token expires before its renewal window opens")
	}
	o[memberRenewalWindow] = window.Unix()
	o[memberExpiration] = expiration.Unix()
	return nil
}

// getTimes reads the two times of a token.
func getTimes(o framing.Object, malformed, reversed mslerr.Code) (window, expiration time.Time, err error) {
	w, err := framing.Get[int64](o, memberRenewalWindow)
	if err != nil {
		return window, expiration, mslerr.Wrap(malformed, err)
	}
	e, err := framing.Get[int64](o, memberExpiration)
	if err != nil {
		return window, expiration, mslerr.Wrap(malformed, err)
	}
	if e < w {
		return window, expiration, &mslerr.Error{Code: reversed}
	}
	return time.Unix(w, 0), time.Unix(e, 0), nil
}

// getNumber reads a serial or sequence number.
func getNumber(o framing.Object, name string, malformed, outOfRange mslerr.Code) (int64, error) {
	n, err := framing.Get[int64](o, name)
	if err != nil {
		return 0, mslerr.Wrap(malformed, err)
	}
	if !inRange(n) {
		return 0, mslerr.New(outOfRange, "%s %d", name, n)
	}
	return n, nil
}

// Members of token data that several kinds of tokens have.
const (
	memberRenewalWindow     = "renewalwindow"
	memberExpiration        = "expiration"
	memberSequenceNumber    = "sequencenumber"
	memberSerialNumber      = "serialnumber"
	memberMasterTokenSerial = "mtserialnumber"
	memberUserIDTokenSerial = "uitserialnumber"
	memberIssuerData        = "issuerdata"
	memberIdentity          = "identity"
)

// MergeIssuerData is the issuer data of a renewed token: what stood in the old
// one, with members of the same name replaced (spec 03 section 7). It is nil if
// both are.
func MergeIssuerData(old, changes framing.Object) framing.Object {
	if old == nil && changes == nil {
		return nil
	}
	merged := make(framing.Object, len(old)+len(changes))
	maps.Copy(merged, old)
	maps.Copy(merged, changes)
	return merged
}

// printNumbers prints a token as its String method does.
func printNumbers(f fmt.State, t fmt.Stringer) { _, _ = io.WriteString(f, t.String()) }
