package stream

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mslgo/msl/framing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Channel set-up 6.1 and 6.5.
const (
	secretI2R   = "b8d39681424cc4f3c7fdc8813af56bf06ab0a250b007c87cf4f0e26cdecbd22d"
	secretEarly = "101364159e2932f72a59918256de89d539f49d894a6b3063e40da41661657cbb"
)

func TestVectors(t *testing.T) {
	early, err := NewEarlySealer(AES128GCM, unhex(t, secretEarly))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := NewSealer(AES128GCM, unhex(t, secretI2R), 0)
	second, _ := NewSealer(AES128GCM, unhex(t, secretI2R), 1)
	for _, tc := range []struct {
		name          string
		s             *Sealer
		plain, record string
	}{
		{"early 0", early, "000000", "12000013b19ec18859c80b2749abdcb929bbb83a1f85c3"},
		{"i2r 1", second, "000000", "10000013db4b17f95d48f46058cc702e317526ea4c862e"},
		{"frames", first, "06000b046368617401046c616e6702656e03020b00026869",
			"100000281ced23852adc448de66795bd6947d7266468f79e65648269edeca0ee391064ab864838de1d09e84d"},
	} {
		if got := seal(tc.s, unhex(t, tc.plain)); hex.EncodeToString(got) != tc.record {
			t.Errorf("%s: %x, want %s", tc.name, got, tc.record)
		}
	}
}

func TestSchedule(t *testing.T) {
	for _, tc := range []struct{ secret, iv, next string }{
		{secretI2R, "2cbf1d669b0d21586058a867", "3aca514a9617cc9bfe3593da5df65e85701944a13c8b1119497b0b4f419305c5"},
		{"36710a22b7e80a53c76c9902fd869aefef3bc84472d556bbb0fe748f4b0bcfc0", "0de6d1102db6dd9f553eec4c", "75998ee3db8b8cfec0f2c6f03880926a93436f69e2e464e1a44043d509ed4278"},
		{"1ba4d6b3fa0c2f353eda533d00c1a043d013e3dc9a2ca346bc062428a6b742da", "de7642658f9d77eb2228caa0", "4fa06e8d63231254eddf1e8d586d79964bf84edcad3879ba278d714f39137cf8"},
		{"8321dc5f562ef446eb772e6f90875945f408a1c88c5efad8658c9cbd033aa2e0", "52aef7c8ed6a5f14955cd66c", "e280864ee113913c083d66f04a7b3c36bc063f2df94dfdd72571d9c2177448bc"},
	} {
		s, err := NewSealer(AES128GCM, unhex(t, tc.secret), 7)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(s.iv[:]); got != tc.iv {
			t.Errorf("iv %s, want %s", got, tc.iv)
		}
		if err := s.Update(); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(s.secret[:]); got != tc.next {
			t.Errorf("next %s, want %s", got, tc.next)
		}
		if s.kind != framing.RecordOdd || s.Seq() != 7 {
			t.Errorf("after an update: kind %#x, number %d", s.kind, s.Seq())
		}
	}
}

// seal copies plain into a record and seals it.
func seal(s *Sealer, plain []byte) []byte {
	b := make([]byte, framing.RecordHeaderLength, len(plain)+RecordOverhead)
	return s.Seal(append(b, plain...))
}

func pair(t testing.TB, suite Suite) (*Sealer, *Opener) {
	t.Helper()
	secret := bytes.Repeat([]byte{7}, SecretLength)
	s, err := NewSealer(suite, secret, 3)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(suite, secret, 3)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

func TestRoundTrip(t *testing.T) {
	for suite := AES128GCM; suite <= ChaCha20Poly1305; suite++ {
		t.Run(suite.String(), func(t *testing.T) {
			s, o := pair(t, suite)
			for i := range 6 {
				plain := bytes.Repeat([]byte{byte(i)}, 1+i*1000)
				got, err := o.Open(seal(s, plain))
				if err != nil || !bytes.Equal(got, plain) {
					t.Fatalf("record %d: %v", i, err)
				}
				if i%2 == 1 {
					if err := errors.Join(s.Update(), o.Update()); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func TestTamperedRecord(t *testing.T) {
	s, o := pair(t, AES128GCM)
	record := seal(s, []byte("plaintext"))
	for bit := range 8 * len(record) {
		bad := bytes.Clone(record)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := o.Open(bad); err != ErrRecord {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
	}
	for n := range record {
		if _, err := o.Open(bytes.Clone(record[:n])); err != ErrRecord {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := o.Open(bytes.Clone(record)); err != nil {
		t.Fatal("a record that does not open must not use up a number")
	}
	if _, err := o.Open(bytes.Clone(record)); err != ErrRecord {
		t.Fatalf("repeated: %v", err)
	}
}

func TestDroppedSwappedReflected(t *testing.T) {
	s, o := pair(t, AES256GCM)
	_, second := seal(s, []byte{1}), seal(s, []byte{2})
	if _, err := o.Open(second); err != ErrRecord {
		t.Errorf("after a gap: %v", err)
	}
	other, _ := NewOpener(AES256GCM, bytes.Repeat([]byte{8}, SecretLength), 5)
	if _, err := other.Open(seal(s, []byte{3})); err != ErrRecord {
		t.Errorf("under another direction's key: %v", err)
	}
	if err := s.Update(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(seal(s, []byte{4})); err != ErrRecord {
		t.Errorf("of another generation: %v", err)
	}
}

func TestBadArguments(t *testing.T) {
	if _, err := NewSealer(4, make([]byte, SecretLength), 0); err == nil {
		t.Error("unknown suite accepted")
	}
	if _, err := NewOpener(AES128GCM, make([]byte, 16), 0); err == nil {
		t.Error("short secret accepted")
	}
	s, err := NewEarlySealer(AES128GCM, make([]byte, SecretLength))
	if err != nil {
		t.Fatal(err)
	}
	if s.Update() == nil {
		t.Error("early data got a second generation")
	}
}

func TestRedacted(t *testing.T) {
	s, o := pair(t, AES128GCM)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "o", o)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %x %d", s, s, s, s, s, s), fmt.Sprintf("%v %#v", o, o), log.String(), s.GoString(), o.String(),
	} {
		if !strings.Contains(text, "redacted") || strings.Contains(text, "7 7") || strings.Contains(text, "0707") {
			t.Errorf("printed %q", text)
		}
	}
}

func TestErase(t *testing.T) {
	s, _ := pair(t, AES128GCM)
	s.Erase()
	if s.secret != [SecretLength]byte{} || s.aead != nil || s.iv != [12]byte{} {
		t.Error("keys left")
	}
}

func FuzzOpen(f *testing.F) {
	secret := unhex(f, secretI2R)
	f.Add(unhex(f, "10000013db4b17f95d48f46058cc702e317526ea4c862e"))
	f.Add([]byte{0x10, 0, 0, 0})
	f.Fuzz(func(t *testing.T, record []byte) {
		o, _ := NewOpener(AES128GCM, secret, 0) // no seed is record 0
		if _, err := o.Open(record); err != ErrRecord || o.Seq() != 0 {
			t.Fatalf("opened: %v", err)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	for suite := AES128GCM; suite <= ChaCha20Poly1305; suite++ {
		s, o := pair(t, suite)
		b := make([]byte, 4096)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := o.Open(s.Seal(b[:4000])); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations per record", suite, n)
		}
	}
}

func BenchmarkSealOpen(b *testing.B) {
	for suite := AES128GCM; suite <= ChaCha20Poly1305; suite++ {
		for _, size := range []int{1 << 10, 16 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%v/%dK", suite, size>>10), func(b *testing.B) {
				s, o := pair(b, suite)
				buf := make([]byte, size+RecordOverhead)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := o.Open(s.Seal(buf[:framing.RecordHeaderLength+size])); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
