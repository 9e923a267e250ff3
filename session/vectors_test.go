package session

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/mslgo/msl/protocol/keyx"
	"github.com/mslgo/msl/protocol/mslcrypto"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
)

// vectorsFile holds the vectors of docs/protocol.md section 17 for other
// implementations. `go test ./session -run Vectors -update` writes it anew.
const vectorsFile = "../docs/vectors.json"

// A value is bytes in hexadecimal with a name.
type value struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`
}

// A group is the vectors of one subject, inputs first.
type group struct {
	Name   string  `json:"name"`
	Notes  string  `json:"notes"`
	Inputs []value `json:"inputs"`
	Values []value `json:"values"`
}

func (g *group) in(name string, b []byte) {
	g.Inputs = append(g.Inputs, value{name, hex.EncodeToString(b)})
}

func (g *group) out(name string, b []byte) {
	g.Values = append(g.Values, value{name, hex.EncodeToString(b)})
}

// secret adds a direction's secret with what comes of it.
func (g *group) secret(t *testing.T, name string, d []byte) {
	key, iv, next := generation(t, d)
	g.out(name, d)
	g.out(name+" key", key)
	g.out(name+" iv", iv)
	g.out(name+" next", next)
}

// record seals plain as record seq of an even generation.
func record(t *testing.T, d []byte, seq uint64, plain []byte) []byte {
	t.Helper()
	s, err := stream.NewSealer(stream.AES128GCM, d, seq)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4, len(plain)+stream.RecordOverhead)
	return s.Seal(append(b, plain...))
}

func vectorEpoch() (e *epoch, exporter mslcrypto.Key) {
	hq, hp := vectorHashes()
	return firstEpoch(hq, hp, vectorKeys(), span(0x80, 32))
}

func vectorFrames() []byte {
	m, err := frame.NewMetadata(map[string]string{"lang": "en"})
	if err != nil {
		panic(err)
	}
	b := frame.AppendStreamOpen(nil, &frame.StreamOpen{Urgency: 3, Incremental: true, Label: []byte("chat"), Metadata: m})
	b = frame.AppendAck(b, 2)
	return append(frame.AppendStreamHeader(b, 0, 2, true), "hi"...)
}

func scheduleVectors(t *testing.T) group {
	g := group{Name: "schedule", Notes: "docs/protocol.md sections 5 and 6; suite 1, AES-128-GCM; records of plaintext 00 00 00"}
	hq, hp := vectorHashes()
	e, exporter := vectorEpoch()
	g.in("request header", []byte(vectorRequest))
	g.in("response header", []byte(vectorResponse))
	k := vectorKeys()
	g.in("ke", k.Encryption)
	g.in("kh", k.Signature)
	g.in("x", span(0x80, 32))

	g.out("hq", hq[:])
	g.out("hp", hp[:])
	g.out("th_0", e.th[:])
	ikm := appendL(appendL(appendL(nil, k.Encryption), k.Signature), span(0x80, 32))
	g.out("root_0", extract(e.th[:], ikm))
	g.secret(t, "i2r_0", e.i2r)
	g.secret(t, "r2i_0", e.r2i)
	g.out("attach_0", e.attach)
	g.out("rekey_0", e.rekey)
	g.out("exporter", exporter)
	salt := hash([]byte(labelEarly), hq[:])
	g.out("early root", extract(salt[:], appendL(appendL(nil, k.Encryption), k.Signature)))
	early := earlySecret(hq, k)
	key, iv, _ := generation(t, early)
	g.out("early i2r", early)
	g.out("early i2r key", key)
	g.out("early i2r iv", iv)
	s, err := stream.NewEarlySealer(stream.AES128GCM, early)
	if err != nil {
		t.Fatal(err)
	}
	g.out("early record 0", s.Seal(make([]byte, 7, 7+stream.TagLength)))
	g.out("i2r record 1", record(t, e.i2r, 1, make([]byte, 3)))
	return g
}

func attachVectors() group {
	g := group{Name: "attach", Notes: "docs/protocol.md section 10; attach_0 and hq of group schedule; epoch 0, n 1, received 5, " +
		"first 3, message ID 7; answers R = 9, or closed with code 256"}
	hq, _ := vectorHashes()
	e, _ := vectorEpoch()
	id := channelID(bytes.Repeat([]byte{0x31}, 16))
	g.in("id", id[:])
	g.out("proof i2r", e.attachProof(id, 1, 5, 3, 7))
	g.out("proof r2i", e.attachAnswer(hq, id, 1, 9))
	g.out("proof closed", e.attachClosed(hq, id, 1, 256))
	return g
}

func rekeyVectors(t *testing.T) group {
	g := group{Name: "rekey", Notes: "docs/protocol.md section 11; from epoch 0 of group schedule to epoch 1, kem 0x0020"}
	e, _ := vectorEpoch()
	share, enc, x := bytes.Repeat([]byte{0x21}, 32), bytes.Repeat([]byte{0x22}, 32), bytes.Repeat([]byte{0x23}, 32)
	g.in("share", share)
	g.in("enc", enc)
	g.in("x'", x)
	offer := e.rekeyOffer(keyx.KEMX25519, share)
	g.out("rekey offer", offer[:])
	old := bytes.Clone(e.rekey)
	e1 := e.next(keyx.KEMX25519, share, enc, bytes.Clone(x))
	g.out("th_1", e1.th[:])
	g.out("root_1", extract(mac(old, e1.th[:]), x))
	g.secret(t, "i2r_1", e1.i2r)
	g.secret(t, "r2i_1", e1.r2i)
	g.out("attach_1", e1.attach)
	g.out("rekey_1", e1.rekey)
	return g
}

func authVectors() group {
	g := group{Name: "auth", Notes: "docs/protocol.md sections 4.2 and 12.1; A is the initiator, S the responder; th_0 of group schedule"}
	e, _ := vectorEpoch()
	for _, v := range []struct {
		name, label string
		seed        byte
	}{{"A", labelAuthI2R, 0x00}, {"S", labelAuthR2I, 0x20}} {
		k := ed25519.NewKeyFromSeed(span(v.seed, 32))
		public := k.Public().(ed25519.PublicKey)
		g.in(v.name+" seed", span(v.seed, 32))
		g.out(v.name+" key", public)
		g.out(v.name+" identity", []byte(fingerprint(public)))
		g.out(strings.TrimPrefix(v.label, "msl channel 1 "), ed25519.Sign(k, authText(v.label, e.th)))
	}
	g.out("names", vectorNames())
	return g
}

func hpkeVectors(t *testing.T) []group {
	private, err := hpke.NewDHKEMPrivateKey(x25519(t, 0xa0))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := hpke.MLKEM768X25519().NewPrivateKey(span(0x60, 32))
	if err != nil {
		t.Fatal(err)
	}
	ephemeral := x25519(t, 0xc0).PublicKey().Bytes()
	ek, err := mlkem.NewEncapsulationKey768(seed.PublicKey().Bytes()[:mlkem.EncapsulationKeySize768])
	if err != nil {
		t.Fatal(err)
	}
	_, ciphertext, err := mlkemtest.Encapsulate768(ek, span(0xe0, 32))
	if err != nil {
		t.Fatal(err)
	}
	hq, hp := vectorHashes()
	export := func(r *hpke.Recipient, context string, n int) []byte {
		b, err := r.Export(context, n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var groups []group
	for _, v := range []struct {
		name, notes string
		private     []byte
		key         hpke.PrivateKey
		enc         []byte
	}{
		{"HPKE, kem 32", "the private key as given, before clamping", span(0xa0, 32), private, ephemeral},
		{"HPKE, kem 25722", "the private key is the seed; ML-KEM encapsulation randomness e0 .. ff", span(0x60, 32), seed, append(ciphertext, ephemeral...)},
	} {
		g := group{Name: v.name, Notes: "docs/protocol.md sections 4.1 and 5; ephemeral X25519 private key of the responder c0 .. df; " +
			"hq, hp of group schedule, names of group auth; records of plaintext 00 00 00; " + v.notes}
		g.in("private key", v.private)
		g.out("publickey", v.key.PublicKey().Bytes())
		g.out("enc", v.enc)
		h, hEnc := headerHash(v.key.PublicKey().Bytes()), headerHash(v.enc)
		g.out("H(publickey)", h[:])
		g.out("H(enc)", hEnc[:])
		r, err := hpke.NewRecipient(v.enc, v.key, hpke.HKDFSHA256(), hpke.ExportOnly(), []byte("msl hpke 1"))
		if err != nil {
			t.Fatal(err)
		}
		names, renewal := string(vectorNames()), string(make([]byte, 8))
		ke, kh := export(r, "msl hpke 1 encryption key"+names, 16), export(r, "msl hpke 1 hmac key"+names, 32)
		g.out("ke", ke)
		g.out("kh", kh)
		g.out("ke renewal", export(r, "msl hpke 1 encryption key"+renewal, 16))
		g.out("kh renewal", export(r, "msl hpke 1 hmac key"+renewal, 32))
		x := export(r, string(shareInfo(hq)), xSize)
		g.out("x", x)
		k := mslcrypto.SessionKeys{Encryption: ke, Signature: kh}
		th := hash([]byte(labelTranscript), hq[:], hp[:])
		g.out("root_0", extract(th[:], appendL(appendL(appendL(nil, ke), kh), x)))
		e, _ := firstEpoch(hq, hp, k, x)
		g.out("r2i record 0", record(t, e.r2i, 0, make([]byte, 3)))
		groups = append(groups, g)
	}

	g := group{Name: "shares", Notes: "docs/protocol.md sections 5.1 and 11; X25519; hq, th_0 of group schedule, e+1 = 1"}
	g.in("private key", span(0xa0, 32))
	g.in("enc", ephemeral)
	s := share{kem: keyx.KEMX25519, private: private}
	e, _ := vectorEpoch()
	for _, v := range []struct {
		name string
		info []byte
	}{{"x by share", shareInfo(hq)}, {"x' by rekey", e.rekeyInfo()}} {
		x, err := s.decapsulate(ephemeral, v.info)
		if err != nil {
			t.Fatal(err)
		}
		g.out(v.name, x)
	}
	return append(groups, g)
}

func frameVectors(t *testing.T) group {
	g := group{Name: "frames", Notes: "docs/protocol.md section 7; the record is i2r record 0 of group schedule with the first value as plaintext"}
	e, _ := vectorEpoch()
	g.out(`STREAM_OPEN(0, urgency 3, incremental, "chat", {"lang": "en"}), ACK(2), STREAM(0, LEN, FIN, "hi")`, vectorFrames())
	g.out("i2r record 0", record(t, e.i2r, 0, vectorFrames()))
	eight := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	g.out("PADDING", []byte{byte(frame.TypePadding)})
	g.out("PING(01 .. 08)", frame.AppendPing(nil, eight))
	g.out("PONG(01 .. 08)", frame.AppendPong(nil, eight))
	g.out("ACK(16384)", frame.AppendAck(nil, 16384))
	g.out("RESET_STREAM(5, application code 1)", frame.AppendResetStream(nil, 5, frame.Application(1)))
	g.out("STOP_SENDING(64, CANCELLED)", frame.AppendStopSending(nil, 64, frame.CodeCancelled))
	g.out(`STREAM(2, to the end of the record, "x")`, append(frame.AppendStreamHeader(nil, 2, -1, false), 'x'))
	g.out("MAX_DATA(2^30)", frame.AppendMaxData(nil, 1<<30))
	g.out("MAX_STREAM_DATA(1, 262144)", frame.AppendMaxStreamData(nil, 1, 262144))
	g.out("MAX_STREAMS(257)", frame.AppendMaxStreams(nil, 257))
	g.out("KEY_UPDATE", frame.AppendKeyUpdate(nil))
	g.out(`REKEY(1, 32, "share", "ead", "sig")`, frame.AppendRekey(nil,
		frame.Rekey{Epoch: 1, KEM: 32, Share: []byte("share"), EntityAuth: []byte("ead"), Signature: []byte("sig")}))
	g.out(`REKEY_DONE(1, "enc", "", "")`, frame.AppendRekeyDone(nil, frame.RekeyDone{Epoch: 1, Enc: []byte("enc")}))
	g.out("REKEY_SWITCH(1)", frame.AppendRekeySwitch(nil, 1))
	g.out("REKEY_ASK", frame.AppendRekeyAsk(nil))
	g.out(`AUTH("ead", "sig")`, frame.AppendAuth(nil, []byte("ead"), []byte("sig")))
	g.out(`CONTROL(FIN, RESPONSE, "{}")`, frame.AppendControl(nil, frame.ControlPart{Fin: true, Response: true, Data: []byte("{}")}))
	g.out("GOAWAY(3)", frame.AppendGoaway(nil, 3))
	g.out(`CLOSE(IDLE, "no streams")`, frame.AppendClose(nil, frame.CodeIdle, "no streams"))
	return g
}

// TestVectorsFile keeps docs/vectors.json and the code together. Those of the
// values that were computed apart from this code are in TestScheduleVectors,
// TestAuthVectors and TestHPKEVectors.
func TestVectorsFile(t *testing.T) {
	groups := []group{scheduleVectors(t), attachVectors(), rekeyVectors(t), authVectors()}
	groups = append(groups, hpkeVectors(t)...)
	groups = append(groups, frameVectors(t))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(groups); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorsFile, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is not what the code gives: run go test ./session -run Vectors -update", vectorsFile)
	}
}

// TestVectorsInText wants every value that docs/protocol.md section 17 prints to
// be one of the file's.
func TestVectorsInText(t *testing.T) {
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var groups []group
	if err := json.Unmarshal(file, &groups); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, g := range groups {
		for _, v := range append(g.Inputs, g.Values...) {
			known[v.Hex] = true
			raw, _ := hex.DecodeString(v.Hex)
			known[string(raw)] = true
		}
	}
	_, section, ok := strings.Cut(string(text), "\n## 17 ")
	section, _, ok2 := strings.Cut(section, "\n## 18 ")
	if !ok || !ok2 {
		t.Fatal("section 17 is not where it was")
	}
	values := regexp.MustCompile(`(?m)^    .*[ ](\S+)$`).FindAllStringSubmatch(section, -1)
	if len(values) < 60 {
		t.Errorf("section 17 has %d values", len(values))
	}
	for _, v := range values {
		if !known[v[1]] {
			t.Errorf("section 17 has %s, which is not in %s", v[1], vectorsFile)
		}
	}
}
