package session

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/mslerr"
	"github.com/mslgo/msl/stream"
)

// version is the one version of the channel spoken here.
const version = 1

// A request is the "channel" member of a request's headerdata (channel set-up
// 4.1.2; attach 4.6.1):
//
//	versions   [int]           a common one, or no set-up
//	suites     [int]           best first
//	shares     [{kem: int, share: binary}]   1 or 2, fresh; absent with HPKE alone
//	to         string          1..255 bytes: service name, or the peer's identity
//	from       string          with a token: own identity
//	issuer     string          with a token: who issued it
//	maxrecord, window, credit, streams, retain, durable    see offer
//	early      bool            early data follows
//	auth       bool            AUTH will be sent
//	attach     object          instead of a set-up
type request struct {
	versions []int64
	suites   []stream.Suite
	shares   []publicShare
	to       string
	from     string
	issuer   string
	offer    offer
	early    bool
	auth     bool
	attach   *attachRequest

	firstSuite int64 // as received, known here or not: that of early data
}

type publicShare struct {
	kem    uint16
	public []byte
}

// A response is the "channel" member of a response's headerdata (channel set-up
// 4.2.10), of one of three kinds:
//
//	{version, suite, kem?, enc?, id, maxrecord.. durable, early?, auth, at?}   a set-up
//	{attach: {..}}                                                             an attach
//	{versions, error?}                                 no set-up: sentinel, or "unsupported"
type response struct {
	version int64
	suite   stream.Suite
	kem     uint16 // by share, 0 otherwise
	enc     []byte // by share
	id      channelID
	offer   offer
	early   earlyAnswer
	auth    bool
	at      []string

	attach *attachResponse

	versions []int64 // not nil: nothing was set up
	err      string
}

// earlyAnswer is what became of early data (channel set-up 4.2.8).
type earlyAnswer string

const (
	earlyNone     earlyAnswer = ""
	earlyAccepted earlyAnswer = "accepted"
	earlyRejected earlyAnswer = "rejected" // by one that claimed the ID itself
	earlyUnknown  earlyAnswer = "unknown"
)

// offer is the limits one side names: what it accepts and gives at first.
type offer struct {
	maxRecord int64 // bytes of plaintext in a record that I accept
	window    int64 // credit of each stream at first, bytes
	credit    int64 // credit of the channel at first, bytes
	streams   int64 // streams the other side may open at first
	retain    int64 // least retransmission budget I work with, bytes
	durable   int64 // seconds
}

const leastRecord = 16384 // what every maxrecord allows

// The ranges and defaults of the offer's members.
var offerMembers = []struct {
	name            string
	least, most, of int64
	field           func(*offer) *int64
}{
	{"maxrecord", leastRecord, 1 << 20, 65536, func(o *offer) *int64 { return &o.maxRecord }},
	{"window", 65536, 1 << 53, 262144, func(o *offer) *int64 { return &o.window }},
	{"credit", 65536, 1 << 53, 4194304, func(o *offer) *int64 { return &o.credit }},
	{"streams", 16, 65536, 256, func(o *offer) *int64 { return &o.streams }},
	{"retain", 65536, 1 << 53, 1048576, func(o *offer) *int64 { return &o.retain }},
	{"durable", 0, 86400, 120, func(o *offer) *int64 { return &o.durable }},
}

// attachRequest is the "attach" member of a request:
// {id: binary, epoch, n, received, first, count: int, proof: binary}.
type attachRequest struct {
	id       channelID
	epoch    uint32
	n        uint64 // attempt: 1, 2, ...
	received uint64 // r2i records opened
	first    uint64 // number of the first i2r record that follows
	count    uint64 // how many follow before the answer is read
	proof    []byte
}

// attachResponse is the "attach" member of a response: {received, proof}, or
// {error: "closed", code, proof}, or {error: "unknown"}.
type attachResponse struct {
	received uint64
	code     uint64
	proof    []byte
	err      string
}

// Answers of an attach that found no channel to go on with.
const (
	attachClosed  = "closed"
	attachUnknown = "unknown"
)

const (
	setupUnsupported = "unsupported" // no common version, suite or KEM

	maxList   = 16  // elements of versions and suites that are read
	maxName   = 255 // bytes of to, from and issuer
	maxAt     = 4
	maxAtSize = 256
	maxShare  = 1216 // bytes: the hybrid KEM's public key
	maxEnc    = 1120
)

// object encodes r. Members at their default are written too: what was offered
// is under the hash, and says so by itself.
func (r *request) object() framing.Object {
	o := framing.Object{"versions": ints(r.versions), "to": r.to}
	if r.from != "" {
		o["from"] = r.from
	}
	if r.issuer != "" {
		o["issuer"] = r.issuer
	}
	if r.attach != nil {
		o["attach"] = r.attach.object()
		return o
	}
	o["suites"] = ints(r.suites)
	if r.shares != nil {
		var a framing.Array
		for _, s := range r.shares {
			a = append(a, framing.Object{"kem": int64(s.kem), "share": s.public})
		}
		o["shares"] = a
	}
	r.offer.put(o)
	if r.early {
		o["early"] = true
	}
	o["auth"] = r.auth
	return o
}

// parseRequest reads a "channel" member. Errors are protocol errors that name
// the member. If no version is common nothing else is read, as it may mean
// something else there: the caller answers that nothing was set up.
func parseRequest(o framing.Object) (*request, error) {
	p := parser{o: o}
	r := &request{versions: p.ints("versions")}
	if p.err != nil || !slices.Contains(r.versions, version) {
		return r, p.err
	}
	r.to = p.name("to", true)
	r.from = p.name("from", false)
	r.issuer = p.name("issuer", false)
	if sub, ok := opt[framing.Object](&p, "attach"); ok {
		a := parser{o: sub}
		r.attach = parseAttachRequest(&a)
		return r, firstError(p.err, a.err)
	}
	for i, s := range p.ints("suites") {
		if i == 0 {
			r.firstSuite = s
		}
		// A suite that is unknown here is no reason to refuse those beside it.
		if s > 0 && s <= math.MaxUint16 && stream.Suite(s).Valid() {
			r.suites = append(r.suites, stream.Suite(s))
		}
	}
	if list, ok := opt[framing.Array](&p, "shares"); ok {
		r.shares = p.shares(list)
	}
	r.offer = p.offer()
	r.early, _ = opt[bool](&p, "early")
	r.auth = get[bool](&p, "auth")
	return r, p.err
}

func (r *response) object() framing.Object {
	switch {
	case r.attach != nil:
		return framing.Object{"attach": r.attach.object()}
	case r.versions != nil:
		o := framing.Object{"versions": ints(r.versions)}
		if r.err != "" {
			o["error"] = r.err
		}
		return o
	}
	o := framing.Object{
		"version": r.version,
		"suite":   int64(r.suite),
		"id":      r.id[:],
		"auth":    r.auth,
	}
	if r.enc != nil {
		o["kem"], o["enc"] = int64(r.kem), r.enc
	}
	r.offer.put(o)
	if r.early != earlyNone {
		o["early"] = string(r.early)
	}
	if len(r.at) > 0 {
		a := make(framing.Array, len(r.at))
		for i, u := range r.at {
			a[i] = u
		}
		o["at"] = a
	}
	return o
}

// parseResponse reads the "channel" member of a response.
func parseResponse(o framing.Object) (*response, error) {
	p := parser{o: o}
	r := new(response)
	if sub, ok := opt[framing.Object](&p, "attach"); ok {
		a := parser{o: sub}
		r.attach = parseAttachResponse(&a)
		return r, firstError(p.err, a.err)
	}
	if o["version"] == nil {
		r.versions = p.ints("versions")
		r.err, _ = opt[string](&p, "error")
		return r, p.err
	}
	r.version = p.number("version", 0, math.MaxInt32)
	r.suite = stream.Suite(p.number("suite", 1, math.MaxUint16))
	if o["enc"] != nil || o["kem"] != nil {
		r.kem = uint16(p.number("kem", 0, math.MaxUint16))
		r.enc = p.binary("enc", 1, maxEnc)
	}
	copy(r.id[:], p.binary("id", len(r.id), len(r.id)))
	r.offer = p.offer()
	early, _ := opt[string](&p, "early")
	switch r.early = earlyAnswer(early); r.early {
	case earlyNone, earlyAccepted, earlyRejected, earlyUnknown:
	default:
		p.fail("early", "no answer that is known")
	}
	r.auth = get[bool](&p, "auth")
	if list, ok := opt[framing.Array](&p, "at"); ok {
		r.at = p.addresses(list)
	}
	return r, p.err
}

func (a *attachRequest) object() framing.Object {
	return framing.Object{
		"id": a.id[:], "epoch": int64(a.epoch), "n": int64(a.n), "received": int64(a.received),
		"first": int64(a.first), "count": int64(a.count), "proof": a.proof,
	}
}

func parseAttachRequest(p *parser) *attachRequest {
	a := new(attachRequest)
	copy(a.id[:], p.binary("id", len(a.id), len(a.id)))
	a.epoch = uint32(p.number("epoch", 0, math.MaxUint32))
	a.n = uint64(p.number("n", 1, maxInteger))
	a.received = uint64(p.number("received", 0, maxInteger))
	a.first = uint64(p.number("first", 0, maxInteger))
	a.count = uint64(p.number("count", 0, maxInteger))
	a.proof = p.binary("proof", len(digest{}), len(digest{}))
	return a
}

func (a *attachResponse) object() framing.Object {
	switch a.err {
	case "":
		return framing.Object{"received": int64(a.received), "proof": a.proof}
	case attachClosed:
		return framing.Object{"error": a.err, "code": int64(a.code), "proof": a.proof}
	}
	return framing.Object{"error": a.err}
}

func parseAttachResponse(p *parser) *attachResponse {
	a := new(attachResponse)
	a.err, _ = opt[string](p, "error")
	switch a.err {
	case "":
		a.received = uint64(p.number("received", 0, maxInteger))
	case attachClosed:
		a.code = uint64(p.number("code", 0, maxInteger))
	default:
		return a // has no proof, and is never more than a loss (X18)
	}
	a.proof = p.binary("proof", len(digest{}), len(digest{}))
	return a
}

// maxInteger is the greatest integer of MSL's objects, 2^53.
const maxInteger = 1 << 53

func (f offer) put(o framing.Object) {
	for _, m := range offerMembers {
		o[m.name] = *m.field(&f)
	}
}

// withDefaults replaces zeros.
func (f offer) withDefaults() offer {
	for _, m := range offerMembers {
		if v := m.field(&f); *v == 0 && m.least > 0 {
			*v = m.of
		}
	}
	return f
}

func (f offer) validate() error {
	for _, m := range offerMembers {
		if v := *m.field(&f); v < m.least || v > m.most {
			return fmt.Errorf("session: limit %s is %d, not within %d to %d", m.name, v, m.least, m.most)
		}
	}
	return nil
}

func (f offer) durableTime() time.Duration { return time.Duration(f.durable) * time.Second }

// A parser reads members and keeps the first failure.
type parser struct {
	o   framing.Object
	err error
}

func (p *parser) fail(member, why string) {
	if p.err == nil {
		p.err = mslerr.New(mslerr.ParseError, "channel member %q: %s", member, why)
	}
}

func get[T framing.Value](p *parser, member string) T {
	v, err := framing.Get[T](p.o, member)
	if err != nil {
		p.wrap(err)
	}
	return v
}

func opt[T framing.Value](p *parser, member string) (T, bool) {
	v, ok, err := framing.Opt[T](p.o, member)
	if err != nil {
		p.wrap(err)
	}
	return v, ok
}

func (p *parser) wrap(err error) {
	if p.err == nil {
		p.err = mslerr.New(mslerr.ParseError, "channel: %w", err)
	}
}

func (p *parser) number(member string, least, most int64) int64 {
	v := get[int64](p, member)
	if p.err == nil && (v < least || v > most) {
		p.fail(member, fmt.Sprintf("%d is not within %d to %d", v, least, most))
	}
	return v
}

func (p *parser) binary(member string, least, most int) []byte {
	b := get[[]byte](p, member)
	if p.err == nil && (len(b) < least || len(b) > most) {
		p.fail(member, fmt.Sprintf("%d bytes, not %d to %d", len(b), least, most))
	}
	return b
}

func (p *parser) name(member string, wanted bool) string {
	s, ok := opt[string](p, member)
	if p.err == nil && (ok || wanted) && (len(s) == 0 || len(s) > maxName) {
		p.fail(member, fmt.Sprintf("%d bytes, not 1 to %d", len(s), maxName))
	}
	return s
}

func (p *parser) ints(member string) []int64 {
	list := get[framing.Array](p, member)
	if p.err == nil && len(list) > maxList {
		p.fail(member, fmt.Sprintf("%d elements, more than %d", len(list), maxList))
	}
	if p.err != nil {
		return nil
	}
	v, err := framing.Elements[int64](list)
	if err != nil {
		p.wrap(err)
	}
	return v
}

func (p *parser) shares(list framing.Array) []publicShare {
	if len(list) < 1 || len(list) > 2 {
		p.fail("shares", fmt.Sprintf("%d elements, not 1 or 2", len(list)))
		return nil
	}
	elements, err := framing.Elements[framing.Object](list)
	if err != nil {
		p.wrap(err)
		return nil
	}
	var shares []publicShare
	for _, o := range elements {
		e := parser{o: o}
		s := publicShare{kem: uint16(e.number("kem", 0, math.MaxUint16)), public: e.binary("share", 1, maxShare)}
		if slices.ContainsFunc(shares, func(t publicShare) bool { return t.kem == s.kem }) {
			e.fail("shares", "one KEM twice")
		}
		if p.err = firstError(p.err, e.err); p.err != nil {
			return nil
		}
		shares = append(shares, s)
	}
	return shares
}

func (p *parser) addresses(list framing.Array) []string {
	at, err := framing.Elements[string](list)
	if err != nil {
		p.wrap(err)
		return nil
	}
	if len(at) > maxAt {
		p.fail("at", fmt.Sprintf("%d addresses, more than %d", len(at), maxAt))
	}
	for _, u := range at {
		if len(u) > maxAtSize {
			p.fail("at", fmt.Sprintf("an address of %d bytes, more than %d", len(u), maxAtSize))
		}
	}
	return at
}

func (p *parser) offer() (f offer) {
	for _, m := range offerMembers {
		if p.o[m.name] == nil {
			*m.field(&f) = m.of
			continue
		}
		*m.field(&f) = p.number(m.name, m.least, m.most)
	}
	return f
}

func ints[T int64 | stream.Suite](list []T) framing.Array {
	a := make(framing.Array, len(list))
	for i, v := range list {
		a[i] = int64(v)
	}
	return a
}

// firstError is the first error that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
