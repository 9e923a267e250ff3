package session

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/mslgo/msl/protocol/mslcrypto"
)

// The key schedule (channel set-up 4.4, 4.6, 4.7). Everything is SHA-256 and
// HKDF-SHA-256; labels are ASCII without terminator; L(b) = u16(length) || b;
// integers are big endian. The version number 1 is in every label.
//
//	th_0   = H("msl channel 1 transcript" || hq || hp)
//	root_0 = Extract(salt th_0, ikm L(ke) || L(kh) || L(x))
//	i2r_e, r2i_e, attach_e, rekey_e = Expand(root_e, label, 32)
//	exporter = Expand(root_0, "msl channel 1 exporter", 32)
//	th_e+1   = H("msl channel 1 rekey" || th_e || u32(e+1) || u16 kem || L(share) || L(enc))
//	root_e+1 = Extract(salt HMAC(rekey_e, th_e+1), ikm x')
const (
	labelTranscript   = "msl channel 1 transcript"
	labelI2R          = "msl channel 1 i2r"
	labelR2I          = "msl channel 1 r2i"
	labelAttach       = "msl channel 1 attach"
	labelRekey        = "msl channel 1 rekey"
	labelExporter     = "msl channel 1 exporter"
	labelEarly        = "msl channel 1 early"
	labelShare        = "msl channel 1 share"
	labelExport       = "msl channel 1 export"
	labelAuthI2R      = "msl channel 1 auth i2r"
	labelAuthR2I      = "msl channel 1 auth r2i"
	labelAttachI2R    = "msl channel 1 attach i2r"
	labelAttachR2I    = "msl channel 1 attach r2i"
	labelAttachClosed = "msl channel 1 attach closed"
	labelRekeyOffer   = "msl channel 1 rekey offer"
	labelRekeyI2R     = "msl channel 1 rekey i2r"
	labelRekeyR2I     = "msl channel 1 rekey r2i"
)

// digest is a SHA-256: of header bytes, or of a transcript.
type digest [sha256.Size]byte

// channelID names a channel. It is no secret: attach proves the keys (X8).
type channelID [16]byte

// epoch is what one set-up or rekey gave: one secret per direction, from which
// the record keys of its generations come, and those for attach and rekey.
type epoch struct {
	number uint32
	th     digest // transcript up to here; no secret

	i2r, r2i      mslcrypto.Key
	attach, rekey mslcrypto.Key
}

// firstEpoch makes the keys of a set-up: K is that of the token naming the
// initiator in force after the pair, x the secret of the channel. It erases x;
// K lives on in the token store. The exporter secret exists in epoch 0 only.
func firstEpoch(hq, hp digest, k mslcrypto.SessionKeys, x mslcrypto.Key) (e *epoch, exporter mslcrypto.Key) {
	th := hash([]byte(labelTranscript), hq[:], hp[:])
	ikm := appendL(nil, k.Encryption)
	ikm = appendL(ikm, k.Signature)
	ikm = appendL(ikm, x)
	root := extract(th[:], ikm)
	clear(ikm)
	x.Erase()
	secrets := expander(root)
	return newEpoch(0, th, secrets), secrets.Expand(labelExporter, sha256.Size)
}

func newEpoch(number uint32, th digest, root mslcrypto.Expander) *epoch {
	return &epoch{
		number: number,
		th:     th,
		i2r:    root.Expand(labelI2R, sha256.Size),
		r2i:    root.Expand(labelR2I, sha256.Size),
		attach: root.Expand(labelAttach, sha256.Size),
		rekey:  root.Expand(labelRekey, sha256.Size),
	}
}

// eraseRecordKeys ends the secrets of both directions, of which the link has
// copies.
func (e *epoch) eraseRecordKeys() {
	e.i2r.Erase()
	e.r2i.Erase()
	e.i2r, e.r2i = nil, nil
}

// erase overwrites the secrets that the epoch still has.
func (e *epoch) erase() {
	for _, k := range []mslcrypto.Key{e.i2r, e.r2i, e.attach, e.rekey} {
		k.Erase()
	}
}

// rekeyOffer is what the initiator signs for the next epoch.
func (e *epoch) rekeyOffer(kem uint16, share []byte) digest {
	b := append([]byte(labelRekeyOffer), e.th[:]...)
	b = binary.BigEndian.AppendUint32(b, e.number+1)
	b = binary.BigEndian.AppendUint16(b, kem)
	return sha256.Sum256(appendL(b, share))
}

// rekeyInfo is the HPKE info of the share that leads to the next epoch.
func (e *epoch) rekeyInfo() []byte {
	b := append([]byte(labelRekey), e.th[:]...)
	return binary.BigEndian.AppendUint32(b, e.number+1)
}

// next is the epoch after a rekey with the new secret x, which is erased, as is
// e's rekey secret. The others of e are still in use until the switch.
func (e *epoch) next(kem uint16, share, enc []byte, x mslcrypto.Key) *epoch {
	b := binary.BigEndian.AppendUint16(e.rekeyInfo(), kem)
	b = appendL(b, share)
	b = appendL(b, enc)
	th := digest(sha256.Sum256(b))
	root := extract(mac(e.rekey, th[:]), x)
	x.Erase()
	e.rekey.Erase()
	return newEpoch(e.number+1, th, expander(root))
}

// earlySecret is the secret of early data: it depends on the request and on the
// keys of its token only, so it is not forward secret.
func earlySecret(hq digest, k mslcrypto.SessionKeys) mslcrypto.Key {
	salt := hash([]byte(labelEarly), hq[:])
	ikm := appendL(appendL(nil, k.Encryption), k.Signature)
	root := extract(salt[:], ikm)
	clear(ikm)
	return expander(root).Expand(labelI2R, sha256.Size)
}

// attachProof is the initiator's proof in an attach (4.6.2).
func (e *epoch) attachProof(id channelID, n, received, first uint64, messageID int64) []byte {
	return mac(e.attach, e.attachText(labelAttachI2R, nil, id, n, received, first, uint64(messageID)))
}

// attachAnswer is the responder's proof that it has received records up to the
// number received, for the attach request with hash hq (4.6.4).
func (e *epoch) attachAnswer(hq digest, id channelID, n, received uint64) []byte {
	return mac(e.attach, e.attachText(labelAttachR2I, hq[:], id, n, received))
}

// attachClosed is the proof that a channel was closed with code (4.6.9).
func (e *epoch) attachClosed(hq digest, id channelID, n, code uint64) []byte {
	return mac(e.attach, e.attachText(labelAttachClosed, hq[:], id, n, code))
}

// attachText is label || hq || id || u32 epoch || u64 n, and u64 for each of the rest.
func (e *epoch) attachText(label string, hq []byte, id channelID, n uint64, rest ...uint64) []byte {
	b := append([]byte(label), hq...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, e.number)
	b = binary.BigEndian.AppendUint64(b, n)
	for _, v := range rest {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// authText is what the AUTH frame of a direction signs: label || th.
func authText(label string, th digest) []byte { return append([]byte(label), th[:]...) }

// headerHash is H over the bytes of a header as they were sent.
func headerHash(raw []byte) digest { return sha256.Sum256(raw) }

func hash(parts ...[]byte) digest {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return digest(h.Sum(nil))
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// extract cannot fail for these lengths: an error is one of the program, such as
// an unapproved hash.
func extract(salt, ikm []byte) mslcrypto.Key {
	k, err := hkdf.Extract(sha256.New, ikm, salt)
	if err != nil {
		panic(err)
	}
	return k
}

// expander is what comes from root, which it erases.
func expander(root mslcrypto.Key) mslcrypto.Expander {
	defer root.Erase()
	return mslcrypto.NewExpander(root)
}

// appendL appends L(b).
func appendL(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b)))
	return append(dst, b...)
}
